# Sourced by scripts/demo and scripts/test when root calls them: a throw-away account, a copy of the project that it can
# read (a checkout in root's home is closed to others), and a box to run in, out of which no process survives. The caller
# sets clean_environment, an array of VARIABLE=VALUE.
# shellcheck shell=bash

# Makes the account qlan-$1 and $place: project/ (a copy), home/, results/. All of it goes when the script ends.
make_throw_away() {
    remove_forgotten
    place=$(mktemp -d /var/tmp/qlan-XXXXXX)
    trap remove_throw_away EXIT
    user=qlan-$1
    getent passwd "$user" >/dev/null && user=$user-$$
    echo "$2: root calls, so this runs as $user, a throw-away account, on a copy in $place"
    chmod 755 "$place"
    mkdir "$place"/{project,home,results}
    useradd --system --home-dir "$place/home" --no-create-home --shell /bin/sh --comment "$mark $$" "$user"
    uid=$(id -u "$user")
    gid=$(id -g "$user")
    tar -c --exclude=./.git --exclude=./.venv --exclude='./.*_cache' --exclude=./.hypothesis --exclude=__pycache__ . |
        tar -x --no-same-owner -C "$place/project"
}
mark='qlan throw-away of process'

# Gives the copy to the account, once all is in it.
give_throw_away() {
    chown -R "$uid:$gid" "$place"/{project,home,results} "$@"
}

remove_throw_away() {
    local status=$?
    trap - EXIT
    cd /
    remove_account "$user" "$place"
    exit "$status"
}

remove_account() { # NAME PLACE
    userdel "$1" 2>/dev/null || true
    rm -rf --one-file-system "$2"
}

# What a script that was killed had no time for.
remove_forgotten() {
    local name comment home
    getent passwd | while IFS=: read -r name _ _ _ comment home _; do
        if [[ $comment == "$mark "* && $home == /var/tmp/qlan-* && ! -d /proc/${comment##* } ]]; then
            remove_account "$name" "${home%/home}"
        fi
    done
}

# The rest of the words as the account, without anything of root's environment.
as_throw_away() {
    # shellcheck disable=SC2154  # the caller's
    setpriv --reuid="$uid" --regid="$gid" --clear-groups -- env -i "${clean_environment[@]}" \
        HOME="$place/home" USER="$user" LOGNAME="$user" "$@"
}

# in_box [--net] FUNCTION WORDS...: in a process namespace of its own that ends with it, with its own /tmp and a
# /dev/net/tun that is open to all, as distributions have it (both by a mount that only the box sees: the machine's stay as
# they are); --net: with its own network, too, in which only lo is up. The names of processes that were left are added to
# $place/left.
in_box() {
    (become_box "$@")
}

# The same instead of the shell that calls, to be sent into the background: (become_box ...) &
become_box() {
    local net=() state
    [ "$1" = --net ] && net=(--net) && shift
    state=$(declare -p place user uid gid net clean_environment && declare -f)
    # --pdeathsig: if this script is killed, the box goes with it
    exec setpriv --pdeathsig=KILL unshare --mount --pid --fork --kill-child --mount-proc "${net[@]}" \
        bash -c "$state"$'\nenter_box "$@"' box "$@"
}

enter_box() {
    set -euo pipefail
    mount --bind "$(mktemp -d "$place/tmp-XXXXXX")" /tmp
    chmod 1777 /tmp
    mkdir -p /dev/net
    mount -t tmpfs -o mode=755 tmpfs /dev/net
    mknod -m 666 /dev/net/tun c 10 200
    if [ ${#net[@]} != 0 ]; then
        mount -t sysfs sysfs /sys # /sys/class/net is that of the one who mounts
        ip link set lo up
    fi
    local status=0
    "$@" || status=$?
    note_left >>"$place/left"
    exit "$status"
}

note_left() {
    local path pid words
    for _ in 1 2 3; do # who has just been told to end may still be at it
        words=''
        for path in /proc/[0-9]*/cmdline; do
            pid=${path//[!0-9]/}
            { [ "$pid" != $$ ] && [ "$pid" != "$BASHPID" ] && words+=$(tr '\0' ' ' <"$path")$'\n'; } 2>/dev/null || true
        done
        words=$(sed '/^$/d' <<<"$words")
        [ -z "$words" ] && return
        sleep 1
    done
    echo "$words"
}

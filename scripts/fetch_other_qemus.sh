#!/bin/bash
# Unpacks other QEMU versions beside the installed one, for tests/qemu/cmdline; nothing is installed, and no root needed.
#
#   scripts/fetch_other_qemus.sh [RELEASE...]      Debian releases by name; trixie if none is named
#
# Each goes to its own folder in $QLAN_TEST_CACHE (~/.cache/qlan-tests). Needs apt-get, dpkg-deb and Debian's keyring.
# The mirror is one that apt knows on this machine. Exit status 3, with the reason: the release cannot be had here.
set -euo pipefail
cache=${QLAN_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/qlan-tests}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

main() {
    local release
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null && [ -e "$keyring" ] ||
        give_up "needs apt-get, dpkg-deb and $keyring (Debian's own)"
    mkdir -p "$cache"
    for release in "${@:-trixie}"; do
        if [ -d "$cache/$release" ]; then
            say "$release is in $cache/$release"
        else
            fetch "$release"
        fi
    done
}

fetch() {
    local release=$1 mirror scratch deb
    scratch=$(mktemp -d "$cache/.new-XXXXXX")
    # shellcheck disable=SC2064  # this one's folder
    trap "rm -rf '$scratch'" EXIT
    mkdir -p "$scratch"/{lists/partial,cache/archives/partial,root/usr/{bin,lib}}
    touch "$scratch/status"
    while read -r mirror; do
        echo "deb [signed-by=$keyring] $mirror $release main" >"$scratch/sources.list"
        private_apt update && break
        mirror=
    done < <(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' | sort -u)
    [ -n "${mirror-}" ] || give_up "no mirror that apt knows here gave a list of $release: $(tail -n 1 "$scratch/said")"
    private_apt install --download-only qemu-system-x86 ||
        give_up "$release's packages could not be fetched: $(tail -n 1 "$scratch/said")"
    # /lib and the others are links to /usr, as the package base-files has them.
    ln -s usr/bin usr/sbin usr/lib usr/lib64 "$scratch/root"
    for deb in "$scratch"/cache/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$scratch/root" --keep-directory-symlink \
            --exclude=./usr/share/{doc,man,locale,i18n,info} --exclude=./{dev,etc,var} --exclude=qemu-system-i386
    done
    mv "$scratch/root" "$cache/$release"
    say "$release is now in $cache/$release ($(du -sh "$cache/$release" | cut -f1))"
}

# apt-get with lists, cache and sources of its own; what it says goes to a file.
private_apt() {
    apt-get -q -y -o Dir::Etc::SourceList="$scratch/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$scratch/lists" -o Dir::State::Status="$scratch/status" -o Dir::Cache="$scratch/cache" \
        -o Debug::NoLocking=1 -o APT::Sandbox::User=root -o APT::Install-Recommends=false \
        -o APT::Architecture=amd64 -o APT::Architectures=amd64 -o Acquire::Languages=none -o Acquire::Retries=1 \
        -o Acquire::http::Timeout=20 -o APT::Update::Error-Mode=any "$@" >"$scratch/said" 2>&1
}

say() { echo "fetch_other_qemus: $*"; }
give_up() {
    say "$*" >&2
    exit 3
}

main "$@"

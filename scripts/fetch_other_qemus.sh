#!/bin/sh
# Puts other QEMU versions beside the installed one, for tests/qemu/cmdline: Debian roots in ~/.cache/qlan-tests, which
# the tests enter by chroot (so: as root).  Each takes a minute and 400 MB.  Usage: fetch_other_qemus.sh [RELEASE ...]
set -eu
cache=${QLAN_TEST_CACHE:-$HOME/.cache/qlan-tests}
command -v debootstrap >/dev/null || apt-get install -y debootstrap
mkdir -p "$cache"
for release in "${@:-trixie}"; do
    case $release in
        bullseye) root=$cache/debian11 ;;
        trixie) root=$cache/debian13 ;;
        sid) root=$cache/debian-sid ;;
        *) echo "$release: bullseye, trixie or sid" >&2; exit 2 ;;
    esac
    if [ -x "$root/usr/bin/qemu-system-x86_64" ]; then
        echo "$root is there"
        continue
    fi
    # A root that was not finished must not be taken for one that was.
    rm -rf "$root.part"
    debootstrap --variant=minbase --include=qemu-system-x86 "$release" "$root.part"
    rm -rf "$root"
    mv "$root.part" "$root"
    chroot "$root" qemu-system-x86_64 --version
done

#!/bin/bash
# Downloads the Debian packages of programs that are to run beside qlan without being installed, as root, if they are not
# there: those that scripts/bench measures it beside, and systemd-resolved, whose installation would take over the
# machine's resolv.conf. Who uses them unpacks them where nobody else sees them.
#
#   scripts/fetch_peers.sh FOLDER
#
# Without apt-get, or without a network, FOLDER stays empty, and benchmarks and tests say what they leave out.
set -euo pipefail
peers=$1

compgen -G "$peers/libvirt-daemon_*.deb" >/dev/null && compgen -G "$peers/iperf3_*.deb" >/dev/null &&
    compgen -G "$peers/systemd-resolved_*.deb" >/dev/null && compgen -G "$peers/mininet_*.deb" >/dev/null && exit
command -v apt-get >/dev/null || exit 0
mkdir -p "$peers/cache/archives/partial"
apt-get -y -q -o Dir::Cache="$peers/cache" -o Debug::NoLocking=1 -o APT::Sandbox::User=root \
    -o APT::Install-Recommends=false --reinstall --download-only install libvirt-daemon libvirt-daemon-driver-qemu \
    libvirt-daemon-system libvirt-clients iperf3 libiperf0 libsctp1 vde2 vde-switch libvde0 libvdeplug2 \
    socat libwrap0 systemd-resolved mininet bridge-utils net-tools python3-pkg-resources \
    >"$peers/said" 2>&1 || tail -n 1 "$peers/said" >&2
mv "$peers"/cache/archives/*.deb "$peers" 2>/dev/null || true
rm -rf "$peers/cache"

"""libvirt from the distribution's packages, unpacked over the machine's files in a mount that only the benchmark sees.

Nothing is installed.  The daemon has a network and a process namespace of its own and ends with its holder.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Failed, took_s

_URI = "qemu:///system"
_QEMU_CONF = """\
security_driver = "none"
user = "root"
group = "root"
cgroup_controllers = []
stdio_handler = "file"
namespaces = []
"""
_START = """\
set -e
mount -t tmpfs tmpfs "$1"
cd "$1"
mkdir -p root/usr/lib root/usr/lib64 root/usr/bin root/usr/sbin up work all
ln -s usr/lib usr/lib64 usr/bin usr/sbin root
for deb in "$2"/*.deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x -C root --keep-directory-symlink; done
mount -t overlay overlay -o lowerdir=root:/,upperdir=up,workdir=work all
mount -t proc proc all/proc
mount --rbind /dev all/dev
mount -t sysfs sysfs all/sys
mount -t tmpfs tmpfs all/run
mount -t tmpfs tmpfs all/tmp
mkdir -p all/run/libvirt
for name in libvirt libvirt-dnsmasq; do chroot all groupadd -f -r $name; done
chroot all id libvirt-qemu >/dev/null 2>&1 || chroot all useradd -r -M libvirt-qemu
chroot all id libvirt-dnsmasq >/dev/null 2>&1 || chroot all useradd -r -M -g libvirt-dnsmasq libvirt-dnsmasq
printf '%s' "$3" >all/etc/libvirt/qemu.conf
for name in iptables ip6tables; do [ -e all/usr/sbin/$name ] || ln -s xtables-nft-multi all/usr/sbin/$name; done
ip link set lo up
# Guests that are ended become children of process 1, which must collect them: libvirtd waits for them to be gone.
chroot all libvirtd &
while kill -0 $! 2>/dev/null; do wait; done
"""


@dataclass(frozen=True, slots=True)
class Libvirt:
    """enter: words that run a command beside the daemon.  pid: process 1 of its namespace."""

    enter: tuple[str, ...]
    pid: int

    def virsh(self, *words: str) -> float:
        """How long `virsh WORDS` takes, in seconds."""
        return took_s([*self.enter, "virsh", "-c", _URI, *words])

    def define(self, sort: str, xml: str) -> None:
        """A network or a domain (sort: net or dom)."""
        word = "net-define" if sort == "net" else "define"
        done = subprocess.run(
            [*self.enter, "virsh", "-c", _URI, word, "/dev/stdin"], input=xml, text=True, capture_output=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise Failed(done.stderr)


@contextmanager
def daemon(scratch: Path) -> Iterator[Libvirt | str]:
    """It, or why it cannot be had here."""
    if os.geteuid():
        yield "needs root"
        return
    packages = Path(os.environ.get("QLAN_BENCH_PEERS", "/nowhere"))
    if not list(packages.glob("libvirt-daemon_*.deb")):
        yield "its packages could not be fetched (scripts/bench does it by apt-get)"
        return
    (scratch / "all").mkdir(parents=True)
    log = scratch / "log"
    with log.open("w") as said:
        holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
             "bash", "-c", _START, "libvirt", str(scratch / "all"), str(packages), _QEMU_CONF],
            stdout=said, stderr=said,
        )  # fmt: skip
    try:
        yield _wait(holder, scratch) or f"it did not start: {log.read_text()[-300:]}"
    finally:
        holder.kill()
        holder.wait()


def _wait(holder: subprocess.Popen[bytes], scratch: Path) -> Libvirt | None:
    """Until it answers; None if it does not."""
    for _ in range(300):
        children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()
        if children and holder.poll() is None:
            pid = int(children[0])
            enter = (
                "nsenter",
                f"--target={pid}",
                "--net",
                "--mount",
                "--pid",
                "--",
                "chroot",
                str(scratch / "all/all"),
            )
            answers = subprocess.run([*enter, "virsh", "-c", _URI, "list"], capture_output=True, check=False)
            if answers.returncode == 0:
                return Libvirt(enter, pid)
        if holder.poll() is not None:
            return None
        time.sleep(0.1)
    return None

"""What guests are measured in: a machine with a way outside, what is outside, the test guest, and the peers' programs.

The machine is the namespace that `scripts/bench` made; outside is one more, joined to it by a cable.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.initrd import with_program
from bench.measure import Failed, took_s
from tests.guest.machine import build_image

# TEST-NET-2, -3 and -1 (RFC 5737): the cable's ends, and an address that is farther than the gateway: passt and pasta
# take the gateway's for the machine itself.
HERE, GATEWAY, OUTSIDE = "198.51.100.2", "198.51.100.1", "203.0.113.7"
UPLINK = "wan0"
_HOLD = "ip link set lo up; echo; exec sleep infinity"


@dataclass(frozen=True, slots=True)
class World:
    """outside: words that run a command there.  folder: everybody may read it.  measuring: an initrd with iperf3."""

    folder: Path
    outside: tuple[str, ...]
    programs: Path
    kernel: Path
    initrd: Path
    measuring: Path

    @property
    def environment(self) -> dict[str, str]:
        libraries = sorted({str(file.parent) for file in self.programs.glob("usr/lib/**/*.so*")})
        return {"PATH": os.environ["PATH"], "LC_ALL": "C", "LD_LIBRARY_PATH": ":".join(libraries)}

    def program(self, name: str) -> str:
        """Its path.  Failed where its package could not be had."""
        path = self.programs / "usr/bin" / name
        if not path.exists():
            raise Failed(f"no {name}")
        return str(path)

    def new_folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder


@contextmanager
def world(scratch: Path) -> Iterator[World | str]:
    """It, or why it cannot be had here."""
    packages = Path(os.environ.get("QLAN_BENCH_PEERS", "/nowhere"))
    if os.geteuid():
        yield "needs root"
        return
    if not list(packages.glob("iperf3_*.deb")):
        yield "iperf3's package could not be fetched (scripts/bench does it by apt-get)"
        return
    scratch.mkdir()
    for folder in (scratch.parent, scratch):
        folder.chmod(0o755)
    programs = scratch / "programs"
    for name in (
        "iperf3",
        "libiperf0",
        "libsctp1",
        "vde2",
        "vde-switch",
        "libvde0",
        "libvdeplug2",
        "socat",
        "libwrap0",
    ):
        for package in packages.glob(f"{name}_*.deb"):
            took_s(["dpkg-deb", "-x", str(package), str(programs)])
    with _outside() as outside:
        image = build_image()
        one = World(scratch, outside, programs, scratch / "vmlinux", scratch / "initrd", scratch / "initrd-measuring")
        one.kernel.write_bytes(image.vmlinux.read_bytes())
        one.initrd.write_bytes(image.initrd.read_bytes())
        one.measuring.write_bytes(with_program(image.initrd, Path(one.program("iperf3")), one.environment))
        yield one


@contextmanager
def _outside() -> Iterator[tuple[str, ...]]:
    with held(["unshare", "--net", "sh", "-c", _HOLD]) as pid:
        there = ("nsenter", f"--target={pid}", "--net", "--")
        cable([], str(os.getpid()), there, (HERE, GATEWAY))
        took_s([*there, "ip", "addr", "add", f"{OUTSIDE}/32", "dev", "lo"])
        try:
            yield there
        finally:
            took_s(["ip", "link", "del", UPLINK])


def cable(here: Sequence[str], pid: str, there: Sequence[str], ends: tuple[str, str]) -> None:
    """From the namespace of process `pid`, where `here` leads, to the outside: its only way there."""
    own, far = ends
    name = f"lan{pid}"
    took_s([*there, "ip", "link", "add", name, "type", "veth", "peer", "name", UPLINK, "netns", pid])
    took_s([*there, "ip", "addr", "add", f"{far}/24", "dev", name])
    took_s([*there, "ip", "link", "set", name, "up"])
    took_s([*here, "ip", "addr", "add", f"{own}/24", "dev", UPLINK])
    took_s([*here, "ip", "link", "set", UPLINK, "up"])
    took_s([*here, "ip", "route", "add", "default", "via", far])


@contextmanager
def held(argv: Sequence[str]) -> Iterator[int]:
    """A process that says a line when it is ready, and ends with the block."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as holder:
        try:
            if not (holder.stdout and holder.stdout.readline()):
                raise Failed(f"{' '.join(argv)[:200]} did not start")
            yield holder.pid
        finally:
            holder.kill()

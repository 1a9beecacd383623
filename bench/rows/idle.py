"""Row 16: what a lab costs while nothing happens: processes, memory, wake-ups."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from bench.labs import SMALL
from bench.libvirt import Libvirt
from bench.place import Place
from bench.session import Session

ABOUT = "processes, memory and wake-ups of a lab that is up, beside libvirtd's; QEMUs aside"
_NETWORK = """\
<network><name>idle</name><bridge name='virbr99'/><ip address='10.79.0.1' netmask='255.255.255.0'>
<dhcp><range start='10.79.0.2' end='10.79.0.100'/></dhcp></ip></network>
"""


def run(session: Session) -> None:
    daemon = session.libvirt()
    for place in session.realms("idle"):
        place.write(SMALL)
        place.qlan("up", "--no-wait")
        try:
            with session.no_time_for_failures("idle"):
                place.must_be_up(1)
                ours = _cost(_of_folder(place), 2.0 if session.quick else 10.0)
        finally:
            place.qlan("down", "--force")
        if isinstance(daemon, str):
            session.leave_out(f"idle lab, {place.realm}, beside libvirt: {ours}", daemon)
            continue
        theirs = _libvirt_cost(session, daemon)
        for what, unit in (("processes", ""), ("memory", "MB"), ("wake-ups", "/s")):
            limit = 1.0 if theirs[what] else None
            session.figure(f"idle {what}, {place.realm}", "libvirtd + dnsmasq", unit, (ours[what], theirs[what]), limit)


def _libvirt_cost(session: Session, daemon: Libvirt) -> dict[str, float]:
    daemon.define("net", _NETWORK)
    daemon.virsh("net-start", "idle")
    try:
        return _cost(_of_namespace(daemon), 2.0 if session.quick else 10.0)
    finally:
        daemon.virsh("net-destroy", "idle")
        daemon.virsh("net-undefine", "idle")


def _of_folder(place: Place) -> Callable[[Path], bool]:
    """qlan's own: they name its run folder, or hold a namespace of it."""
    record = place.folder / "r" / "small" / "namespace"
    holders = {file.read_text().split()[0] for file in record.iterdir()} if record.exists() else set()
    word = str(place.folder).encode()

    def is_ours(process: Path) -> bool:
        words = (process / "cmdline").read_bytes()
        return (word in words or process.name in holders) and not words.startswith(b"qemu-") and b"/qemu-" not in words

    return is_ours


def _of_namespace(daemon: Libvirt) -> Callable[[Path], bool]:
    own = Path(f"/proc/{daemon.pid}/ns/pid").readlink()
    return lambda process: (process / "ns/pid").readlink() == own and process.name != str(daemon.pid)


def _cost(is_one: Callable[[Path], bool], time_s: float) -> dict[str, float]:
    chosen = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if is_one(process):
                chosen.append(process)
        except OSError:
            continue
    before = {process: _switches(process) for process in chosen}
    time.sleep(time_s)
    chosen = [process for process in chosen if process.exists()]  # one was still on its way out
    woken = sum(_switches(process) - before[process] for process in chosen)
    memory = sum(map(_own_memory_mb, chosen))
    return {"processes": float(len(chosen)), "memory": memory, "wake-ups": woken / time_s}


def _switches(process: Path) -> int:
    """How often its threads gave the processor back by themselves, hence were woken."""
    return sum(_number(status, "voluntary_ctxt_switches:") for status in (process / "task").glob("*/status"))


def _own_memory_mb(process: Path) -> float:
    """Its share of memory: what several have is divided among them."""
    return _number(process / "smaps_rollup", "Pss:") / 1024


def _number(file: Path, key: str) -> int:
    for line in file.read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    return 0

"""Row 13: a guest's start until QMP answers, and its stop until all is gone."""

from __future__ import annotations

import json
import socket
import time
from functools import partial
from pathlib import Path

from bench.labs import SMALL
from bench.libvirt import Libvirt
from bench.measure import Failed, took_s
from bench.place import Place
from bench.session import Session

ABOUT = "a guest's start until QMP answers, its stop until all is gone"
_DOMAIN = """\
<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<interface type='user'><model type='virtio'/></interface></devices></domain>
"""


def run(session: Session) -> None:
    for place in session.realms("guest"):
        place.write(SMALL)
        stops: list[tuple[float, float]] = []
        ours: dict[str, float] = {}
        raw = ("qemu -daemonize", partial(_raw, place, stops, ours))
        session.compare(f"lab of one guest up, {place.realm}", partial(_up, place, ours), raw)
        if stops:
            session.series(f"it down, {place.realm}", "kill and wait", "s", stops)
        _restart(session, place)


def _up(place: Place, ours: dict[str, float]) -> float:
    cost = place.qlan("up", "--no-wait")
    place.must_be_up(1)
    ours["down"] = place.qlan("down", "--force")
    return cost


def _restart(session: Session, place: Place) -> None:
    """One guest of a lab that is up: stopped by `down GUEST`, started by `up`."""
    place.qlan("up", "--no-wait")
    what = f"guest of a lab that is up, {place.realm}"
    stops: dict[str, float] = {}
    try:
        place.qlan("down", "--force", "a")

        def start() -> float:
            cost = place.qlan("up", "--no-wait")
            place.must_be_up(1)
            stops["stop"] = place.qlan("down", "--force", "a")
            return cost

        def raw() -> float:
            return _raw(place, [], {})

        session.compare(f"{what}: start", start, ("qemu -daemonize", raw), 2.5)
        daemon = session.libvirt()
        if isinstance(daemon, str):
            session.leave_out(f"{what} beside libvirt", daemon)
            return
        daemon.define("dom", _DOMAIN.format(name=place.realm))
        theirs: list[tuple[float, float]] = []
        session.compare(
            f"{what}: start", start, ("virsh start", partial(_virsh, daemon, place.realm, theirs, stops)), 0.3, 5
        )
        if theirs:
            session.series(f"{what}: stop", "virsh destroy", "s", theirs, 0.35)
    finally:
        place.qlan("down", "--force")


def _virsh(daemon: Libvirt, name: str, stops: list[tuple[float, float]], ours: dict[str, float]) -> float:
    cost = daemon.virsh("start", name)
    stops.append((ours["stop"], daemon.virsh("destroy", name)))
    return cost


def _raw(place: Place, stops: list[tuple[float, float]], ours: dict[str, float]) -> float:
    """QEMU by hand on a user network, until its QMP greets."""
    pid, path = place.folder / "raw.pid", place.folder / "raw.qmp"
    words = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-S", "-m", "16M", "-accel", "tcg", "-machine",
             "q35", "-daemonize", "-pidfile", str(pid), "-qmp", f"unix:{path},server=on,wait=off", "-nic",
             "user,model=virtio-net-pci"]  # fmt: skip
    start = time.perf_counter()
    took_s([*place.enter, *words], place.environment, str(place.folder))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        if "QMP" not in json.loads(client.makefile().readline()):
            raise Failed("no QMP greeting")
    cost = time.perf_counter() - start
    begin = time.perf_counter()
    number = pid.read_text().strip()
    took_s(["kill", "-KILL", number])
    while _runs(Path(f"/proc/{number}/stat")):
        time.sleep(0.0005)
    stops.append((ours.get("down", 0.0), time.perf_counter() - begin))
    path.unlink(missing_ok=True)
    return cost


def _runs(stat: Path) -> bool:
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False

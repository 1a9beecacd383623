"""Rows 4 and 5: labs of many NICs, up and down, and up once more."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

from bench.labs import bridge_count, guest_sizes, many_nics
from bench.measure import Failed, took_s
from bench.mininet import Mininet
from bench.namespaces import of_lab
from bench.place import Place
from bench.session import GUEST_PAIRS, Session

ABOUT = "a lab of 10 to 1000 NICs up, up again, and down, beside `ip -batch` with the same QEMUs, and Mininet"
UP_LIMITS = {300: 1.5}
DOWN_LIMITS = {300: 0.1}
AGAIN_LIMIT = 0.15
GROWTH_LIMIT = 14.0
MININET_MAX, MININET_PAIRS = 300, 3
MININET_LIMITS = {300: 0.1}
_NEWS_S = 3.0  # the kernel's own of links that are new: duplicate address detection, carriers


def run(session: Session) -> None:
    sizes = (10,) if session.quick else (10, 100, 300, 1000)
    for place in session.realms("labs of many NICs"):
        for nics in sizes:
            with session.no_time_for_failures(f"{nics} NICs, {place.realm}"):
                _size(session, place, nics)
        _growth(session, place.realm)
    _beside_mininet(session, [nics for nics in sizes if nics <= MININET_MAX])


def _growth(session: Session, realm: str) -> None:
    """Ten times the NICs, and how many times as long."""
    ups = {nics: median(one.ours) for one in session.results.measured for nics in (100, 1000)
           if one.what == f"{nics} NICs, {realm}: up"}  # fmt: skip
    if len(ups) == 2:
        session.figure(f"1000 NICs up, {realm}", "100 NICs", "s", (ups[1000], ups[100]), GROWTH_LIMIT)


def _beside_mininet(session: Session, sizes: Sequence[int]) -> None:
    """Its hosts are processes in namespaces, each on a veth pair; ours are QEMUs on TAPs."""
    place = session.places.get("host")
    if place is None:
        session.leave_out("Mininet", session.missing["host"])
        return
    with session.no_time_for_failures("Mininet"):
        mininet = Mininet(place.folder / "mininet")
        for nics in sizes:
            place.write(many_nics(nics))
            ups, downs = [], []
            for _ in range(session.pairs(MININET_PAIRS)):
                ours = {"down": 0.0}
                up, (its_up, its_down) = _up(place, nics, ours), mininet.up_and_down(nics)
                ups.append((up, its_up))
                downs.append((ours["down"], its_down))
            session.series(f"{nics} NICs, host: up", "Mininet", "s", ups, MININET_LIMITS.get(nics))
            session.series(f"{nics} NICs, host: down", "Mininet", "s", downs)


def _size(session: Session, place: Place, nics: int) -> None:
    hand = ByHand(place, nics)
    place.write(many_nics(nics))
    pairs = 3 if nics >= 1000 else GUEST_PAIRS
    what = f"{nics} NICs, {place.realm}"
    ours = {"up": 0.0, "again": 0.0, "down": 0.0}
    downs: list[tuple[float, float]] = []
    session.compare(f"{what}: up", partial(_up, place, nics, ours), ("ip -batch + qemu", partial(_hand_up, hand, downs,
                    ours)), UP_LIMITS.get(nics), pairs)  # fmt: skip
    if downs:
        session.figure(f"{what}: down", "deleting one by one", "s", _medians(downs), DOWN_LIMITS.get(nics))
    place.qlan("up", "--no-wait")
    try:
        first = ours["up"]
        session.compare(f"{what}: up again", partial(place.qlan, "up", "--no-wait"), ("its first up", lambda: first),
                        AGAIN_LIMIT if nics == 300 else None)  # fmt: skip
        _is_silent(session, place, what)
    finally:
        place.qlan("down", "--force")


def _up(place: Place, nics: int, ours: dict[str, float]) -> float:
    ours["up"] = place.qlan("up", "--no-wait")
    place.must_be_up(nics)
    ours["down"] = place.qlan("down", "--force")
    return ours["up"]


def _hand_up(hand: ByHand, downs: list[tuple[float, float]], ours: dict[str, float]) -> float:
    up = hand.up()
    downs.append((ours["down"], hand.down()))
    return up


def _medians(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    middle = len(pairs) // 2
    return sorted(a for a, _ in pairs)[middle], sorted(b for _, b in pairs)[middle]


def _is_silent(session: Session, place: Place, what: str) -> None:
    """A second `up` changes nothing: not one netlink message is heard of."""
    inside = of_lab(place, "big") if place.realm == "rootless" else ()
    time.sleep(_NEWS_S)
    with subprocess.Popen([*inside, "ip", "monitor"], stdout=subprocess.PIPE, text=True) as monitor:
        try:
            place.qlan("up", "--no-wait")
        finally:
            monitor.terminate()
        said = monitor.communicate()[0].splitlines()
    session.figure(f"{what}: messages of `ip monitor` at the second up", "none", "messages", (len(said), 1), 0.0)


class ByHand:
    """The same by `ip -batch` and QEMU: persistent TAPs, as hand-made labs have them."""

    def __init__(self, place: Place, nics: int) -> None:
        self.place, self.nics = place, nics
        self.batch = place.folder / "batch"
        self.holder: subprocess.Popen[bytes] | None = None
        self.pids: list[Path] = []

    def up(self) -> float:
        lines = [f"link add br{net} type bridge\nlink set br{net} up\naddr add 10.78.{net}.1/24 dev br{net}"
                 for net in range(bridge_count(self.nics))]  # fmt: skip
        lines += [f"tuntap add t{nic} mode tap vnet_hdr\nlink set t{nic} master br{nic // 100} up"
                  for nic in range(self.nics)]  # fmt: skip
        self.batch.write_text("\n".join(lines) + "\n")
        enter = self._enter()
        cost = took_s([*enter, "ip", "-batch", str(self.batch)], self.place.environment)
        first = 0
        for guest, size in enumerate(guest_sizes(self.nics)):
            pid = self.place.folder / f"pid{guest}"
            cost += took_s([*enter, *_qemu(pid, first, size)], self.place.environment, str(self.place.folder))
            self.pids.append(pid)
            first += size
        return cost

    def down(self) -> float:
        """As is usual: every link by itself."""
        cost = 0.0
        for pid in self.pids:
            cost += took_s(["kill", "-KILL", pid.read_text().strip()])
        self.pids.clear()
        lines = [f"link del t{nic}" for nic in range(self.nics)]
        lines += [f"link del br{net}" for net in range(bridge_count(self.nics))]
        self.batch.write_text("\n".join(lines) + "\n")
        cost += took_s([*self._enter(), "ip", "-batch", str(self.batch)], self.place.environment)
        if self.holder:
            self.holder.kill()
            self.holder.wait()
            self.holder = None
        return cost

    def _enter(self) -> tuple[str, ...]:
        if self.place.realm == "host":
            return ()
        if self.holder is None:
            words = [*self.place.enter, "unshare", "--user", "--map-root-user", "--net", "sh", "-c",
                     "ip link set lo up; echo; exec sleep infinity"]  # fmt: skip
            self.holder = subprocess.Popen(words, stdout=subprocess.PIPE)
            if not (self.holder.stdout and self.holder.stdout.read(1)):
                raise Failed("no user namespace")
        return (*self.place.enter, "nsenter", f"--target={self.holder.pid}", "--user", "--net",
                "--preserve-credentials", "--")  # fmt: skip


def _qemu(pid: Path, first: int, size: int) -> list[str]:
    words = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-S", "-m", "16M", "-accel", "tcg", "-machine",
             "q35", "-daemonize", "-pidfile", str(pid)]  # fmt: skip
    for nic in range(size):
        words += ["-netdev", f"tap,id=n{nic},ifname=t{first + nic},script=no,downscript=no"]
        words += ["-device", f"virtio-net-pci,netdev=n{nic},romfile="]
    return words

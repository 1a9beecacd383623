"""Row 7: many forwards: one more of them, all of them, and a connection through the last."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from bench import connect, echo
from bench.labs import PAUSED
from bench.measure import Failed, took_s
from bench.place import Place
from bench.session import Session
from bench.world import held

ABOUT = "a forward more on a network that has 10,000, 1000 at once, a connection through the last, beside nft by hand"
_HERE, _CALLER = "198.51.100.69", "198.51.100.70"
_FIRST, _SERVED, _MANY = 20000, 40000, 92
_A_RANGE = 1000  # the most that the file takes
_HOLD = "ip link set lo up; echo; exec sleep infinity"
_LAB = """\
lab: ports{count}
networks:
  lan: {{kind: nat, subnet: 10.{net}.0.0/24, bridge_name: ports{net}}}
guests:
  a: {{{paused}, nics: [{{network: lan, address: 10.{net}.0.10, forwards: ["{forwards}"]}}]}}
"""
_TABLE = """\
add table ip ports
add map ip ports given {{ type inet_service : ipv4_addr . inet_service; }}
add chain ip ports in {{ type nat hook prerouting priority dstnat; }}
add rule ip ports in iifname caller0 dnat ip to tcp dport map @given
add element ip ports given {{ {elements} }}
"""


@dataclass(frozen=True, slots=True)
class Many:
    """A lab with so many forwards.  caller: words that run a command outside."""

    place: Place
    count: int
    net: int
    caller: tuple[str, ...]

    def write(self) -> None:
        starts = range(0, self.count, _A_RANGE)
        ranges = [(start, min(start + _A_RANGE, self.count) - 1) for start in starts]
        forwards = '", "'.join(
            f"{_HERE}:{self.first + a}-{self.first + b}:{_SERVED + a}-{_SERVED + b}" for a, b in ranges
        )
        self.place.write(_LAB.format(count=self.count, net=self.net, paused=PAUSED, forwards=forwards))

    @property
    def first(self) -> int:
        """A range of ports of its own, if it is the only one that has more than 1000."""
        return _FIRST if self.net == _MANY else _FIRST + 10000 + 1000 * (self.net % 10)

    def up(self) -> float:
        self.write()
        cost = self.place.qlan("up", "--no-wait")
        self.place.must_be_up(1)
        return cost

    def down(self) -> None:
        self.place.qlan("down", "--force")

    def add(self) -> float:
        cost = self.place.qlan("forward", "add", "a", f"{_HERE}:{_FIRST - self.net}:7")
        self.place.qlan("forward", "remove", "a", str(_FIRST - self.net))
        return cost

    def connection(self) -> float:
        return _connection(self.caller, self.first + self.count - 1)


def run(session: Session) -> None:
    place = session.places.get("host")
    if place is None:
        session.leave_out("ports", session.missing["host"])
        return
    few, thousand, many = (3, 20, 200) if session.quick else (10, 1000, 10000)
    with _caller() as caller, ExitStack() as stack:
        labs = {count: Many(place.below(f"ports{count}"), count, net, caller)
                for net, count in enumerate((few, thousand, many, 1), _MANY - 2)}  # fmt: skip
        with session.no_time_for_failures(f"{thousand} forwards"):
            _all_at_once(session, labs[thousand], labs[1])
        for count in (few, many):
            stack.callback(labs[count].down)
            with session.no_time_for_failures(f"{count} forwards"):
                cost = labs[count].up()
        session.figure(f"a lab with {many} forwards up", "nft -f", "s", (cost, _by_hand(labs[many])))
        session.compare(f"a forward more beside {many}", labs[many].add, (f"beside {few}", labs[few].add), 1.2)
        with session.no_time_for_failures("a connection"), _served(labs[many]), _table(labs[many]):
            by_hand = ("the same map by hand", partial(_connection, caller, _FIRST - 1))
            session.compare(f"a connection through the last of {many}", labs[many].connection, by_hand, 1.1)


def _all_at_once(session: Session, many: Many, one: Many) -> None:
    """Up with so many, beside up with one and the others by `nft -f`."""

    def ours() -> float:
        try:
            return many.up()
        finally:
            many.down()

    def theirs() -> float:
        try:
            return one.up() + _by_hand(many)
        finally:
            one.down()

    session.compare(f"a lab with {many.count} forwards up", ours, ("up with one, and `nft -f`", theirs), 1.5, 7)


def _by_hand(many: Many) -> float:
    with _table(many) as cost:
        return cost


@contextmanager
def _table(many: Many) -> Iterator[float]:
    """As many in a map of nft, from the ports before; how long loading it takes.  The last leads where qlan's does."""
    target = f"10.{many.net}.0.10"
    ports = [f"{number} : {target} . {_SERVED}" for number in range(_FIRST - 1 - many.count, _FIRST - 1)]
    ports.append(f"{_FIRST - 1} : {target} . {_SERVED + many.count - 1}")
    file = many.place.folder / "table"
    file.write_text(_TABLE.format(elements=", ".join(ports)))
    cost = took_s(["nft", "-f", str(file)])
    try:
        yield cost
    finally:
        took_s(["nft", "delete table ip ports"])


@contextmanager
def _caller() -> Iterator[tuple[str, ...]]:
    """Somebody outside, by a cable."""
    with held(["unshare", "--net", "sh", "-c", _HOLD]) as pid:
        there = ("nsenter", f"--target={pid}", "--net", "--")
        took_s(["ip", "link", "add", "caller0", "type", "veth", "peer", "name", "up0", "netns", str(pid)])
        try:
            for words in ((), f"addr add {_HERE}/30 dev caller0", "link set caller0 up",
                          f"route add default via {_CALLER} metric 900"):  # fmt: skip
                took_s(["ip", *(words.split() if words else ("link",))])
            for words in (f"addr add {_CALLER}/30 dev up0", "link set up0 up", f"route add default via {_HERE}"):
                took_s([*there, "ip", *words.split()])
            yield there
        finally:
            took_s(["ip", "link", "del", "caller0"])


@contextmanager
def _served(many: Many) -> Iterator[None]:
    """Somebody at the guest's address, whose QEMU is paused, answers at the last forward's port."""
    address = f"10.{many.net}.0.10"
    with held(["unshare", "--net", "sh", "-c", _HOLD]) as pid:
        there = ("nsenter", f"--target={pid}", "--net", "--")
        took_s(["ip", "link", "add", "stand0", "type", "veth", "peer", "name", "eth0", "netns", str(pid)])
        took_s(["ip", "link", "set", "stand0", "master", f"ports{many.net}", "up"])
        for words in (f"addr add {address}/24 dev eth0", "link set eth0 up",
                      f"route add default via 10.{many.net}.0.1"):  # fmt: skip
            took_s([*there, "ip", *words.split()])
        try:
            with held([*there, sys.executable, echo.__file__, address, str(_SERVED + many.count - 1)]):
                yield
        finally:
            took_s(["ip", "link", "del", "stand0"])


def _connection(caller: tuple[str, ...], port: int) -> float:
    words = [*caller, sys.executable, connect.__file__, _HERE, str(port), "100"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise Failed(done.stderr[-300:])
    return float(done.stdout)

"""Frames of a guest's NIC, of all its NICs, or of a network, while they pass.

A NIC with a TAP and a network are listened to in their namespace (host/ring.py); any other NIC inside its QEMU
(host/dump.py).  Several are one stream, in the order of time as far as they arrive in it.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Protocol

from qlan.bpf import Instruction
from qlan.errors import UsageError
from qlan.host.namespace import find_holder
from qlan.host.ring import Ring
from qlan.host.run import run
from qlan.lab import Lab
from qlan.names import nearest
from qlan.pcapng import Packet
from qlan.planning import scope
from qlan.render.qemu import netdev_id
from qlan.resources.model import HOST, Bridge, ForeignBackend, Nic, Resource, Tap, TapBackend
from qlan.values import Value

_POLL_S = 0.05


class Source(Protocol):
    """Where frames come from."""

    dropped: int

    @property
    def is_gone(self) -> bool:
        """Whether nothing will come any more."""

    def read(self) -> Iterator[Packet]:
        """The frames that are there now."""

    def last(self) -> Iterator[Packet]:
        """The rest, at the end."""

    def count_dropped(self) -> int:
        """Frames that were lost so far."""

    def close(self) -> None:
        """Leave no trace."""


class Point(Value):
    """A place to listen at.  name: `web/0` or a network's; guest: "" for a network; link: "" inside QEMU.

    tap_mac: of a NIC that somebody else plugged into a TAP.
    """

    name: str
    guest: str
    namespace: str
    link: str
    netdev: str = ""
    tap_mac: str = ""


def points(lab: Lab, name: str) -> list[Point]:
    """What `web/0`, `web` (all its NICs) or `lan` (a network) means; UsageError."""
    known, there = lab.read()
    known = {**known, **there}
    bridge = known.get(f"bridge/{name}")
    if isinstance(bridge, Bridge):
        bridges = [one for one in known.values() if isinstance(one, Bridge) and one.network == name]
        return [Point(name, "", one.namespace, one.name) for one in sorted(bridges, key=lambda one: one.branch)]
    guest, _, index = name.partition("/")
    if guest not in scope.guest_names(known):
        raise _unknown(guest, known)
    nics = [one for one in known.values() if isinstance(one, Nic) and one.guest == guest]
    found = [_point(one, known) for one in nics if index in ("", str(one.index))]
    if not found:
        words = ", ".join(f"{guest}/{one.index}" for one in nics)
        raise UsageError(f"guest `{guest}` has no NIC {index}".rstrip(), hint=f"it has {words or 'none'}")
    if f"machine/{guest}" not in there:
        raise UsageError(f"guest `{guest}` does not run", hint="`qlan up` starts it")
    return found


def compiled(expression: str) -> Sequence[Instruction]:
    """A filter in the language of pcap-filter(7), compiled by tcpdump; UsageError with its words."""
    if not expression:
        return ()
    done = run(["tcpdump", "-ddd", "-y", "EN10MB", "--", expression], ok=(0, 1))
    if done.returncode:
        words = done.stderr.strip().splitlines()
        raise UsageError(f"no filter: {words[-1].removeprefix('tcpdump: ') if words else expression}",
                         where=expression, hint="like `tcp port 80`, `arp or icmp`: man pcap-filter")  # fmt: skip
    lines = [line.split() for line in done.stdout.splitlines()[1:]]
    return [(int(code), int(yes), int(no), int(value)) for code, yes, no, value in lines]


def capture(lab: Lab, where: Sequence[Point], take: Callable[[Sequence[Packet]], bool], *,
            program: Sequence[Instruction] = (), time_limit_s: float | None = None) -> int:  # fmt: skip
    """Listen until the time is over, take() says False, or nothing is left to listen to; frames that were lost.

    take: gets what came, in pieces.  A Ctrl-C (KeyboardInterrupt) is the usual end, and the last frames come after it.
    """
    deadline = None if time_limit_s is None else time.monotonic() + time_limit_s
    with ExitStack() as stack:
        sources = [_opened(lab, one, number, program, stack) for number, one in enumerate(where)]
        poller = select.poll()
        for source in sources:
            if isinstance(source, Ring):
                poller.register(source, select.POLLIN)
        with suppress(KeyboardInterrupt):
            while deadline is None or time.monotonic() < deadline:
                poller.poll(_POLL_S * 1000)
                batch = _sorted(packet for one in sources for packet in one.read())
                if not take(batch) or all(one.is_gone for one in sources):
                    break
        take(_sorted(packet for one in sources for packet in one.last()))
        return sum(one.count_dropped() for one in sources)


def _opened(lab: Lab, point: Point, number: int, program: Sequence[Instruction], stack: ExitStack) -> Source:
    source: Source
    if point.link:
        holder = find_holder(lab.layout, point.namespace) if point.namespace != HOST else None
        source = Ring(holder, point.link, program, number)
    else:
        from qlan.host.dump import Dump

        source = Dump(lab.layout, point.guest, (point.netdev, number), program, point.tap_mac)
    stack.callback(source.close)
    return source


def _sorted(packets: Iterable[Packet]) -> list[Packet]:
    return sorted(packets, key=lambda one: one.time_ns)


def _point(nic: Nic, known: Mapping[str, Resource]) -> Point:
    name = f"{nic.guest}/{nic.index}"
    tap = known.get(nic.backend.tap) if isinstance(nic.backend, TapBackend) else None
    if isinstance(tap, Tap):
        return Point(name, nic.guest, tap.namespace, tap.name)
    foreign = isinstance(nic.backend, ForeignBackend) and nic.backend.kind == "tap"
    return Point(name, nic.guest, HOST, "", netdev_id(nic), nic.mac if foreign else "")


def _unknown(name: str, known: Mapping[str, Resource]) -> UsageError:
    names = [*scope.guest_names(known), *(one.network for one in known.values() if isinstance(one, Bridge))]
    near = nearest(name, names)
    return UsageError(f"no guest and no network `{name}` in this lab",
                      hint=f"did you mean `{near}`?" if near else f"it has {', '.join(names) or 'none'}")  # fmt: skip

"""What a lab has beside its file: NICs and forwards changed by hand, and guests that somebody else started.

What was changed by hand stays until it is taken back (`qlan up --discard`), or the file changes that guest.  The file
does not know adopted guests: they are kept, whatever it says, until they are released or have ended.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from qlan.errors import QlanError, UsageError
from qlan.host import present
from qlan.journal import Record
from qlan.planning import scope
from qlan.render.layout import Layout
from qlan.resources.model import (
    Dnsmasq,
    Nic,
    Outlet,
    PortForward,
    PublishedPort,
    Relay,
    Resource,
    Resources,
    ReversePort,
)
from qlan.values import Value, replace

if TYPE_CHECKING:
    from qlan.networks.published import Ways
    from qlan.topology.changes import Change
    from qlan.topology.model import Topology

_Forward = PortForward | PublishedPort | ReversePort
_CARRIERS = ("relay", "outlet", "portmap")


def living(layout: Layout, record: Record) -> Record:
    """Without the adopted guests that have ended: the lab has no part in that.  What served them is put right by
    the next `up`: that it is there still is nobody's doing.
    """
    ended = [guest for guest in scope.adopted(record.wanted) if present.find_machine(layout, guest) is None]
    if not ended:
        return record
    wanted = scope.for_down(scope.given_back(record.wanted, ended), ended)
    wanted |= {key: one for key, one in record.wanted.items() if isinstance(one, Dnsmasq | Relay | Outlet)}
    held = Held(record.changes, record.unsaved).without(ended)
    return replace(record, wanted=wanted, changes=held.changes, unsaved=held.lines)


class Held(Value):
    """What was changed by hand and stays: NICs (changes), and forwards as `+ KEY`, `- KEY` and `~ KEY` (lines)."""

    changes: tuple[Change, ...] = ()
    lines: tuple[str, ...] = ()

    def guests(self) -> set[str]:
        """Whose."""
        return {one.guest for one in self.changes} | {_guest_of(line) for line in self.lines}

    def without(self, guests: Iterable[str]) -> Held:
        """What is not theirs."""
        names = set(guests)
        return Held(
            tuple(one for one in self.changes if one.guest not in names),
            tuple(line for line in self.lines if _guest_of(line) not in names),
        )


def held(record: Record | None, layout: Layout, topology: Topology | None, *, discard: bool) -> Held:
    """Of a lab that comes from this topology: what stays.  discard: of guests of the file, nothing.

    What gives way: all of a guest of which the file says something else than when it was changed, or that is not there
    any more; what was plugged in for a while and whose time is over, or whose guest has ended.
    """
    if record is None or not (record.changes or record.unsaved):
        return Held()
    found = Held(_without_timed(record.changes, layout), record.unsaved)
    if topology is None:
        return found
    theirs = scope.adopted(record.wanted)
    lost = [guest for guest in found.guests() if guest not in theirs and (discard or _is_lost(guest, record, topology))]
    return found.without(lost)


def _without_timed(changes: tuple[Change, ...], layout: Layout) -> tuple[Change, ...]:
    if not any(one.until is not None for one in changes):
        return changes
    from qlan.topology.changes import timed, with_change

    for one in timed(changes):
        if (one.until or 0) < time.time() or present.find_machine(layout, one.guest) is None:
            changes = with_change(changes, replace(one, verb="detach", until=None))
    return changes


def _is_lost(guest: str, record: Record, topology: Topology) -> bool:
    from qlan.topology.changes import base_of, changed

    base, now = record.bases.get(guest, ""), base_of(topology, guest)
    if not now or (base and base != now):
        return True
    mine = [one for one in record.changes if one.guest == guest]
    places = {*(one.name for one in topology.networks), "user", ""}
    try:
        changed(topology, mine)
    except UsageError:
        return True
    return any(one.network not in places for one in mine)


def bases(source: Path | None, guests: Iterable[str]) -> dict[str, str]:
    """What the file says of them now, as digests; "": nothing that can be read."""
    from qlan.topology.changes import base_of
    from qlan.topology.load import load

    names = list(guests)
    if source is None or not names:
        return {}
    try:
        topology = load(source)
    except (QlanError, OSError):
        return {}
    return {guest: base_of(topology, guest) for guest in names}


def by_hand(record: Record) -> tuple[str, ...]:
    """In words, what was changed by hand and is not in the file, of guests that are."""
    theirs = scope.adopted(record.wanted)
    return tuple(str(one) for one in record.changes if one.guest not in theirs)


def unsaved(record: Record) -> tuple[str, ...]:
    """What was opened and closed by hand likewise, as `+ KEY`, `- KEY` and `~ KEY`."""
    theirs = scope.adopted(record.wanted)
    return tuple(line for line in record.unsaved if _guest_of(line) not in theirs)


def of_file(before: Record | None, lines: Iterable[str]) -> Resources:
    """What the file has of these, as far as it was known."""
    keys = {line[2:] for line in lines}
    return {key: one for key, one in before.of_file.items() if key in keys} if before else {}


def still_held(before: Record, wanted: Mapping[str, Resource], now: Held) -> Held:
    """What is to be remembered of it while this is wanted."""
    stays = now.without(guest for guest in now.guests() if f"machine/{guest}" not in wanted)
    return Held(stays.changes, tuple(line for line in stays.lines if line[0] == "-" or line[2:] in wanted))


def of_others(before: Record, now: Held, guests: Iterable[str]) -> Held:
    """What is held, and of these guests, which stay as they are, all that was."""
    names = set(guests)
    return Held(
        tuple(one for one in before.changes if one in now.changes or one.guest in names),
        tuple(line for line in before.unsaved if line in now.lines or _guest_of(line) in names),
    )


def with_held(wanted: Resources, record: Record | None, now: Held, ways: Ways) -> Resources:
    """With what was changed by hand (its NICs are in the topology already), and what carries the forwards."""
    found = scope.pulled(wanted, now.changes)
    if record is None or not now.lines:
        return found
    from qlan.networks import published

    found = dict(found)
    for line in now.lines:
        sign, _, key = line.partition(" ")
        one = record.wanted.get(key)
        if sign != "+":
            place = key.partition("/")[2]  # by whom it is carried depends on the network that its NIC is on
            for kind in ("port", "forward", "reverse"):
                found.pop(f"{kind}/{place}", None)
        if (
            sign != "-"
            and isinstance(one, _Forward)
            and _stays(one, record.wanted, found)
            and not _is_taken(one, found)
        ):
            found[key] = one
    needed = {need for one in found.values() if isinstance(one, _Forward) for need in one.needs} - found.keys()
    carriers = {key: record.wanted[key] for key in record.wanted if key in needed and not key.startswith("portmap/")}
    return published.complete(carriers | found, record.lab, ways)


def _is_taken(one: _Forward, wanted: Resources) -> bool:
    """Whether the file gives the port to another guest."""
    place = one.key.rpartition("/")[2]
    others = (each for each in wanted.values() if isinstance(each, _Forward) and type(each) is type(one))
    return any(each.key.rpartition("/")[2] == place and each.guest != one.guest for each in others)


def _guest_of(line: str) -> str:
    """Of `+ KEY` and the like, KEY a forward's."""
    return line.split("/")[1] if "/" in line else ""


def _stays(forward: _Forward, before: Resources, wanted: Resources) -> bool:
    """Its NIC is on the network that it was on, and what it needs is wanted, or comes along with it."""
    key = f"nic/{forward.guest}/{forward.nic}"
    was, now = before.get(key), wanted.get(key)
    if not (isinstance(was, Nic) and isinstance(now, Nic)):
        return False
    same = scope.network_of(was, before) == scope.network_of(now, wanted)
    return same and all(need in wanted or need.split("/")[0] in _CARRIERS for need in forward.needs)


def changed(topology: Topology, now: Held) -> Topology:
    """The file's topology with its NICs as they were changed by hand, and adopted guests with what they were lent."""
    if not now.changes:
        return topology
    from qlan.topology import changes

    return changes.changed(topology, now.changes)

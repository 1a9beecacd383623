"""Bad networks on purpose, while guests run: delay, loss and rates of a NIC, and guests that do not hear each other.

What is bent stays beside the file, in the lab's record, until it is taken back: `up`, and a guest that is started anew,
find it again.  It is planned, undone on failure and survives a crash like any other change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from qlan.errors import UsageError
from qlan.lab import Lab
from qlan.networks.bending import bent
from qlan.planning import scope
from qlan.planning.plan import Plan
from qlan.render.partition import SIDES_MAX
from qlan.resources.model import (
    Backend,
    ForeignBackend,
    HelperBackend,
    MacvtapBackend,
    Nic,
    Resource,
    Resources,
    TapBackend,
    UserBackend,
    WireBackend,
)
from qlan.topology.bends import WAYS, Bends, Impairment
from qlan.values import replace

_Alter = Callable[[Bends, Mapping[str, Resource]], Bends]

# A NIC without a TAP of ours: why nothing can be done to its frames, and what to do.
_NO_TAP: dict[type[Backend], tuple[str, str]] = {
    UserBackend: ("is user-mode: its network is a program, the kernel has no queue for it",
                  "put it on a network of kind nat, which reaches outside too: `qlan nic move {place} NETWORK`"),
    WireBackend: ("is one end of a wire: its frames go from QEMU to QEMU",
                  "make the network `kind: private`, which has TAPs and a bridge"),
    MacvtapBackend: ("is a macvtap: the NIC below takes its frames past the queues",
                     "use `kind: public`, which has TAPs and a bridge"),
    ForeignBackend: ("is the guest's own, from before it was adopted: what it leads to is not known",
                     "lend the guest one: `qlan nic attach {guest} NETWORK`"),
    HelperBackend: ("has its TAP from QEMU's own helper, as root",
                    "bring the lab up as root: it makes the TAP itself then"),
}  # fmt: skip


def listed(lab: Lab) -> Bends:
    """What is bent now."""
    record = lab.record
    return record.bends if record and record.bends else Bends()


def partition(lab: Lab, sides: Sequence[Sequence[str]]) -> Plan:
    """Have the guests of one side hear those of no other any more, in place of what was partitioned before.

    Guests that are on no side hear all, and so does the host.  Their cables stay in.  UsageError.
    """
    _check_sides(lab, sides)
    return _bend(lab, lambda bends, there: _parted(bends, sides, there))


def heal(lab: Lab) -> tuple[tuple[tuple[str, ...], ...], Plan]:
    """All hear all again; returns the sides that there were."""
    before = listed(lab).sides
    return before, _bend(lab, lambda bends, there: replace(bends, sides=()))


def _check_sides(lab: Lab, sides: Sequence[Sequence[str]]) -> None:
    if len(sides) < 2 or not all(sides):
        raise UsageError("a partition has two sides or more, with a guest or more on each",
                         hint="qlan partition web,db / cache")  # fmt: skip
    if len(sides) > SIDES_MAX:
        raise UsageError(f"a partition has at most {SIDES_MAX} sides, not {len(sides)}")
    guests = [guest for side in sides for guest in side]
    for guest in dict.fromkeys(guests):
        lab.check_guest(guest, running=True)
        if sum(guest in side for side in sides) > 1:
            raise UsageError(f"guest `{guest}` is on two sides", hint="name it once")


def _parted(bends: Bends, sides: Sequence[Sequence[str]], there: Mapping[str, Resource]) -> Bends:
    """UsageError for what cannot be cut."""
    side_of = {guest: place for place, side in enumerate(sides) for guest in side}
    past: dict[tuple[type[Backend], str], list[str]] = {}
    for nic in there.values():
        if not isinstance(nic, Nic) or nic.guest not in side_of:
            continue
        if isinstance(nic.backend, MacvtapBackend | HelperBackend):
            past.setdefault((type(nic.backend), nic.backend.network), []).append(nic.guest)
    for (kind, network), guests in past.items():
        if len({side_of[guest] for guest in guests}) > 1:
            names = sorted(set(guests))
            why = _NO_TAP[kind][0].partition(":")[0]
            raise UsageError(
                f"guests {' and '.join(names)} hear each other over `{network}`: a NIC there {why}",
                hint=f"pull a cable of it: `qlan nic down {names[0]}/{network}`",
            )
    for guest in side_of:
        nics = [one for one in there.values() if isinstance(one, Nic) and one.guest == guest]
        if all(isinstance(one.backend, UserBackend | ForeignBackend) for one in nics):
            raise UsageError(f"guest `{guest}` hears no other guest", hint="leave it out: it has no NIC on a network")
    return replace(bends, sides=tuple(tuple(sorted(set(side))) for side in sides))


def find_nic(lab: Lab, guest: str, word: str) -> int:
    """The number of a running guest's NIC, by its number, its network's name or its MAC; UsageError."""
    lab.check_guest(guest, running=True)
    record = lab.record
    return scope.find_nic(record.wanted if record else {}, guest, word).index


def impair(
    lab: Lab, guest: str, nic: str, settings: Mapping[str, Any], ways: Iterable[str] = WAYS
) -> tuple[list[Impairment], Plan]:
    """Set these fields of an Impairment and leave the others as they are; 0 ends one.  ways: in which directions.

    UsageError: there is no such NIC, or it has no TAP; HostError: the kernel cannot, and nothing was changed.
    """
    number = find_nic(lab, guest, nic)
    found: list[Impairment] = []

    def alter(bends: Bends, there: Mapping[str, Resource]) -> Bends:
        _check_tap(there.get(f"nic/{guest}/{number}"), f"{guest}/{number}")
        before = {(one.guest, one.nic, one.direction): one for one in bends.impairments}
        for way in ways:
            place = (guest, number, way)
            one = replace(before.get(place, Impairment(*place)), **settings)
            _check(one)
            before[place] = one
            found.append(one)
        return replace(bends, impairments=tuple(one for _, one in sorted(before.items()) if one.settings))

    return found, _bend(lab, alter)


def clear(lab: Lab, guest: str = "", nic: str = "", ways: Iterable[str] = WAYS) -> tuple[list[Impairment], Plan]:
    """End all impairments of a NIC, or of the lab; returns those that were there."""
    number = find_nic(lab, guest, nic) if guest else None
    gone: list[Impairment] = []

    def alter(bends: Bends, there: Mapping[str, Resource]) -> Bends:
        gone.extend(
            one
            for one in bends.impairments
            if number is None or ((one.guest, one.nic) == (guest, number) and one.direction in ways)
        )
        return replace(bends, impairments=tuple(one for one in bends.impairments if one not in gone))

    return gone, _bend(lab, alter)


def _bend(lab: Lab, alter: _Alter) -> Plan:
    def altered(before: Resources, there: Resources) -> Resources:
        lab.bends = alter(listed(lab), there)
        return bent(before, lab.bends, lab.name)

    return lab.change(altered)


def _check_tap(nic: Resource | None, place: str) -> None:
    if isinstance(nic, Nic) and not isinstance(nic.backend, TapBackend):
        why, hint = _NO_TAP[type(nic.backend)]
        raise UsageError(f"NIC {place} {why}", hint=hint.format(place=place, guest=nic.guest))


def _check(one: Impairment) -> None:
    for name in ("jitter_us", "reorder_ppm"):
        if getattr(one, name) and not one.delay_us:
            word = name.partition("_")[0]
            why = "a frame overtakes another only while that waits" if word == "reorder" else "it makes a delay vary"
            raise UsageError(f"--{word} needs a --delay: {why}", hint=f"qlan impair {one.guest}/{one.nic} --delay 50ms "
                             f"--{word} {'5ms' if word == 'jitter' else '25%'}")  # fmt: skip

"""What a command for some guests leaves alone, and which running guests a plan would have to restart."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from qlan.errors import ConflictError, UsageError
from qlan.names import nearest
from qlan.planning.cost import Cost
from qlan.planning.plan import Action, Plan, changed_fields, closure, plan
from qlan.resources.model import (
    Adopted,
    Bridge,
    Dnsmasq,
    ForeignBackend,
    HelperBackend,
    Ifb,
    Machine,
    Macvtap,
    MacvtapBackend,
    Nic,
    Outlet,
    Passt,
    PortForward,
    PortMap,
    PublishedPort,
    Relay,
    Resource,
    Resources,
    ReversePort,
    Shaping,
    Tap,
    TapBackend,
    Trunk,
    UserBackend,
    WireBackend,
)
from qlan.values import replace

if TYPE_CHECKING:
    from qlan.topology.changes import Change

_OF_A_GUEST = (Machine, Adopted, Nic, PortForward, PublishedPort, Tap, Ifb, Shaping, Macvtap, Passt, ReversePort)


def guest_of(resource: Resource) -> str | None:
    """The guest that a resource is part of, or None (networks and namespaces are nobody's)."""
    return resource.guest if isinstance(resource, _OF_A_GUEST) else None


def network_of(nic: Nic, known: Mapping[str, Resource]) -> str:
    """The name of the NIC's network, or `user`; of one that is not the lab's, QEMU's word for what it is on."""
    if isinstance(nic.backend, UserBackend):
        return "user"
    if isinstance(nic.backend, ForeignBackend):
        return nic.backend.kind or "none"
    if isinstance(nic.backend, WireBackend | HelperBackend | MacvtapBackend):
        return nic.backend.network
    tap = known.get(nic.backend.tap)
    return tap.network if isinstance(tap, Tap) else ""


def nics_of(guest: str, known: Mapping[str, Resource]) -> list[Nic]:
    """A guest's NICs, in their order."""
    return sorted((one for one in known.values() if isinstance(one, Nic) and one.guest == guest), key=_index)


def _index(nic: Nic) -> int:
    return nic.index


def find_nic(known: Mapping[str, Resource], guest: str, word: str) -> Nic:
    """The NIC of a guest that has this number, network or MAC; UsageError."""
    nics = {one.index: (network_of(one, known), one) for one in nics_of(guest, known)}
    found = [one for network, one in nics.values() if word.lower() in (str(one.index), network, one.mac)]
    if len(found) == 1:
        return found[0]
    there = ", ".join(f"{index} ({network})" for index, (network, _) in nics.items()) or "none"
    if found:
        raise UsageError(f"guest `{guest}` has several NICs on `{word}`", hint=f"say its number: {there}")
    raise UsageError(f"guest `{guest}` has no NIC `{word}`", hint=f"its NICs: {there}")


def guest_names(resources: Mapping[str, Resource]) -> list[str]:
    """The guests among resources, in their order."""
    return [one.guest for one in resources.values() if isinstance(one, Machine | Adopted)]


def network_names(resources: Mapping[str, Resource]) -> list[str]:
    """The networks among resources: bridges, and what a NIC is on without one."""
    found = [one.network for one in resources.values() if isinstance(one, Bridge)]
    found += [one.network for one in resources.values() if isinstance(one, Tap)]
    nameless = UserBackend | TapBackend | ForeignBackend
    found += [one.backend.network for one in resources.values()
              if isinstance(one, Nic) and not isinstance(one.backend, nameless)]  # fmt: skip
    return list(dict.fromkeys(found))


def check_names(guests: Sequence[str], known: Sequence[str]) -> None:
    """UsageError, with the nearest name, if one is not among those known."""
    for guest in guests:
        if guest not in known:
            near = nearest(guest, known)
            raise UsageError(
                f"no guest `{guest}` in this lab",
                hint=f"did you mean `{near}`?" if near else f"its guests: {', '.join(known) or 'none'}",
            )


def check_guests(guests: Sequence[str], resources: Mapping[str, Resource]) -> None:
    """The same for the guests of these resources."""
    check_names(guests, guest_names(resources))


def check_ours(guests: Sequence[str], resources: Mapping[str, Resource]) -> None:
    """UsageError, too, if one of them was started by somebody else."""
    check_guests(guests, resources)
    if theirs := adopted(resources, guests):
        raise UsageError(f"guest `{theirs[0]}` is adopted: qlan did not start it, and does not restart it",
                         hint=f"`qlan release {theirs[0]}` gives it back")  # fmt: skip


def of_guests(resources: Mapping[str, Resource], guests: Iterable[str]) -> set[str]:
    """The keys of what is part of the guests."""
    names = set(guests)
    return {key for key, one in resources.items() if guest_of(one) in names}


def for_up(full: Resources, before: Mapping[str, Resource], guests: Iterable[str]) -> Resources:
    """What is wanted when only some guests are named: they and what they need, and everything else as it was, but for
    what carried nothing else than forwards of theirs.
    """
    keys = of_guests(full, guests)
    left = closure(of_guests(before, guests), before) & full.keys()  # networks that they were on forget them
    named = _with_servers(closure(keys, full) | keys | left, full)
    resized = _resized(full, before, named)
    kept = {
        key: _following(one, full.get(key), resized)
        for key, one in before.items()
        if key not in named and guest_of(one) not in set(guests)
    }
    wanted = {key: one for key, one in full.items() if key in named} | kept
    wanted = _without_idle(wanted, full)
    return {key: wanted[key] for key in [*full, *kept] if key in wanted}  # in the file's order, whoever is named


def _without_idle(wanted: Resources, full: Collection[str] = ()) -> Resources:
    """Without what carries nobody's ports any more.  full: the keys of what is wanted in any case.

    A relay goes no sooner than the maps that lead past it: its ports would go with it, and be left in them.
    """
    carrying = {need for one in wanted.values() for need in one.needs}.union(full)
    if any(isinstance(one, PortMap) for one in wanted.values()):
        carrying.add("relay")
    return {key: one for key, one in wanted.items() if not isinstance(one, Relay | Outlet) or key in carrying}


def _following(one: Resource, now: Resource | None, resized: Mapping[str, int]) -> Resource:
    """What stays as it is, but for what it shares with those that are named.

    A server knows who left its network, and who is where beyond it; resized: TAPs on a bridge that has another MTU.
    """
    if isinstance(one, Dnsmasq) and isinstance(now, Dnsmasq):
        return replace(one, reservations=now.reservations, hosts=now.hosts)
    if one.key in resized and isinstance(one, Tap):
        return replace(one, mtu_bytes=resized[one.key])
    if isinstance(one, Nic) and isinstance(one.backend, TapBackend) and one.backend.tap in resized:
        told = now.mtu_bytes if isinstance(now, Nic) else one.mtu_bytes and min(one.mtu_bytes, resized[one.backend.tap])
        return replace(one, mtu_bytes=told)
    return one


def _resized(full: Resources, before: Mapping[str, Resource], named: Collection[str]) -> dict[str, int]:
    """The TAPs that follow their bridge to another MTU: what is longer would be lost on the way, and nobody says so."""
    bridges = {one.name: one for key, one in full.items() if key in named and isinstance(one, Bridge)}
    pairs = ((one, bridges.get(one.bridge)) for one in before.values() if isinstance(one, Tap) and not one.foreign)
    return {
        tap.key: bridge.mtu_bytes
        for tap, bridge in pairs
        if bridge and bridge.namespace == tap.namespace and bridge.mtu_bytes != tap.mtu_bytes
    }


def _with_servers(keys: set[str], full: Mapping[str, Resource]) -> set[str]:
    """The keys, and what belongs to the bridges among them: addresses, cables, DHCP servers, with what those need."""
    found = set(keys)
    for key, one in full.items():
        if guest_of(one) is None and key not in found:
            needed = closure({key}, full)
            if any(need in keys for need in needed if need.startswith("bridge/")):
                found |= needed
    return found


def for_down(before: Mapping[str, Resource], guests: Iterable[str]) -> Resources:
    """What is wanted when some guests are to go: everything else; their networks stay for the others."""
    gone = of_guests(before, guests)
    return _without_idle({key: one for key, one in before.items() if key not in gone})


def adopted(resources: Mapping[str, Resource], guests: Iterable[str] = ()) -> list[str]:
    """The adopted guests, among some or all."""
    names = set(guests)
    return [one.guest for one in resources.values() if isinstance(one, Adopted) and (not names or one.guest in names)]


def given_back(present: Mapping[str, Resource], guests: Iterable[str]) -> Resources:
    """What is there, but these adopted guests have just what they had when they were found."""
    names = set(guests)
    lent = [one for one in present.values() if guest_of(one) in names and not isinstance(one, Adopted)]
    machines = [one for one in present.values() if isinstance(one, Adopted) and one.guest in names]
    own = {each.key: each for machine in machines for each in machine.own}
    macs = {one.mac for one in lent if isinstance(one, Nic) and one.key not in own}
    gone = {one.key for one in lent}
    return _without_macs({key: one for key, one in present.items() if key not in gone}, macs) | own


def to_restart(plan: Plan, wanted: Mapping[str, Resource], present: Mapping[str, Resource]) -> dict[str, list[str]]:
    """The guests that run, are wanted on, and cannot take the change while they run: guest to the keys that change."""
    found: dict[str, list[str]] = {}
    for step in plan.steps:
        guest = guest_of(step.resource)
        key = f"machine/{guest}"
        if guest and step.cost is Cost.RESTART and key in present and key in wanted:
            found.setdefault(guest, []).append(step.key)
    return found


def is_edit(guest: str, wanted: Mapping[str, Resource], before: Mapping[str, Resource]) -> bool:
    """Whether the guest's part of the file changed since it was last applied (else it broke, and may be repaired).

    One that was not wanted any more, and is there, is what is left of a `down` that was cut off.
    """
    mine = {k: before[k] for k in of_guests(before, [guest])}
    return (bool(mine) or not before) and mine != {k: wanted[k] for k in of_guests(wanted, [guest])}


def without(guests: Iterable[str], wanted: Resources, present: Mapping[str, Resource]) -> Resources:
    """Wanted, but with these guests as they are now, and with the networks that they are on and nobody wants on."""
    names = set(guests)
    return _left_alone(lambda one: guest_of(one) in names, wanted, present)


def without_others(guests: Iterable[str], wanted: Resources, present: Mapping[str, Resource]) -> Resources:
    """Wanted, but guests that are not named neither start nor end, and those who would have to give up a card stay as
    they are; all goes if nothing is wanted.
    """
    if not wanted:
        return {}
    concerned = {
        guest_of(step.resource)
        for step in plan(wanted, present).steps
        if step.cost in (Cost.REPLUG, Cost.RESTART)
        or (isinstance(step.resource, Machine | Nic) and step.action is not Action.CHANGE)
    }
    return without((one for one in concerned.difference(guests) if one), wanted, present)


def _left_alone(is_left: Callable[[Resource], bool], wanted: Resources, present: Mapping[str, Resource]) -> Resources:
    keys = {key for key, one in present.items() if is_left(one)}
    dropped = {key for key in closure(keys, present) - keys if key not in wanted}
    kept = keys | {key for key in _with_servers(dropped, present) if key not in wanted}
    return {key: one for key, one in wanted.items() if not is_left(one)} | {
        key: present[key] for key in present if key in kept
    }


def restorable(before: Resources, there: Mapping[str, Resource]) -> Resources:
    """What was there before, without guests' ways that were broken and have gone since: a NIC without its TAP.

    there: now.  What is still as it was stays, as broken as it is; the rest is worth a try.  A process that did not
    answer and has gone comes back as one that does.
    """
    found = {
        key: replace(one, answers=True) if isinstance(one, Relay | Outlet) and there.get(key) != one else one
        for key, one in before.items()
    }
    gone = [
        key
        for key, one in before.items()
        if (isinstance(one, Nic | PortForward) and there.get(key) != one)
        or (isinstance(one, Tap | Ifb | Shaping) and key not in there)
    ]
    while lost := [key for key in gone if key in found and not _stands(found[key], found)]:
        for key in lost:
            del found[key]
    return found


def broken(there: Mapping[str, Resource]) -> set[str]:
    """What is half, or needs what is missing or broken."""
    found: set[str] = set()
    while more := [
        key
        for key, one in there.items()
        if key not in found and (_is_half(one) or any(need not in there or need in found for need in one.needs))
    ]:
        found.update(more)
    return found


def _stands(one: Resource, among: Mapping[str, Resource]) -> bool:
    needed = [among.get(need) for need in one.needs]
    return all(each is not None and not _is_half(each) for each in (one, *needed))


def _is_half(one: Resource) -> bool:
    if isinstance(one, Relay | Outlet):
        return not one.answers
    return isinstance(one, Nic | PortForward | Shaping | Trunk) and not one.whole


def for_repair(known: Resources, present: Mapping[str, Resource]) -> Resources:
    """What was wanted last, but guests that ended stay so, and what only a restart brings back stays as it is: a NIC
    with all that is its own, or the guest.
    """
    ended = {guest for guest in guest_names(known) if f"machine/{guest}" not in present}
    wanted = {key: one for key, one in known.items() if guest_of(one) not in ended}
    lost = [wanted.get(key) or present[key] for keys in to_restart(plan(wanted, present), wanted, present).values()
            for key in keys]  # fmt: skip
    guests = {guest_of(one) for one in lost if _nic_of(one) is None}
    nics = {(guest_of(one), _nic_of(one)) for one in lost}
    return _left_alone(
        lambda one: guest_of(one) is not None and (guest_of(one) in guests or (guest_of(one), _nic_of(one)) in nics),
        wanted,
        present,
    )


def _nic_of(one: Resource) -> int | None:
    """The number of the NIC that a guest's resource is part of, or None."""
    return one.index if isinstance(one, Nic) else getattr(one, "nic", None)


def replaced_under(guests: Iterable[str], wanted: Mapping[str, Resource], present: Mapping[str, Resource]) -> list[str]:
    """What these guests are on (bridges, namespaces) and would have to be made anew: they cannot stay as they are."""
    found = closure(of_guests(present, guests), present)
    return sorted(
        key
        for key in found
        if guest_of(present[key]) is None
        and key in wanted
        and changed_fields(present[key], wanted[key]).keys() & present[key].FIXED
    )


def check_postponed(guests: Iterable[str], wanted: Mapping[str, Resource], present: Mapping[str, Resource]) -> None:
    """ConflictError if one of them cannot stay as it is, because what it is on would have to be made anew."""
    for guest in guests:
        if keys := replaced_under([guest], wanted, present):
            raise ConflictError(
                f"guest `{guest}` runs, and the file has changed what it is on: {', '.join(keys)}",
                hint="`qlan up --restart` restarts it; nothing was changed",
            )


def pulled(wanted: Resources, changes: Sequence[Change]) -> Resources:
    """Wanted without the NICs that were detached by hand: no TAP, no forward, no reservation of theirs."""
    if not changes:
        return wanted
    from qlan.topology import changes as by_hand

    places = by_hand.pulled(changes)
    out = {f"nic/{guest}/{nic}" for guest, nic in places}
    macs = {one.mac for key in out if isinstance(one := wanted.get(key), Nic)}
    gone = out | {key for key, one in wanted.items() if out & {*one.within, *one.needs}}
    gone |= {f"tap/{key.partition('/')[2]}" for key in out}
    ports = [one for one in wanted.values() if isinstance(one, PublishedPort | ReversePort)]
    gone |= {one.key for one in ports if (one.guest, one.nic) in places}
    return _without_macs({key: one for key, one in wanted.items() if key not in gone}, macs)


def _without_macs(found: Resources, macs: set[str]) -> Resources:
    """With servers that know nothing of these NICs; a name that led to one of them leads to another of its guest, on
    whichever network that is.
    """
    servers = [one for one in found.values() if isinstance(one, Dnsmasq)]
    theirs = [each for one in servers for each in one.reservations if each.mac in macs]
    gone = {address for each in theirs for address in (each.address, each.address6) if address}
    left = [each for one in servers for each in one.reservations if each.mac not in macs]

    def bare(one: Dnsmasq) -> Dnsmasq:
        mine = [each for each in one.reservations if each.mac not in macs]
        other = {each.name: each.address for each in reversed([*mine, *left])}  # its own network's first
        hosts = [(name, other.get(name) if address in gone else address) for name, address in one.hosts]
        named = tuple((name, address) for name, address in hosts if address)
        return replace(one, reservations=tuple(mine), hosts=named)

    return {key: bare(one) if isinstance(one, Dnsmasq) else one for key, one in found.items()} if theirs else found

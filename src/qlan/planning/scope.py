"""What a command for some guests leaves alone, and which running guests a plan would have to restart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qlan.planning.plan import Action, Plan, changed_fields, closure
from qlan.resources.model import Machine, Nic, PortForward, Resource, Resources, Tap


def guest_of(resource: Resource) -> str | None:
    """The guest that a resource is part of, or None (networks and namespaces are nobody's)."""
    return resource.guest if isinstance(resource, Machine | Nic | PortForward | Tap) else None


def of_guests(resources: Mapping[str, Resource], guests: Iterable[str]) -> set[str]:
    """The keys of what is part of the guests."""
    names = set(guests)
    return {key for key, one in resources.items() if guest_of(one) in names}


def for_up(full: Resources, before: Mapping[str, Resource], guests: Iterable[str]) -> Resources:
    """What is wanted when only some guests are named: they and what they need, and everything else as it was."""
    keys = of_guests(full, guests)
    named = _with_servers(closure(keys, full) | keys, full)
    kept = {key: one for key, one in before.items() if key not in named and guest_of(one) not in set(guests)}
    return {key: one for key, one in full.items() if key in named} | kept


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
    return {key: one for key, one in before.items() if key not in gone}


def to_restart(plan: Plan, wanted: Mapping[str, Resource], present: Mapping[str, Resource]) -> dict[str, list[str]]:
    """The guests that run, are wanted on, and cannot take the change while they run: guest to the keys that change."""
    found: dict[str, list[str]] = {}
    for step in plan.steps:
        guest = guest_of(step.resource)
        key = f"machine/{guest}"
        if guest and step.action is not Action.CHANGE and key in present and key in wanted:
            found.setdefault(guest, []).append(step.key)
    return found


def is_edit(guest: str, wanted: Mapping[str, Resource], before: Mapping[str, Resource]) -> bool:
    """Whether the guest's part of the file changed since it was last applied (else it broke, and may be repaired)."""
    return {k: before[k] for k in of_guests(before, [guest])} != {k: wanted[k] for k in of_guests(wanted, [guest])}


def without(guests: Iterable[str], wanted: Resources, present: Mapping[str, Resource]) -> Resources:
    """Wanted, but with these guests as they are now, and with the networks that they are on and nobody wants on."""
    names = set(guests)
    keys = of_guests(present, names)
    dropped = {key for key in closure(keys, present) - keys if key not in wanted}
    kept = keys | {key for key in _with_servers(dropped, present) if key not in wanted}
    return {key: one for key, one in wanted.items() if guest_of(one) not in names} | {
        key: present[key] for key in present if key in kept
    }


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

"""What is bent by hand, put upon what the file means."""

from __future__ import annotations

from qlan.networks import shaping
from qlan.resources.model import Nic, Partition, Resources, Tap, WireBackend
from qlan.topology.bends import Bends


def bent(wanted: Resources, bends: Bends, lab: str) -> Resources:
    """Wanted with these bends and no others."""
    found = shaping.impaired(wanted, bends.impairments, lab)
    return _partitioned(found, bends.sides, lab)


def _partitioned(wanted: Resources, sides: tuple[tuple[str, ...], ...], lab: str) -> Resources:
    """A table in each namespace in which there are TAPs of several sides, or a wire between two."""
    found: Resources = {key: one for key, one in wanted.items() if not isinstance(one, Partition)}
    side_of = {guest: place for place, side in enumerate(sides) for guest in side}
    links: dict[str, dict[int, list[str]]] = {}
    for one in wanted.values():
        if isinstance(one, Tap) and one.guest in side_of:
            links.setdefault(one.namespace, {}).setdefault(side_of[one.guest], []).append(one.name)
    for namespace, by_side in links.items():
        if len(by_side) > 1:
            table = Partition(lab, tuple(tuple(sorted(names)) for _, names in sorted(by_side.items())), namespace)
            found[table.key] = table
    wires: dict[str, set[int]] = {}
    for one in wanted.values():
        if isinstance(one, Nic) and isinstance(one.backend, WireBackend) and one.guest in side_of:
            wires.setdefault(one.backend.namespace, set()).add(side_of[one.guest])
    cut = [Partition(lab, (), namespace) for namespace, ends in wires.items() if len(ends) > 1]
    return found | {one.key: one for one in cut}

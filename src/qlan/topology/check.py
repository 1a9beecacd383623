"""Everything that is wrong with a topology, at once, in the file's order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import chain
from pathlib import Path

from qlan.facts.machine import Facts
from qlan.problems import Mark, Problem
from qlan.topology.checks import (
    addresses,
    bridges,
    forwards,
    guests,
    ipv6,
    links,
    macvtaps,
    names,
    network_boot,
    nics,
    outside,
    relays,
    reverses,
    subnets,
    uplinks,
    user_networks,
    wires,
)
from qlan.topology.model import Topology


def check(topology: Topology, facts: Facts, exists: Callable[[Path], bool]) -> list[Problem]:
    """All problems of the topology on this machine; none means that it can be completed and brought up.

    exists: whether there is a file or folder of that path.
    """

    def is_there(path: Path) -> bool:
        try:
            return exists(path)
        except (OSError, ValueError):  # too long, not permitted, a NUL
            return False

    return in_order(
        chain(
            check_written(topology, seed=facts.seed),
            subnets.check_here(topology, facts),
            outside.check_here(topology, facts),
            ipv6.check_here(topology, facts),
            nics.check_models(topology, facts),
            nics.check_vhost(topology, facts),
            links.check_here(topology, facts),
            forwards.check_here(topology, facts),
            wires.check_here(topology, facts),
            bridges.check_here(topology, facts),
            uplinks.check_here(topology, facts),
            macvtaps.check_here(topology, facts),
            user_networks.check_here(topology, facts, is_there),
            network_boot.check_here(topology, facts, is_there),
            relays.check_here(topology, facts),
            guests.check_here(topology.guests, facts, is_there),
        )
    )


def check_written(
    topology: Topology, *, seed: str | None = None, damaged: Collection[Mark] = frozenset()
) -> Iterable[Problem]:
    """What the file alone tells.  damaged: guests of which something could not be read, by their marks."""
    whole = [guest for guest in topology.guests if guest.mark not in damaged]
    return chain(
        names.check(topology),
        subnets.check(topology),
        outside.check(topology),
        addresses.check(topology),
        ipv6.check(topology),
        nics.check(topology),
        nics.check_macs(topology, seed),
        links.check(topology),
        forwards.check(topology),
        reverses.check(topology),
        user_networks.check(topology),
        wires.check(topology, whole=not damaged),
        bridges.check(topology),
        uplinks.check(topology),
        macvtaps.check(topology),
        network_boot.check(topology),
        relays.check(topology),
        guests.check(whole),
    )


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """By place, each once."""
    return sorted(set(problems), key=lambda one: (one.mark or Mark("", 0, 0), one.what))

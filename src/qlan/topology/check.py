"""Everything that is wrong with a topology, at once, in the file's order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import chain
from pathlib import Path

from qlan.errors import Mark, Problem
from qlan.facts import Facts
from qlan.topology.checks import addresses, forwards, guests, names, nics, subnets, user_networks
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
            nics.check_models(topology, facts),
            forwards.check_here(topology, facts),
            user_networks.check_here(topology, facts, is_there),
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
        addresses.check(topology),
        nics.check(topology),
        nics.check_macs(topology, seed),
        forwards.check(topology),
        user_networks.check(topology),
        guests.check(whole),
    )


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """By place, each once."""
    return sorted(set(problems), key=lambda one: (one.mark or Mark("", 0, 0), one.what))

"""A lab with nothing left open, for what is exported or drawn: the picks are those that `up` would make."""

from __future__ import annotations

from qlan import journal
from qlan.facts.machine import UsedSubnet
from qlan.interop.settled import Settled, settle
from qlan.lab import Lab
from qlan.problems import TopologyError
from qlan.topology import addressing
from qlan.topology.check import check_written, in_order
from qlan.topology.model import Topology
from qlan.values import replace


def settled(lab: Lab) -> Settled:
    """Nothing is written down, and disks need not be there.  TopologyError with what is wrong with the file alone."""
    topology = lab.topology
    assert topology is not None
    _refuse(topology, None)
    facts = lab.facts
    _refuse(topology, facts.seed)
    others = journal.other_picks(lab.layout).items()
    taken = [UsedSubnet(subnet, f"lab {name}") for name, picks in others for subnet in picks.subnets.values()]
    facts = replace(facts, used_subnets=(*facts.used_subnets, *taken))
    return settle(topology, addressing.complete(topology, journal.read_picks(lab.layout), facts), facts)


def _refuse(topology: Topology, seed: str | None) -> None:
    """What is wrong with the file itself comes before what this machine has to say."""
    problems = in_order(check_written(topology, seed=seed))
    if problems:
        raise TopologyError(problems)

"""What a topology means on this machine: checked, completed by what was picked for it, expanded."""

from __future__ import annotations

from pathlib import Path

from qlan import journal
from qlan.facts.machine import Facts, UsedSubnet
from qlan.networks.expand import expand
from qlan.problems import TopologyError
from qlan.realm import Realm
from qlan.render.layout import Layout
from qlan.resources.model import Resources
from qlan.topology import addressing
from qlan.topology.check import check
from qlan.topology.model import Topology
from qlan.values import replace


def find_wanted(topology: Topology, facts: Facts, realm: Realm, layout: Layout, *, wait_s: float) -> Resources:
    """Everything that it takes, by key; what is picked anew is remembered.  wait_s: for other labs that pick.

    TopologyError with all problems, ConflictError, HostError.
    """
    problems = check(topology, facts, Path.exists)
    if problems:
        raise TopologyError(problems)
    with journal.picking(layout, wait_s=wait_s):
        theirs = [
            UsedSubnet(subnet, f"lab {lab}")
            for lab, picks in dict(journal.other_picks(layout)).items()
            for subnet in picks.subnets.values()
        ]
        facts = replace(facts, used_subnets=(*facts.used_subnets, *theirs))
        old = journal.read_picks(layout)
        picks = addressing.complete(topology, old, facts)
        if picks != old:
            journal.write_picks(layout, picks)
    return expand(topology, picks, facts, realm)

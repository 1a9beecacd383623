"""Words about NICs of this machine that are, or will be, ports of bridges."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

from qlan.cli.parser import seconds
from qlan.lab import Lab
from qlan.planning.plan import Action, Plan
from qlan.resources.model import Uplink


def add_words(parser: argparse.ArgumentParser) -> None:
    """The options of `up` that say how long a NIC's watchdog waits."""
    parser.add_argument("--confirm-within", type=seconds, metavar="S",
                        help="kind public: put the NIC back after S seconds without `qlan confirm`")  # fmt: skip
    parser.add_argument("--confirm-by-gateway", action="store_true",
                        help="and without it, keep it if the gateway answered all the time (for scripts)")  # fmt: skip


def with_words(lab: Lab, args: argparse.Namespace) -> Lab:
    """The lab with what these options say in place of its file."""
    topology = lab.topology
    if topology is None or (args.confirm_within is None and not args.confirm_by_gateway):
        return lab
    networks = [
        replace(
            one,
            confirm_within_s=one.confirm_within_s if args.confirm_within is None else int(args.confirm_within),
            keep_if_answered=args.confirm_by_gateway,
        )
        if one.kind == "public"
        else one
        for one in topology.networks
    ]
    changed = Lab(lab.layout, replace(topology, networks=tuple(networks)), digest=lab.digest)
    changed.lock_wait_s = lab.lock_wait_s
    return changed


def lines(name: str) -> list[str]:
    """What the watchdogs of a lab's uplinks are doing, a line each, with what to do."""
    record = Lab.named(name).record
    if record is None or not any(isinstance(one, Uplink) for one in record.wanted.values()):
        return []
    from qlan.confirming import uplinks

    return [
        *(
            f"{one.nic} is in {one.bridge}: it is put back in {one.left_s} s unless you say `qlan confirm`"
            for one in uplinks(Lab.named(name))
            if one.left_s is not None
        ),
        *(f"{one.nic}: {one.ended}" for one in uplinks(Lab.named(name)) if one.ended),
    ]


def before_and_after(plan: Plan) -> Iterator[str]:
    """What each NIC carries, and that its bridge carries it afterwards."""
    for step in plan.steps:
        one = step.resource
        if not isinstance(one, Uplink):
            continue
        source, target = (one.nic, one.bridge) if step.action is Action.CREATE else (one.bridge, one.nic)
        carried = one.carried
        moved = [f"address {words}" for words in carried.addresses] + [f"route {words}" for words in carried.routes]
        moved += [f"rule {words}" for words in (*carried.rules, *carried.rules6)]
        for words in moved:
            yield f"    {words.replace('%', source)}  ->  {target}"

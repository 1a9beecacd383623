"""Words about NICs of this machine that are, or will be, ports of bridges."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from math import ceil

from qlan.cli.parser import seconds
from qlan.errors import UsageError
from qlan.lab import Lab
from qlan.planning.plan import Action, Plan
from qlan.resources.model import Uplink
from qlan.values import replace


def add_managed(parser: argparse.ArgumentParser) -> None:
    """The option of `up`, `plan` and `enable` that lets a NIC's manager go on with the bridge."""
    parser.add_argument("--managed", action="store_true",
                        help="kind public: NetworkManager or systemd-networkd may go on with the bridge")  # fmt: skip


def add_words(parser: argparse.ArgumentParser) -> None:
    """The options of `up` that say how long a NIC's watchdog waits."""
    add_managed(parser)
    parser.add_argument("--confirm-within", type=seconds, metavar="S",
                        help="kind public: put the NIC back after S seconds without `qlan confirm`")  # fmt: skip
    parser.add_argument("--confirm-by-gateway", action="store_true",
                        help="and without it, keep it if the gateway answered all the time (for scripts)")  # fmt: skip


def with_words(lab: Lab, args: argparse.Namespace) -> Lab:
    """The lab with what these options say in place of its file.  UsageError: it has nothing that they are about."""
    topology = lab.topology
    within_s, by_gateway = getattr(args, "confirm_within", None), getattr(args, "confirm_by_gateway", False)
    if topology is None or (within_s is None and not by_gateway and not args.managed):
        return lab
    if not any(one.kind == "public" for one in topology.networks):
        option = "--managed" if args.managed else "--confirm-by-gateway" if by_gateway else "--confirm-within"
        raise UsageError(f"{option} is for networks of `kind: public`, and lab `{lab.name}` has none",
                         hint="leave it out: no NIC of this machine is touched")  # fmt: skip
    networks = [
        replace(
            one,
            confirm_within_s=one.confirm_within_s if within_s is None else ceil(within_s),  # 0: no watchdog
            keep_if_answered=by_gateway,
            managed=one.managed or args.managed,
        )
        if one.kind == "public"
        else one
        for one in topology.networks
    ]
    changed = Lab(lab.layout, replace(topology, networks=tuple(networks)), digest=lab.digest)
    changed.lock_wait_s = lab.lock_wait_s
    return changed


def lines(lab: Lab) -> list[str]:
    """What the watchdogs of a lab's uplinks are doing, a line each, with what to do."""
    record = lab.record
    if record is None or not any(isinstance(one, Uplink) for one in record.wanted.values()):
        return []
    from qlan.confirming import uplinks

    guarded = uplinks(lab)
    waiting = [one for one in guarded if one.left_s is not None]
    return [
        *(f"{one.nic} is in {one.bridge}: it is put back in {one.left_s} s unless you say `qlan confirm`"
          for one in waiting),
        *(f"{one.nic}: {one.ended}" for one in guarded if one.ended),
    ]  # fmt: skip


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
        if one.manager:
            yield f"    {one.manager.program}'s profile {one.manager.name}, of {source}  ->  {target}"

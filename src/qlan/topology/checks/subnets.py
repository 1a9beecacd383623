"""Kinds and subnets of networks, and that no two subnets share addresses."""

from __future__ import annotations

from collections.abc import Iterator

from qlan.errors import Problem
from qlan.facts.machine import Facts
from qlan.topology.addressing import realm_of, wants_subnet
from qlan.topology.checks.titles import of_network
from qlan.topology.model import HOST_KINDS, KINDS, Network, Realm, Topology, mark_of
from qlan.topology.networks import parse_kind
from qlan.topology.scalars import MTU_MAX, MTU_MIN, Unreadable, quoted, subnet_fault
from qlan.topology.subnets import SubnetSet


def check(topology: Topology) -> Iterator[Problem]:
    """What the file alone tells."""
    seen = SubnetSet()
    for network in topology.networks:
        yield from _check_network(network)
        if network.subnet is None:
            continue
        found = seen.find_overlap(network.subnet)
        if found:
            what = f"{of_network(network)}: {network.subnet} overlaps {found[0]} of network {quoted(found[1])}"
            yield Problem(mark_of(network, "subnet"), what, "give each network addresses of its own")
        seen.add(network.subnet, network.name)


def check_here(topology: Topology, facts: Facts) -> Iterator[Problem]:
    """Clashes with this machine: where the host gets an address on the network, in its own network namespace.

    A private network's addresses meet the host's nowhere, nor do those of a rootless lab.
    """
    if realm_of(topology, facts) is not Realm.HOST:
        return
    own = f"lab {topology.lab}"
    used = SubnetSet((one.subnet, one.owner) for one in facts.used_subnets if one.owner != own)
    for network in topology.networks:
        found = used.find_overlap(network.subnet) if network.subnet and network.kind in HOST_KINDS else None
        if found:
            what = f"{of_network(network)}: {network.subnet} overlaps {found[0]}: {found[1]}"
            hint = "write another `subnet:`, leave it out (a free one is picked), or use `realm: rootless`"
            yield Problem(mark_of(network, "subnet"), what, hint)


def _check_network(network: Network) -> Iterator[Problem]:
    title = of_network(network)
    if network.kind not in KINDS:
        yield Problem(mark_of(network, "kind"), f"`kind` of {title}: {_kind_fault(network.kind).what}")
    fault = subnet_fault(network.subnet) if network.subnet else None
    if fault:
        yield Problem(mark_of(network, "subnet"), f"`subnet` of {title}: {fault.what}", fault.hint)
    if network.mtu_bytes is not None and not MTU_MIN <= network.mtu_bytes <= MTU_MAX:
        what = f"`mtu` of {title}: {network.mtu_bytes} is not from {MTU_MIN} to {MTU_MAX}"
        yield Problem(mark_of(network, "mtu"), what)
    if network.address and not wants_subnet(network) and not network.host_access:
        what = f"{title}: nobody has the address {network.address}: a {network.kind} network has no host on it"
        yield Problem(mark_of(network, "address"), what, "leave it out, or use `kind: host-only`")


def _kind_fault(kind: str) -> Unreadable:
    try:
        parse_kind(kind)
    except Unreadable as error:
        return error
    return Unreadable(f"{quoted(kind)} is not known here")

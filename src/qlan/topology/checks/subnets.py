"""Kinds and subnets of networks, and that no two subnets share addresses."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import IPv4Network, IPv6Network

from qlan.facts.machine import Facts
from qlan.problems import Problem
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
    others = [one for one in facts.used_subnets if one.owner != own]
    used = SubnetSet((one.subnet, one.owner) for one in others)
    for network in topology.networks:
        if network.subnet is None or network.kind not in HOST_KINDS:
            continue
        around = [one for one in others if lies_within(network, network.subnet, one.subnet, one.link, facts.uplinks)]
        known = [address for one in around for address in one.known if address in network.subnet]
        if around and known:
            what = f"{of_network(network)}: {network.subnet} holds {known[0]}, which is this machine or a gateway"
            yield Problem(mark_of(network, "subnet"), what, "write a part of the uplink's subnet where nobody is")
            continue
        left = SubnetSet((one.subnet, one.owner) for one in others if one not in around) if around else used
        found = left.find_overlap(network.subnet)
        if found:
            what = f"{of_network(network)}: {network.subnet} overlaps {found[0]}: {found[1]}"
            hint = "write another `subnet:`, leave it out (a free one is picked), or use `realm: rootless`"
            yield Problem(mark_of(network, "subnet"), what, hint)


def lies_within(
    network: Network,
    own: IPv4Network | IPv6Network,
    other: IPv4Network | IPv6Network,
    link: str,
    uplinks: Collection[str],
) -> bool:
    """Whether the network's range is a part of the one on its uplink, where this machine answers for its guests."""
    ways = (network.uplink,) if network.uplink else uplinks
    return network.proxy_arp and link in ways and own != other and own.subnet_of(other)  # type: ignore[arg-type]


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

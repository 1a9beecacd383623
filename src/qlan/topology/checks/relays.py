"""DHCP by a server elsewhere: it must be reached from the network's host, and nothing is said for it here."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from qlan.facts.machine import Facts
from qlan.problems import Problem
from qlan.topology.addressing import host_address, realm_of
from qlan.topology.checks.titles import nics, of_network, of_nic
from qlan.topology.model import HOST_KINDS, Network, Realm, Topology, mark_of

_KEYS = ("range", "lease", "routes", "ntp", "options")


def check(topology: Topology) -> Iterator[Problem]:
    """What the file alone tells."""
    relaying = [one for one in topology.networks if one.dhcp and one.dhcp.relay]
    for network in relaying:
        yield from _check_network(network)
        yield from _check_server(network, topology)
    names = {one.name for one in relaying}
    for guest, index, nic in nics(topology):
        for forward in nic.forwards:
            if nic.network in names and nic.address is None and forward.guest_address is None:
                what = f"{of_nic(guest, index)}: its address is given elsewhere, and a forward must know it"
                yield Problem(forward.mark, what, "write `address:` at the NIC, as that server gives it")


def check_here(topology: Topology, facts: Facts) -> Iterator[Problem]:
    """Without root nobody outside finds the way back to a relay."""
    if realm_of(topology, facts) is not Realm.ROOTLESS:
        return
    inside = [one.subnet for one in topology.networks if one.subnet and one.kind in HOST_KINDS]
    for network in topology.networks:
        server = network.dhcp.relay if network.dhcp else None
        if server and not _is_nobody(server) and not any(server in subnet for subnet in inside):
            what = f"{of_network(network)}: {server} is on no network of this rootless lab, and finds no way back to it"
            hint = "write the `subnet:` of the network that it is on, or use the host realm: sudo qlan up"
            yield Problem(mark_of(network, "dhcp.relay"), what, hint)


def _check_server(network: Network, topology: Topology) -> Iterator[Problem]:
    """An address at which no other machine can be."""
    server = network.dhcp.relay if network.dhcp else None
    assert server is not None
    mark, what = mark_of(network, "dhcp.relay"), f"{of_network(network)}: no server can be at {server}"
    hint = "write the address of the machine that gives the addresses"
    if _is_nobody(server):
        yield Problem(mark, what, hint)
        return
    for other in topology.networks:
        if other is network or other.subnet is None or server not in other.subnet or other.kind not in HOST_KINDS:
            continue
        if server == host_address(other, other.subnet):
            itself = f"{server} is this machine itself on network `{other.name}`, and answers no relay"
            yield Problem(mark, f"{of_network(network)}: {itself}", "leave `relay` out: each network has a server here")
        elif server in (other.subnet.network_address, other.subnet.broadcast_address):
            yield Problem(mark, f"{what}, it stands for all of network `{other.name}`", hint)


def _is_nobody(server: IPv4Address) -> bool:
    return server.is_unspecified or server.is_multicast or server.is_loopback or server.is_reserved


def _check_network(network: Network) -> Iterator[Problem]:
    assert network.dhcp is not None
    assert network.dhcp.relay is not None
    title, mark = of_network(network), mark_of(network, "dhcp.relay")
    if network.kind not in HOST_KINDS:
        what = (
            f"{title}: `relay` needs this machine between guests and server, and it is not on a {network.kind} network"
        )
        yield Problem(mark, what, f"use one of {', '.join(HOST_KINDS)}")
    elif network.subnet and network.dhcp.relay in network.subnet:
        what = f"{title}: {network.dhcp.relay} is on the network itself: the guests hear it without a relay"
        yield Problem(mark, what, "write `dhcp: false`")
    for key in _KEYS:
        if f"dhcp.{key}" in network.marks:
            what = f"{title}: `{key}` beside `relay`: the other server tells the guests"
            yield Problem(network.marks[f"dhcp.{key}"], what, "say it there")
    for key in ("tftp", "bootfile"):
        if getattr(network, key) is not None:
            what = f"{title}: `{key}` beside `relay`: the other server tells the guests what to boot"
            yield Problem(mark_of(network, key), what, "say it there")

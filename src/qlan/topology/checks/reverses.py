"""Reverse forwards: only where the host has an address on the network, each port for one guest."""

from __future__ import annotations

from collections.abc import Iterator

from qlan.problems import Problem
from qlan.topology.checks.titles import nics, of_network, of_nic
from qlan.topology.model import HOST_KINDS, Network, Nic, Reverse, Topology
from qlan.topology.reverse import instead_of

_Port = tuple[str, str, int]  # network, protocol, number
_DNS, _DHCP = 53, 67


def check(topology: Topology) -> Iterator[Problem]:
    """What the file alone tells."""
    known = {network.name: network for network in topology.networks}
    taken: dict[_Port, str] = {}
    for guest, index, nic in nics(topology):
        title = of_nic(guest, index)
        network = known.get(nic.network or "")
        for one in nic.reverse:
            if nic.user:
                yield _user_problem(one, nic, title)
            elif network and network.kind not in HOST_KINDS:
                what = (
                    f"{title} has reverse forwards, but on {of_network(network)} ({network.kind}) this machine has "
                    "no address"
                )
                yield Problem(
                    one.mark, what, f"put them on a NIC on a network of another kind ({', '.join(HOST_KINDS)})"
                )
            elif network:
                yield from _check_port(one, title, network, taken)


def _check_port(one: Reverse, title: str, network: Network, taken: dict[_Port, str]) -> Iterator[Problem]:
    said = f"{one.protocol} port {one.port} of the host's address on {of_network(network)}"
    key = (network.name, one.protocol, one.port)
    if key in taken:
        twice = taken[key] == title
        what = f"{title} has {said} twice" if twice else f"{title} and {taken[key]} both have {said}"
        yield Problem(one.mark, what, "keep one of them" if twice else "choose another port for one of them")
    taken.setdefault(key, title)
    for server, is_there, is_it in (
        ("dns", network.dns, one.port == _DNS),
        ("dhcp", network.dhcp is not None, (one.protocol, one.port) == ("udp", _DHCP)),
    ):
        if is_there and is_it:
            what = f"{title}: {said} is its {server.upper()} server's"
            yield Problem(one.mark, what, f"choose another port, or write `{server}: false` at the network")


def _user_problem(one: Reverse, nic: Nic, title: str) -> Problem:
    """User-mode networking leads there without us."""
    assert nic.user is not None
    what, user = f"{title} is on user-mode networking, which needs no reverse forwards", nic.user
    return Problem(one.mark, what, instead_of(one, restrict=user.restrict, host=user.host, subnet=user.subnet))

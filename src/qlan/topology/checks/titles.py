"""How things are called in messages."""

from __future__ import annotations

from collections.abc import Iterator

from qlan.topology.model import Guest, Network, Nic, Topology
from qlan.topology.scalars import quoted


def of_network(network: Network) -> str:
    """network `lan`"""
    return f"network {quoted(network.name)}"


def of_guest(guest: Guest) -> str:
    """guest `web`"""
    return f"guest {quoted(guest.name)}"


def of_nic(guest: Guest, index: int) -> str:
    """NIC 0 of guest `web`"""
    return f"NIC {index} of {of_guest(guest)}"


def nics(topology: Topology) -> Iterator[tuple[Guest, int, Nic]]:
    """Every NIC with its guest and index, in the file's order."""
    for guest in topology.guests:
        for index, nic in enumerate(guest.nics):
            yield guest, index, nic

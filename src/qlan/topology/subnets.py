"""Which ranges of addresses overlap, without comparing each with each.

Two subnets either lie one inside the other or have nothing in common.  So a subnet overlaps a set of others if one of
its 32 supernets is in it, or if the first of the set at or above its start lies within it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from ipaddress import IPv4Network

POOLS = (IPv4Network("10.64.0.0/10"), IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16"))
PICKED_PREFIX = 24


class SubnetSet:
    """Subnets, each with its owner."""

    def __init__(self, subnets: Iterable[tuple[IPv4Network, str]] = ()) -> None:
        self._owners: dict[tuple[int, int], str] = {}
        self._starts: list[tuple[int, int]] = []
        for subnet, owner in subnets:
            self.add(subnet, owner)

    def add(self, subnet: IPv4Network, owner: str) -> None:
        """One more.  Halves of everything (0.0.0.0/1: how VPNs write a default route) are no claim to addresses."""
        if subnet.prefixlen < 2:
            return
        key = int(subnet.network_address), subnet.prefixlen
        if key not in self._owners:
            self._owners[key] = owner
            insort(self._starts, key)

    def find_overlap(self, subnet: IPv4Network) -> tuple[IPv4Network, str] | None:
        """One of the set that shares addresses with the subnet, and its owner."""
        start = int(subnet.network_address)
        for prefix in range(subnet.prefixlen, -1, -1):
            key = start >> (32 - prefix) << (32 - prefix), prefix
            if key in self._owners:
                return IPv4Network(key), self._owners[key]
        index = bisect_left(self._starts, (start, 0))
        if index < len(self._starts) and self._starts[index][0] <= int(subnet.broadcast_address):
            key = self._starts[index]
            return IPv4Network(key), self._owners[key]
        return None


def find_free(taken: SubnetSet, start: int) -> IPv4Network | None:
    """A free /24 of the pools, searched from a place that `start` (any number) says."""
    for pool in POOLS:
        count = 1 << (PICKED_PREFIX - pool.prefixlen)
        base = int(pool.network_address)
        size = 1 << (32 - PICKED_PREFIX)
        for step in range(count):
            subnet = IPv4Network((base + (start + step) % count * size, PICKED_PREFIX))
            if taken.find_overlap(subnet) is None:
                return subnet
    return None

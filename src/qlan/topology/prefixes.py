"""IPv6 prefixes of networks, and who has which address in one.

A prefix that the file leaves open is a /64 of the lab's own fdXX:XXXX:XXXX::/48: RFC 4193 wants 40 random bits there,
and these are a hash of the seed and the lab's name, so that two labs that meet one day don't clash.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from qlan import names
from qlan.errors import ConflictError
from qlan.facts.machine import Facts
from qlan.topology.model import Network, Topology

_ULA = 0xFD << 120
_LENGTH = 64
_NETWORKS_MAX = 1 << 16  # /64s in a /48


def pick_prefixes(topology: Topology, old: dict[str, IPv6Network], facts: Facts) -> dict[str, IPv6Network]:
    """The prefixes of networks that want one and say none: old ones as long as they are valid, then new ones."""
    wanting = [one.name for one in topology.networks if _wants_pick(one, facts)]
    taken = _Taken()
    for one in topology.networks:
        if one.ipv6 and one.ipv6.prefix:
            taken.add(one.ipv6.prefix)
    for used in facts.used_prefixes:
        taken.add(used.prefix)
    found: dict[str, IPv6Network] = {}
    for name in wanting:
        if name in old and old[name].prefixlen == _LENGTH and not taken.has(old[name]):
            found[name] = old[name]
            taken.add(old[name])
    for name in wanting:
        if name not in found:
            found[name] = _free(topology.lab, name, facts.seed, taken)
            taken.add(found[name])
    return {name: found[name] for name in wanting}


def find_prefix(network: Network, picked: dict[str, IPv6Network]) -> IPv6Network | None:
    """The network's prefix, written or picked; None: it has no IPv6."""
    if network.ipv6 is None:
        return None
    return network.ipv6.prefix or picked.get(network.name)


def host_address6(network: Network, prefix: IPv6Network) -> IPv6Address:
    """The host's (or server's) address: as written, else the prefix's first after the routers' anycast address."""
    return (network.ipv6 and network.ipv6.address) or prefix.network_address + 1


def dhcp_range6(prefix: IPv6Network) -> tuple[IPv6Address, IPv6Address]:
    """What DHCPv6 gives to guests that nobody knows: away from the addresses of those in the file, if there is room."""
    if prefix.prefixlen <= 92:
        first = prefix.network_address + (1 << 32)
        return first, first + 0xFFFF
    return prefix.network_address + prefix.num_addresses // 2, prefix.broadcast_address


def mirrored(prefix: IPv6Network, subnet: IPv4Network, address: IPv4Address) -> IPv6Address | None:
    """The address that reads like the end of an IPv4 one: 10.10.10.117 is ::117.  None: the prefix is too small."""
    place = int(str(int(address) - int(subnet.network_address)), 16)
    return prefix.network_address + place if place < prefix.num_addresses // 2 else None


def eui64(prefix: IPv6Network, mac: str) -> IPv6Address:
    """The address that a guest makes of its MAC by RFC 4291, unless it hides it (RFC 7217)."""
    return prefix.network_address + names.interface_id(mac) % prefix.num_addresses


def _wants_pick(network: Network, facts: Facts) -> bool:
    ipv6 = network.ipv6
    return ipv6 is not None and ipv6.prefix is None and (ipv6.asked or not facts.no_ipv6)


class _Taken:
    """Prefixes in use.  Of a thousand networks nearly all have a /64, and two of them overlap if they are the same."""

    def __init__(self) -> None:
        self._of_64: set[IPv6Network] = set()
        self._others: list[IPv6Network] = []

    def add(self, prefix: IPv6Network) -> None:
        if prefix.prefixlen == _LENGTH:
            self._of_64.add(prefix)
        else:
            self._others.append(prefix)

    def has(self, prefix: IPv6Network) -> bool:
        """Whether a /64 is in use, or a part of one."""
        return prefix in self._of_64 or any(prefix.overlaps(one) for one in self._others)


def _free(lab: str, name: str, seed: str, taken: _Taken) -> IPv6Network:
    own = _ULA | _hashed(5, seed, lab) << 80
    start = _hashed(2, seed, lab, name)
    for step in range(_NETWORKS_MAX):
        prefix = IPv6Network((own | (start + step) % _NETWORKS_MAX << 64, _LENGTH))
        if not taken.has(prefix):
            return prefix
    raise ConflictError("no free IPv6 prefix left", where=f"network {name}", hint="write `ipv6: PREFIX/64`")


def _hashed(size: int, *salt: str) -> int:
    return int.from_bytes(names.digest("ipv6", *salt, size=size))

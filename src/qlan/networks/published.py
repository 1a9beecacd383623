"""Published ports in the host realm: which of them the kernel leads to the guest by itself, and what that takes.

A port of a loopback address is the relay's alone.  For others a packet must be forwarded, from the links by which
callers come (`entrances`) to the bridge, and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from qlan.resources.model import (
    HOST,
    Address,
    Bridge,
    Filter,
    Forwarding,
    PortMap,
    PublishedPort,
    Resource,
    Resources,
)


@dataclass(frozen=True, slots=True)
class Ways:
    """How callers reach this machine.  uplinks: the links with a default route; links_of: by its addresses, without
    those of labs: between these nothing is led.
    """

    uplinks: tuple[str, ...]
    links_of: Mapping[IPv4Address | IPv6Address, str]


def is_led(port: PublishedPort) -> bool:
    """Whether the kernel can lead callers of this address to the guest."""
    address = port.host_address
    return address.version == port.guest_address.version == 4 and not address.is_loopback


def complete(resources: Resources, lab: str, ways: Ways) -> Resources:
    """With the port maps that the ports need, and forwarding for them, and with none that nothing needs any more."""
    ports: dict[str, list[PublishedPort]] = {}
    for one in resources.values():
        if isinstance(one, PublishedPort) and is_led(one):
            bridge = resources.get(f"bridge/{one.network}")
            if isinstance(bridge, Bridge) and bridge.namespace == HOST:
                ports.setdefault(one.network, []).append(one)
    bare = _without_maps(resources)
    new: Resources = {}
    for network, some in ports.items():
        filter_ = resources.get(f"filter/{network}")
        uplink = filter_.uplink if isinstance(filter_, Filter) else ""
        everywhere = (uplink,) if uplink else ways.uplinks
        entrances = {link for one in some for link in _entrances(one, everywhere, ways.links_of)}
        for needed in _way_in(network, lab, resources, entrances):
            if needed.key not in bare:
                new[needed.key] = needed
    led = {one.key: replace(one, portmap=f"portmap/{network}") for network, some in ports.items() for one in some}
    found: Resources = {}
    for key, one in bare.items():
        if key in led:
            found |= new  # before the first that needs them
            new = {}
        found[key] = led.get(key, one)
    return found


def _without_maps(resources: Resources) -> Resources:
    """As if nothing had been led ever."""
    maps = [one for one in resources.values() if isinstance(one, PortMap)]
    links = {link for one in maps for link in (one.link, *one.entrances)}
    filters = [one for one in resources.values() if isinstance(one, Filter) and not one.closed]
    kept = {one.link for one in filters} | {one.uplink for one in filters}
    found: Resources = {}
    for key, one in resources.items():
        if isinstance(one, PublishedPort):
            found[key] = replace(one, portmap="")
        elif isinstance(one, Forwarding) and one.key == f"forwarding/{one.link}" and one.link in links - kept:
            if not one.link_key and "" in kept:
                found[key] = one  # a network without an uplink of its own goes out by all
        elif not isinstance(one, PortMap):
            found[key] = one
    return found


def _entrances(
    port: PublishedPort, everywhere: tuple[str, ...], links: Mapping[IPv4Address | IPv6Address, str]
) -> tuple[str, ...]:
    if not int(port.host_address):
        return everywhere
    return (links[port.host_address],) if port.host_address in links else ()


def _way_in(network: str, lab: str, resources: Resources, entrances: set[str]) -> list[Resource]:
    bridge = resources[f"bridge/{network}"]
    assert isinstance(bridge, Bridge)
    rules = resources.get(f"filter/{network}")
    has_gateway = isinstance(rules, Filter) and not rules.closed
    subnets = [one.interface.network for one in resources.values()
               if isinstance(one, Address) and one.link_key == bridge.key]  # fmt: skip
    table = PortMap(network, bridge.name, bridge.key, lab, tuple(subnets), tuple(sorted(entrances)),
                    keeps_callers=has_gateway, guards=not has_gateway)  # fmt: skip
    return [Forwarding(bridge.name, bridge.key), *map(Forwarding, table.entrances), table]

"""Published ports: whose callers guests see by their own addresses, and what that takes.

In the host realm the kernel leads callers to the guest by itself.  A port of a loopback address is the relay's alone.
For others a packet must be forwarded, from the links by which callers come (`entrances`) to the bridge, and back.  For
IPv6 nothing is switched on: callers are led where guests have a way outside by IPv6 themselves, from the links that it
takes.

In a rootless lab the relay takes its callers' addresses, if the guest answers them by this network: it leads outside,
and no other of the guest's NICs does.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address

from qlan.resources.model import (
    HOST,
    Address,
    Bridge,
    Filter,
    ForeignBackend,
    Forwarding,
    HelperBackend,
    Namespace,
    Nic,
    PortMap,
    PublishedPort,
    Resource,
    Resources,
    Tap,
    UserBackend,
)
from qlan.values import Value, replace


class Ways(Value):
    """How callers reach this machine.  uplinks: the links with a default route, uplinks6: of IPv6; links_of: by its
    addresses, without those of labs: between these nothing is led.
    """

    uplinks: tuple[str, ...]
    links_of: Mapping[IPv4Address | IPv6Address, str]
    uplinks6: tuple[str, ...] = ()


def complete(resources: Resources, lab: str, ways: Ways) -> Resources:
    """With the port maps that the ports need, and forwarding for them, and with none that nothing needs any more; in a
    rootless lab with the filters by which guests answer callers' own addresses.
    """
    if any(isinstance(one, Namespace) and one.user for one in resources.values()):
        return _with_filters(resources)
    ports: dict[str, dict[PublishedPort, tuple[str, ...]]] = {}
    for one in resources.values():
        if isinstance(one, PublishedPort):
            entrances = _entrances(one, resources, ways)
            if entrances is not None:
                ports.setdefault(one.network, {})[one] = entrances
    bare = _without_maps(resources)
    new: Resources = {}
    for network, some in ports.items():
        for needed in _way_in(network, lab, resources, some):
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


def _with_filters(resources: Resources) -> Resources:
    open_ = {one.network: one for one in resources.values() if isinstance(one, Filter) and not one.closed}
    ways: dict[str, set[int]] = {}  # of each guest: its NICs that lead outside
    for one in resources.values():
        if isinstance(one, Tap) and one.network in open_:
            ways.setdefault(one.guest, set()).add(one.nic)
        elif isinstance(one, Nic) and isinstance(one.backend, UserBackend | HelperBackend | ForeignBackend):
            ways.setdefault(one.guest, set()).add(one.index)

    def filter_of(port: PublishedPort) -> str:
        rules = open_.get(port.network)
        if rules is None or ways.get(port.guest) != {port.nic}:
            return ""
        is_led = port.guest_address.version == 4 or rules.prefix is not None
        speaks_alike = port.host_address.version == port.guest_address.version
        return rules.key if is_led and speaks_alike and not port.host_address.is_loopback else ""

    return {
        key: replace(one, filter=filter_of(one)) if isinstance(one, PublishedPort) else one
        for key, one in resources.items()
    }


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


def _entrances(port: PublishedPort, resources: Resources, ways: Ways) -> tuple[str, ...] | None:
    """The links by which the kernel can lead callers of this port to the guest; None: it is the relay's alone."""
    address, bridge = port.host_address, resources.get(f"bridge/{port.network}")
    if not isinstance(bridge, Bridge) or bridge.namespace != HOST:
        return None
    if address.is_loopback or address.version != port.guest_address.version:
        return None
    filter_ = resources.get(f"filter/{port.network}")
    uplink = filter_.uplink if isinstance(filter_, Filter) else ""
    own = ways.links_of.get(address, "")
    if address.version == 4:
        everywhere = (uplink,) if uplink else ways.uplinks
        return everywhere if not int(address) else (own,) if own else ()
    everywhere = tuple(link for link in ((uplink,) if uplink else ways.uplinks6) if _forwards6(link, resources))
    if not isinstance(filter_, Filter) or filter_.prefix is None or filter_.closed or not everywhere:
        return None
    return everywhere if not int(address) else (own,) if own in everywhere else None


def _forwards6(link: str, resources: Resources) -> bool:
    return f"ipv6/force_forwarding/{link}" in resources or "ipv6/forwarding/all" in resources


def _way_in(
    network: str, lab: str, resources: Resources, ports: Mapping[PublishedPort, tuple[str, ...]]
) -> list[Resource]:
    """ports: with their entrances."""
    bridge = resources[f"bridge/{network}"]
    assert isinstance(bridge, Bridge)
    rules = resources.get(f"filter/{network}")
    has_gateway = isinstance(rules, Filter) and not rules.closed
    subnets = [one.interface.network for one in resources.values()
               if isinstance(one, Address) and one.link_key == bridge.key]  # fmt: skip
    entrances, entrances6 = (
        tuple(sorted({link for one, links in ports.items() if one.host_address.version == version for link in links}))
        for version in (4, 6)
    )
    table = PortMap(network, bridge.name, bridge.key, lab, tuple(subnets), entrances,
                    keeps_callers=has_gateway, guards=not has_gateway, entrances6=entrances6)  # fmt: skip
    return [Forwarding(bridge.name, bridge.key), *map(Forwarding, table.entrances), table]

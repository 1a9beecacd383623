"""`host-only`: guests hear each other and the host; the host has an address on the bridge; nothing is forwarded."""

from __future__ import annotations

from qlan.networks import lan
from qlan.resources.model import Address, Resource
from qlan.topology.model import Network

REACH = {"guests": True, "host": True, "outside": False}


def expand(network: Network, site: lan.Site) -> list[Resource]:
    """A bridge, the host's address on it, and the server unless neither DHCP nor DNS is wanted."""
    bridge = lan.bridge(network, site)
    interface = lan.own_interface(network, site)
    found: list[Resource] = [bridge, Address(bridge.key, bridge.name, interface, site.namespace)]
    if network.dhcp or network.dns:
        found.append(lan.server(network, site, bridge))
    return found

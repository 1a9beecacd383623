"""`private`: guests hear each other and nothing else.

The bridge is in a network namespace in which there is nothing besides it: no address of the host, no route, no other
network.  DHCP, when asked for, is served there too, so that even the server's address leads nowhere.
"""

from __future__ import annotations

from dataclasses import replace

from qlan.networks import lan
from qlan.resources.model import Address, Namespace, Resource
from qlan.topology.model import Network

REACH = {"guests": True, "host": False, "outside": False}


def expand(network: Network, site: lan.Site) -> list[Resource]:
    """A namespace and the bridge in it; with DHCP also the server's address and the server."""
    namespace = Namespace(network.name, parent=site.namespace)
    bridge = replace(lan.bridge(network, site), namespace=namespace.key)
    if not network.dhcp:
        return [namespace, bridge]
    server = lan.server(network, site, bridge)
    return [namespace, bridge, Address(bridge.key, bridge.name, server.address, namespace.key), server]

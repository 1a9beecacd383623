"""`private`: guests hear each other and nothing else.

The bridge is in a network namespace in which there is nothing besides it: no address of the host, no route, no other
network.  DHCP, when asked for, is served there too, so that even the server's address leads nowhere.
"""

from __future__ import annotations

from qlan.networks import lan
from qlan.networks.reach import Reach
from qlan.resources.model import Namespace, Resource
from qlan.topology.model import Network
from qlan.values import replace

REACH = Reach(guests=True, host=False, outside=False, from_host=False, from_outside=False)


def expand(network: Network, site: lan.Site) -> list[Resource]:
    """A namespace and the bridge in it; with DHCP or IPv6 also the server's addresses and the server."""
    namespace = Namespace(network.name, parent=site.namespace)
    bridge = replace(lan.bridge(network, site), namespace=namespace.key)
    if not (network.dhcp or network.ipv6):
        return [namespace, bridge]
    return [namespace, bridge, *lan.own_addresses(network, site, bridge), lan.server(network, site, bridge)]

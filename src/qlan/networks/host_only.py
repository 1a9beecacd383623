"""`host-only`: guests hear each other and the host; the host has an address on the bridge; nothing is forwarded."""

from __future__ import annotations

from qlan.networks import lan
from qlan.networks.reach import Reach
from qlan.resources.model import HOST, Bridge, Filter, LinkDns, Resource
from qlan.topology import addressing
from qlan.topology.model import Network

REACH = Reach(guests=True, host=True, outside=False, from_host=True, from_outside=False)


def expand(network: Network, site: lan.Site) -> list[Resource]:
    """On a machine that forwards closed by rules: else a guest could take it for its router, unasked."""
    found = with_host(network, site)
    if site.namespace != HOST or not site.facts.forwards:
        return found
    bridge = next(one for one in found if isinstance(one, Bridge))
    subnet = addressing.subnet_of(network, site.picks)
    return [*found, Filter(network.name, bridge.name, bridge.key, site.topology.lab, subnet, closed=True)]


def with_host(network: Network, site: lan.Site) -> list[Resource]:
    """A bridge, the host's addresses on it, and the server unless nothing is to be served."""
    bridge = lan.bridge(network, site)
    found: list[Resource] = [bridge, *lan.own_addresses(network, site, bridge)]
    if lan.wants_server(network):
        server = lan.server(network, site, bridge)
        found.append(server)
        if server.dns and site.namespace == HOST and site.facts.resolved:
            found.append(LinkDns(network.name, bridge.name, bridge.key, server.address.ip, site.topology.lab))
    return found

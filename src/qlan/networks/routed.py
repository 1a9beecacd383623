"""`routed`: host-only, and guests reach the outside with their own addresses, and the outside reaches them.

What is beyond the host must know the way back: a route to the subnet by way of this machine, or `proxy_arp`, with which
the host answers for the guests on its uplink.
"""

from __future__ import annotations

from qlan.networks import lan, nat
from qlan.networks.reach import Reach
from qlan.resources.model import Resource
from qlan.topology.model import Network

REACH = Reach(guests=True, host=True, outside=True, from_host=True, from_outside=True)


def expand(network: Network, site: lan.Site) -> list[Resource]:
    """As `nat`, with nobody's address in between."""
    return nat.through_host(network, site, masquerade=False)

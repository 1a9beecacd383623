"""`wire`: a cable between exactly two NICs that passes every frame, also those that a bridge keeps for itself.

Each end is a UDP socket on the loopback of a namespace of the wire's own, connected to the other end's and handed to
QEMU: a datagram is a frame.  Nobody else can send into it, no port can clash, and either guest may restart alone.
"""

from __future__ import annotations

from qlan.networks import lan
from qlan.networks.reach import Reach
from qlan.resources.model import Namespace, Resource, WireBackend
from qlan.topology.model import Network

REACH = Reach(guests=True, host=False, outside=False, from_host=False, from_outside=False)


def expand(network: Network, site: lan.Site) -> list[Resource]:
    """The namespace; the ends come with their machines."""
    return [_namespace(network, site)]


def backend(network: Network, site: lan.Site, guest: str, index: int) -> WireBackend:
    """The end that a NIC is: 0 for the one that the file names first."""
    ends = [(one.name, place) for one, place, _ in site.members(network)]
    return WireBackend(network.name, ends.index((guest, index)), _namespace(network, site).key)


def _namespace(network: Network, site: lan.Site) -> Namespace:
    return Namespace(network.name, parent=site.namespace)

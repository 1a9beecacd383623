"""On which bridge of a network a NIC is.

A Linux bridge has 1023 ports (BR_PORT_BITS in net/bridge/br_private.h).  A network with more NICs than PORTS has
further bridges, its branches, each joined to the first one by a trunk: a star.

Isolation is the kernel's, between ports of one bridge.  It holds across the star when the trunks' ports on the first
bridge are isolated too; then a NIC that is not must be on the first bridge, from where it reaches every branch.  Or the
trunks are open; then all isolated NICs must be on the first bridge.
"""

from __future__ import annotations

from collections.abc import Sequence

from qlan.topology.model import Network, Nic
from qlan.values import Value

PORTS_MAX = 1023
PORTS = 1000  # NICs of a bridge: the rest is for trunks, an uplink, and NICs of QEMUs started by hand
BRANCHES_MAX = PORTS_MAX - PORTS - 3


class Star(Value):
    """places: the branch of each NIC, 0 for the first bridge.  isolated: whether the trunks are."""

    places: tuple[int, ...]
    isolated: bool = False

    @property
    def branches(self) -> int:
        """How many there are besides the first bridge."""
        return max(self.places, default=0)


def star(network: Network, nics: Sequence[Nic]) -> Star | None:
    """The bridges of a network with these NICs, in the file's order; None: they do not fit.

    A bridge is filled before the next one is begun, so that a NIC at the end of the file moves no other.
    """
    if len(nics) <= PORTS:
        return Star((0,) * len(nics))
    if len(nics) > PORTS * (BRANCHES_MAX + 1):
        return None
    apart = [network.isolated if nic.isolated is None else nic.isolated for nic in nics]
    for trunks in (network.isolated, not network.isolated):
        first = [place for place, one in enumerate(apart) if one != trunks]  # must be on the first bridge
        if len(first) <= PORTS:
            return Star(_filled(len(nics), set(first)), trunks)
    return None


def _filled(count: int, first: set[int]) -> tuple[int, ...]:
    taken = len(first)
    places = []
    for place in range(count):
        if place in first:
            places.append(0)
        else:
            places.append(taken // PORTS)
            taken += 1
    return tuple(places)

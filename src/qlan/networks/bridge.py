"""`bridge`: a bridge that somebody else made, and that is left as it is: only TAPs of ours come and go on it.

In the host realm the TAPs are made by us; an ordinary user's QEMU has its own setuid helper make them.
"""

from __future__ import annotations

from qlan.networks import lan
from qlan.networks.reach import Reach
from qlan.resources.model import HOST, HelperBackend, Resource, Tap
from qlan.topology.model import Network, bridge_of

REACH = Reach(guests=True, host=True, outside=True, from_host=True, from_outside=True)  # whatever it has


def expand(network: Network, site: lan.Site) -> list[Resource]:
    """Nothing: it is there."""
    return []


def tap(network: Network, site: lan.Site, guest: str, index: int) -> Tap | None:
    """The TAP of a NIC; None where QEMU's helper makes it."""
    if site.namespace != HOST:
        return None
    name = bridge_of(network)
    link = site.facts.named_links.get(name)
    mtu = link.mtu_bytes if link else 1500  # a smaller port would lower the bridge's own
    stem, key = f"{guest}.{index}", f"tap/{guest}/{index}"
    return Tap(guest, index, site.link_name(stem, key), network.name, name, HOST, mtu, foreign=True)


def backend(network: Network, site: lan.Site) -> HelperBackend:
    """What a NIC without a TAP of ours is plugged into."""
    helper = site.facts.bridge_helper
    return HelperBackend(network.name, bridge_of(network), helper.path if helper else "")

"""`macvtap`: each guest has a MAC of its own on a NIC of this machine, and so is a client of the LAN behind it.

What this machine itself sends by that NIC does not come to its guests, nor theirs to it: the kernel gives a frame to
the wire or to its siblings, and the NIC is no sibling.  host_access adds one of the host's own, with an address that
moves nothing: it leads to the guests whose addresses the file tells, and to nobody else.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

from qlan.networks import lan
from qlan.networks.reach import Reach
from qlan.resources.model import HOST, Address, Macvlan, Macvtap, MacvtapBackend, Resource
from qlan.topology.model import Network

REACH = Reach(guests=True, host=False, outside=True, from_host=False, from_outside=True)


def expand(network: Network, site: lan.Site) -> list[Resource]:
    """The host's own, if it is to be heard."""
    if not network.host_access or network.address is None or network.uplink is None:
        return []
    name = site.link_name(network.name, f"macvlan/{network.name}")
    mac = site.mac("macvlan", network.name)
    own = Macvlan(network.name, name, network.uplink, mac, _mtu(network, site))
    interface = IPv4Interface(f"{network.address}/32")
    peers: list[IPv4Address | None] = [nic.address for _, _, nic in site.members(network) if nic.address]
    peers = peers or [None]
    return [own, *(Address(own.key, name, interface, HOST, peer) for peer in peers)]


def link(network: Network, site: lan.Site, guest: str, index: int, mac: str) -> Macvtap:
    """A NIC's own."""
    key = f"macvtap/{guest}/{index}"
    name = site.link_name(f"{guest}.{index}", key)
    return Macvtap(guest, index, name, network.uplink or "", network.mode or "bridge", mac, _mtu(network, site))


def backend(network: Network, guest: str, index: int) -> MacvtapBackend:
    """What the NIC is plugged into."""
    return MacvtapBackend(network.name, f"macvtap/{guest}/{index}")


def _mtu(network: Network, site: lan.Site) -> int:
    found = site.facts.named_links.get(network.uplink or "")
    return found.mtu_bytes if found else 1500

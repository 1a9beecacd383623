"""`public`: guests are clients of this machine's own LAN: the bridge takes one of its Ethernet NICs in.

The bridge gets the NIC's MAC, so that neither the switch nor the DHCP server outside sees another machine than before,
and everything that the NIC carried (`resources/uplink.py`).  Nobody of ours serves anything there, unless the file says
`dhcp:` and no other server answered (`host/dhcp_probe.py`).
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

from qlan.facts.machine import NicFacts
from qlan.networks import lan
from qlan.networks.reach import Reach
from qlan.resources.model import Bridge, Resource, Uplink
from qlan.topology.model import Network
from qlan.values import replace

REACH = Reach(guests=True, host=True, outside=True, from_host=True, from_outside=True)


def expand(network: Network, site: lan.Site) -> list[Resource]:
    """The bridge, and the NIC in it."""
    assert network.uplink is not None
    nic = site.facts.nics[network.uplink]
    bridge = replace(
        lan.bridge(network, site),
        mac=nic.mac,
        mtu_bytes=network.mtu_bytes or nic.mtu_bytes,
        ipv6=nic.carried.ipv6,
    )
    uplink = Uplink(
        network.name,
        network.uplink,
        bridge.name,
        carried=nic.carried,
        confirm_within_s=network.confirm_within_s,
        keep_if_answered=network.keep_if_answered,
        manager=nic.manager,
    )
    return [bridge, uplink, *_server(network, site, bridge, nic)]


def _server(network: Network, site: lan.Site, bridge: Bridge, nic: NicFacts) -> list[Resource]:
    """Where the LAN has no DHCP server and the file wants one: at the address that the bridge carries."""
    if network.dhcp is None:
        return []
    own = next(one for one in nic.carried.interfaces if one.network == network.subnet)
    gateways = [one for one in map(ip_address, nic.carried.gateways) if isinstance(one, IPv4Address)]
    router = next((one for one in gateways if one in own.network), None)
    server = replace(lan.server(network, site, bridge), address=own, router=router, upstream="host", shared=True)
    return [server]

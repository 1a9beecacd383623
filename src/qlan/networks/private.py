"""`private`: guests hear each other and nothing else.

The bridge has no address.  DHCP, when asked for, is served from a network namespace that holds nothing but the server
and the far end of a veth, so that even the server's address leads nowhere.
"""

from __future__ import annotations

from ipaddress import IPv4Interface

from qlan.networks import lan
from qlan.resources.model import Address, Namespace, Resource, Veth
from qlan.topology import addressing
from qlan.topology.model import Network

REACH = {"guests": True, "host": False, "outside": False}


def expand(network: Network, site: lan.Site) -> list[Resource]:
    """A bridge; with DHCP also a namespace, a veth into it, and the server there."""
    bridge = lan.bridge(network, site)
    if not network.dhcp:
        return [bridge]
    namespace = Namespace(f"{network.name}.dhcp", parent=site.namespace)
    veth = Veth(
        network.name,
        name=site.link_name(f"{network.name}.dhcp", f"veth/{network.name}"),
        bridge=bridge.name,
        peer="dhcp",
        peer_namespace=namespace.key,
        peer_mac=site.mac("dhcp", network.name),
        namespace=site.namespace,
        mtu_bytes=bridge.mtu_bytes,
    )
    subnet = addressing.subnet_of(network, site.picks)
    interface = IPv4Interface(f"{addressing.host_address(network, subnet)}/{subnet.prefixlen}")
    address = Address(veth.key, veth.peer, interface, namespace.key)
    server = lan.server(network, site, link_key=veth.key, interface=veth.peer, namespace=namespace.key)
    return [bridge, namespace, veth, address, server]

"""Services of this machine for guests: ports of the host's address on a network, and who listens there."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

from qlan.networks import lan
from qlan.resources.model import Address, Bridge, Outlet, Resource, ReversePort
from qlan.topology import addressing
from qlan.topology.model import Reverse


def expand(site: lan.Site) -> list[Resource]:
    """The ports of all guests of the file, behind the process that listens on them."""
    found: list[Resource] = []
    for guest in site.topology.guests:
        for index, nic in enumerate(guest.nics):
            if nic.network is None or not nic.reverse:
                continue
            network = site.topology.network(nic.network)
            address = addressing.nic_address(site.topology, site.picks, guest.name, index)
            assert address is not None  # the kinds that take them have a subnet
            bridge = lan.bridge(network, site)
            own = Address(bridge.key, bridge.name, lan.own_interface(network, site), bridge.namespace)
            found += [port(one, guest.name, index, bridge, own, address) for one in nic.reverse]
    return [Outlet(site.topology.lab, site.facts.run_as), *found] if found else []


def port(said: Reverse, guest: str, nic: int, bridge: Bridge, own: Address, caller: IPv4Address) -> ReversePort:
    """One port.  own: the host's address on the bridge; caller: the guest's."""
    assert isinstance(own.interface, IPv4Interface)
    return ReversePort(guest, nic, bridge.network, said.protocol, own.interface.ip, said.port, caller,
                       said.host_address, said.host_port, bridge.name, own.key, own.namespace)  # fmt: skip

"""What bridged kinds share: names of links, the bridge, its DHCP and DNS server, who has which address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from qlan import names
from qlan.facts import Facts
from qlan.resources.model import HOST, Bridge, Dnsmasq, Reservation
from qlan.topology import addressing
from qlan.topology.model import Guest, Network, Nic, Picks, Topology


@dataclass(frozen=True, slots=True)
class Site:
    """A lab on its way to the host.  namespace: the key of the realm's Namespace, or HOST."""

    topology: Topology
    picks: Picks
    facts: Facts
    namespace: str

    def link_name(self, stem: str, key: str) -> str:
        """The interface name: in a namespace of the lab's own the plain stem, on the machine a unique one."""
        if self.namespace != HOST and names.fits_interface(stem):
            return stem
        return names.interface_name(stem, f"{self.topology.lab}/{key}")

    def mac(self, *salt: str) -> str:
        """A stable MAC for something of this lab that is not a guest's NIC."""
        return names.derived_mac(self.facts.seed, self.topology.lab, *salt)

    def members(self, network: Network) -> Iterator[tuple[Guest, int, Nic]]:
        """The NICs on a network, in the file's order."""
        for guest in self.topology.guests:
            for index, nic in enumerate(guest.nics):
                if nic.network == network.name:
                    yield guest, index, nic


def bridge(network: Network, site: Site) -> Bridge:
    """The network's bridge, with a MAC of its own (else it would change with every port)."""
    name = site.link_name(network.name, f"bridge/{network.name}")
    mtu = network.mtu_bytes or 1500
    return Bridge(network.name, name, site.mac("bridge", network.name), site.namespace, mtu_bytes=mtu)


def own_interface(network: Network, site: Site) -> IPv4Interface:
    """The address on the bridge that is not a guest's: the host's, or the server's."""
    subnet = addressing.subnet_of(network, site.picks)
    return IPv4Interface(f"{addressing.host_address(network, subnet)}/{subnet.prefixlen}")


def server(network: Network, site: Site, bridge: Bridge) -> Dnsmasq:
    """The network's DHCP and DNS server, on its bridge.

    Every NIC of the file has its address reserved: a reservation spares dnsmasq's three seconds of asking around
    whether an address is free, and keeps a guest's address when it is made anew.
    """
    subnet = addressing.subnet_of(network, site.picks)
    first, last = addressing.dhcp_range(network, subnet) if network.dhcp else (None, None)
    reservations: list[Reservation] = []
    hosts: dict[str, IPv4Address] = {}
    for guest, index, nic in site.members(network):
        given = addressing.nic_address(site.topology, site.picks, guest.name, index)
        if given is None:
            continue
        hosts.setdefault(guest.name, given)
        if network.dhcp:
            mac = nic.mac or addressing.nic_mac(site.topology, guest.name, index, site.facts.seed)
            reservations.append(Reservation(mac, given, guest.name))
    return Dnsmasq(
        network=network.name,
        interface=bridge.name,
        link_key=bridge.key,
        address=own_interface(network, site),
        lab=site.topology.lab,
        namespace=bridge.namespace,
        first=first,
        last=last,
        lease_time_s=network.dhcp.lease_time_s if network.dhcp else 3600,
        reservations=tuple(reservations),
        hosts=tuple(sorted(hosts.items())) if network.dns else (),
        dns=network.dns,
        mtu_bytes=network.mtu_bytes,
    )

"""What bridged kinds share: names of links, the bridge, its DHCP and DNS server, who has which address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import ClassVar

from qlan import names
from qlan.facts.machine import Facts
from qlan.resources.link import STP_TIMERS_S
from qlan.resources.model import HOST, Address, Bridge, DhcpRelay, Dnsmasq, Ipv6Service, Reservation
from qlan.topology import addressing, prefixes
from qlan.topology.model import HOST_KINDS, OUTSIDE_KINDS, Guest, Network, Nic, Picks, Topology
from qlan.topology.scalars import IPV6_MTU_MIN
from qlan.values import Partly, field, fill_in

ETHERNET_MTU = 1500
WIDE_MTU = 65500  # the most that virtio-win's driver has a setting for (pasta: 65520)


class Site(Partly):
    """A lab on its way to the host.  namespace: the key of the realm's Namespace, or HOST."""

    topology: Topology
    picks: Picks
    facts: Facts
    namespace: str
    _members: dict[str, list[tuple[Guest, int, Nic]]] = field(default_factory=dict)
    _places: dict[str, int] = field(default_factory=dict)
    UNCOMPARED: ClassVar[frozenset[str]] = frozenset({"_members", "_places"})

    def __post_init__(self) -> None:
        """Index: each of a thousand networks asks for its own of ten thousand guests."""
        found: dict[str, list[tuple[Guest, int, Nic]]] = {}
        for guest in self.topology.guests:
            for index, nic in enumerate(guest.nics):
                if nic.network is not None:
                    found.setdefault(nic.network, []).append((guest, index, nic))
        fill_in(self, "_members", found)
        fill_in(self, "_places", {network.name: place for place, network in enumerate(self.topology.networks)})

    def link_name(self, stem: str, key: str) -> str:
        """The interface name: in a namespace of the lab's own the plain stem, on the machine a unique one."""
        if self.namespace != HOST and names.fits_interface(stem):
            return stem
        return names.interface_name(stem, f"{self.topology.lab}/{key}")

    def mac(self, *salt: str) -> str:
        """A stable MAC for something of this lab that is not a guest's NIC."""
        return names.derived_mac(self.facts.seed, self.topology.lab, *salt)

    def address6(self, guest: Guest, index: int) -> IPv6Address | None:
        """The IPv6 address that belongs to a NIC."""
        return addressing.nic_address6(self.topology, self.picks, guest.name, index, self.facts.seed)

    def in_order(self, names: Iterable[str]) -> list[Network]:
        """Some networks, in the file's order."""
        return [self.topology.networks[place] for place in sorted(self._places[name] for name in names)]

    def members(self, network: Network) -> Sequence[tuple[Guest, int, Nic]]:
        """The NICs on a network, in the file's order."""
        return self._members.get(network.name, ())


def mtu_bytes(network: Network, site: Site) -> int | None:
    """What the network's frames may be, and its guests are told: as written, else that of the narrowest way outside.

    None: Ethernet's own.  The way of a rootless lab is pasta, which takes up guests' connections itself and passes on
    as much at once as a frame holds: its frames are wide, as rootless Podman's are.
    """
    if network.mtu_bytes or network.kind not in OUTSIDE_KINDS:
        return network.mtu_bytes
    if site.namespace != HOST:
        return WIDE_MTU if network.wide else None
    facts = site.facts
    ways = [network.uplink] if network.uplink else [*facts.uplinks, *(facts.uplinks6 if network.ipv6 else ())]
    least = min((facts.way_mtus.get(link, ETHERNET_MTU) for link in ways), default=ETHERNET_MTU)
    if network.ipv6:
        least = max(least, IPV6_MTU_MIN)  # a link with less has no IPv6
    return least if least < ETHERNET_MTU else None


def bridge(network: Network, site: Site) -> Bridge:
    """The network's bridge, with a MAC of its own (else it would change with every port)."""
    delay_s, hello_s, age_s = STP_TIMERS_S if network.stp else (0, 2, 20)
    return Bridge(
        network.name,
        network.bridge_name or site.link_name(network.name, f"bridge/{network.name}"),
        site.mac("bridge", network.name),
        site.namespace,
        mtu_bytes=mtu_bytes(network, site) or ETHERNET_MTU,
        stp=network.stp,
        multicast_snooping=network.multicast_snooping,
        multicast_querier=network.multicast_snooping,
        isolates=network.isolated,
        vlan_filtering=network.vlan_filtering,
        vlan=network.vlan or 1,
        forward_delay_cs=delay_s * 100,
        hello_time_cs=hello_s * 100,
        max_age_cs=age_s * 100,
        ipv6=own_interface6(network, site) is not None,
    )


def own_interface(network: Network, site: Site) -> IPv4Interface:
    """The address on the bridge that is not a guest's: the host's, or the server's."""
    subnet = addressing.subnet_of(network, site.picks)
    return IPv4Interface(f"{addressing.host_address(network, subnet)}/{subnet.prefixlen}")


def own_interface6(network: Network, site: Site) -> IPv6Interface | None:
    """The same of IPv6; None if the network has none."""
    prefix = prefixes.find_prefix(network, site.picks.prefixes)
    if prefix is None:
        return None
    return IPv6Interface((prefixes.host_address6(network, prefix), prefix.prefixlen))


def own_addresses(network: Network, site: Site, bridge: Bridge) -> list[Address]:
    """The addresses on the bridge, of both families."""
    found = [own_interface(network, site), own_interface6(network, site)]
    return [Address(bridge.key, bridge.name, one, bridge.namespace) for one in found if one]


def wants_server(network: Network) -> bool:
    """Whether anything is to be served."""
    ipv6 = network.ipv6 is not None and (network.ipv6.slaac or network.ipv6.dhcp)
    return _gives(network) or network.dns or ipv6


def server(network: Network, site: Site, bridge: Bridge) -> Dnsmasq:
    """The network's DHCP and DNS server, on its bridge.

    Every NIC of the file has its address reserved: a reservation spares dnsmasq's three seconds of asking around
    whether an address is free, and keeps a guest's address when it is made anew.
    """
    subnet = addressing.subnet_of(network, site.picks)
    first, last = addressing.dhcp_range(network, subnet) if _gives(network) else (None, None)
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
        reservations=tuple(_reservations(network, site)),
        hosts=tuple(_hosts(network, site)) if network.dns else (),
        dns=network.dns,
        mtu_bytes=bridge.mtu_bytes,
        ipv6=_ipv6_service(network, site),
        routes=network.dhcp.routes if network.dhcp else (),
        options=_options(network),
        tftp=network.tftp,
        bootfile=network.bootfile,
    )


def dhcp_relay(network: Network, site: Site) -> DhcpRelay | None:
    """Who passes on what guests ask, if a server elsewhere gives the addresses."""
    if network.dhcp is None or network.dhcp.relay is None:
        return None
    own, server = bridge(network, site), network.dhcp.relay
    address = own_addresses(network, site, own)[0]
    assert isinstance(address.interface, IPv4Interface)
    others = [one for one in site.topology.networks if one.kind in HOST_KINDS]
    way = next((bridge(one, site).key for one in others if server in addressing.subnet_of(one, site.picks)), "")
    return DhcpRelay(network.name, own.name, own.key, address.interface.ip, address.key, server, own.namespace, way)


def _options(network: Network) -> tuple[tuple[str, str], ...]:
    if network.dhcp is None:
        return ()
    ntp = [("option:ntp-server", ",".join(map(str, network.dhcp.ntp)))] if network.dhcp.ntp else []
    return (*ntp, *network.dhcp.options)


def _ipv6_service(network: Network, site: Site) -> Ipv6Service | None:
    interface = own_interface6(network, site)
    if interface is None or network.ipv6 is None:
        return None
    ends = prefixes.dhcp_range6(interface.network) if network.ipv6.dhcp else (None, None)
    return Ipv6Service(interface, network.ipv6.slaac, *ends)


def _reservations(network: Network, site: Site) -> Iterator[Reservation]:
    for guest, index, _ in site.members(network):
        given, given6 = leased(network, site, guest, index)
        if given or given6:
            mac = addressing.nic_mac(site.topology, guest.name, index, site.facts.seed)
            yield Reservation(mac, given, guest.name, given6)


def leased(network: Network, site: Site, guest: Guest, index: int) -> tuple[IPv4Address | None, IPv6Address | None]:
    """What DHCP gives a NIC, of each family."""
    given = addressing.nic_address(site.topology, site.picks, guest.name, index) if _gives(network) else None
    return given, site.address6(guest, index) if network.ipv6 and network.ipv6.dhcp else None


def _gives(network: Network) -> bool:
    return network.dhcp is not None and network.dhcp.relay is None


def _hosts(network: Network, site: Site) -> list[tuple[str, IPv4Address | IPv6Address]]:
    """The first address of each guest, the file's further names, and the guests of networks that share a guest with
    this one: who is on both asks only one of their servers, and believes it that there is no such name.

    IPv6 only where no server tells the guest its address: of the others dnsmasq knows by itself which one they took.
    """
    found: dict[str, IPv4Address] = {}
    found6: dict[str, IPv6Address] = {}
    shared = {nic.network for guest, _, _ in site.members(network) for nic in guest.nics}
    for one in (network, *site.in_order(name for name in shared if name and name != network.name)):
        for guest, index, nic in site.members(one):
            given = addressing.nic_address(site.topology, site.picks, guest.name, index)
            if given:
                found.setdefault(guest.name, given)
            if nic.address6 and one.ipv6 and not one.ipv6.dhcp:
                found6.setdefault(guest.name, nic.address6)
    named: list[tuple[str, IPv4Address | IPv6Address]] = sorted(
        [*found.items(), *found6.items()], key=lambda one: (one[0], one[1].version)
    )
    return [*named, *network.records]

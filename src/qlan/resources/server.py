"""Daemons that serve a network."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface
from pathlib import Path
from typing import ClassVar

from qlan.resources.namespace import HOST, Inside
from qlan.values import Value


class Reservation(Value):
    """Addresses that belong to one MAC; name: the guest's, for DNS.  None: of that family it has none reserved."""

    mac: str
    address: IPv4Address | None
    name: str
    address6: IPv6Address | None = None


class Ipv6Service(Value):
    """What the server tells about IPv6.  address: its own, with the prefix.

    slaac: router advertisements let guests make an address of the prefix.  first/last: what DHCPv6 gives, None: it
    gives no addresses.  router: it is the guests' way outside.
    """

    address: IPv6Interface
    slaac: bool = True
    first: IPv6Address | None = None
    last: IPv6Address | None = None
    router: bool = False


class Dnsmasq(Inside):
    """The DHCP and DNS server of one network; it answers on `interface` alone.

    address: its own, with the prefix.  first/last: the DHCP range, None: no DHCP.  hosts: names for DNS.
    router: the gateway told to guests, None: none (RFC 2132 option 3 is then sent empty, so that no guest guesses one).
    upstream: who is asked for other names: an address, `host`: whom this machine asks, "": nobody.
    bound: to a link that is there; the sockets of one whose link was removed are deaf, even if the link comes again.
    """

    network: str
    interface: str
    link_key: str
    address: IPv4Interface
    lab: str
    namespace: str = HOST
    first: IPv4Address | None = None
    last: IPv4Address | None = None
    lease_time_s: int = 3600
    reservations: tuple[Reservation, ...] = ()
    hosts: tuple[tuple[str, IPv4Address | IPv6Address], ...] = ()
    dns: bool = True
    router: IPv4Address | None = None
    mtu_bytes: int = 1500  # said always: who was told another must hear of it
    ipv6: Ipv6Service | None = None
    upstream: str = ""
    routes: tuple[tuple[IPv4Network, IPv4Address], ...] = ()
    options: tuple[tuple[str, str], ...] = ()  # DHCP's, as dnsmasq names them
    tftp: Path | None = None  # a folder that it serves
    bootfile: str | None = None  # what a booting NIC is told to fetch
    shared: bool = False  # with machines that are not the lab's: an address may be somebody's
    bound: bool = True
    FIXED: ClassVar[frozenset[str]] = frozenset({"network", "namespace", "lab"})  # the rest by a restart in place

    @property
    def key(self) -> str:
        return f"dnsmasq/{self.network}"

    @property
    def needs(self) -> tuple[str, ...]:
        own = [self.address, *([self.ipv6.address] if self.ipv6 else [])]
        return (self.link_key, *(f"address/{self.interface}/{one}" for one in own))


class DhcpRelay(Value):
    """DHCP of a network by a server elsewhere: the lab's relay passes on what its guests ask.

    address: the host's on the network, by which the server knows where its answers belong; address_key: of the Address.
    way: the key of the lab's own network that the server is on, "": it is outside.
    """

    network: str
    link: str
    link_key: str
    address: IPv4Address
    address_key: str
    server: IPv4Address
    namespace: str = HOST
    way: str = ""
    FIXED: ClassVar[frozenset[str]] = frozenset(
        {"network", "link", "link_key", "address", "address_key", "server", "namespace", "way"}
    )

    @property
    def key(self) -> str:
        return f"dhcprelay/{self.network}"

    @property
    def needs(self) -> tuple[str, ...]:
        return ("relay", self.link_key, self.address_key, *([self.way] if self.way else ()))

    @property
    def within(self) -> tuple[str, ...]:
        return ("relay",)


class LinkDns(Value):
    """What systemd-resolved knows of a network's link: that names of the domain are asked of this server."""

    network: str
    link: str
    link_key: str
    server: IPv4Address
    domain: str
    FIXED: ClassVar[frozenset[str]] = frozenset({"network", "link", "link_key"})

    @property
    def key(self) -> str:
        return f"linkdns/{self.network}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.link_key, f"dnsmasq/{self.network}")

    @property
    def within(self) -> tuple[str, ...]:
        return (self.link_key,)

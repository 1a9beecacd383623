"""A lab in which nothing is left open: what is exported says every subnet, address, MAC and port.

Topology in, Topology out, so that an exporter looks at one thing only and a round trip is a comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from qlan import names
from qlan.facts.machine import Facts
from qlan.resources.link import burst_bytes
from qlan.resources.model import Shaping
from qlan.topology import addressing, prefixes
from qlan.topology.model import (
    HOST_KINDS,
    UNSERVED_KINDS,
    Dhcp,
    Disk,
    Forward,
    Guest,
    Network,
    Nic,
    Picks,
    Topology,
    trunk_words,
)
from qlan.topology.prefixes import host_address6
from qlan.values import Value, replace


class File(Value):
    """One file of an export.  path: relative, where it belongs below the root (or any folder, for a lone file).

    secret: the program refuses it unless nobody else can read it.
    """

    path: str
    text: str
    secret: bool = False


class Settled(Value):
    """A lab whose topology has no None where a value is needed.  facts: of the machine that it was settled on."""

    topology: Topology
    facts: Facts

    @property
    def owner(self) -> int:
        """The uid that opens the TAPs."""
        return self.facts.uid if self.facts.run_as is None else self.facts.run_as

    @property
    def bridged(self) -> list[Network]:
        """The networks that are a bridge made for the lab."""
        return [network for network in self.topology.networks if _is_bridged(network)]

    def members(self, network: Network) -> Iterator[tuple[Guest, int, Nic]]:
        """The NICs on a network, in the file's order."""
        for guest in self.topology.guests:
            for index, nic in enumerate(guest.nics):
                if nic.network == network.name:
                    yield guest, index, nic

    def binary(self, guest: Guest) -> str:
        """The QEMU of a guest, by its bare name."""
        return f"qemu-system-{guest.arch}"

    def host_interface(self, network: Network) -> IPv4Interface | None:
        """The host's address on the network; None for kinds that give it none."""
        if network.kind not in HOST_KINDS:
            return None
        return server_interface(network)

    def host_interface6(self, network: Network) -> IPv6Interface | None:
        """The same of IPv6."""
        if network.kind not in HOST_KINDS or network.ipv6 is None or network.ipv6.prefix is None:
            return None
        return IPv6Interface((host_address6(network, network.ipv6.prefix), network.ipv6.prefix.prefixlen))

    def static_words(self, guest: Guest) -> list[str]:
        """The kernel's `ip=` words for addresses that no DHCP gives (admin-guide/nfs/nfsroot.rst)."""
        if guest.kernel is None or "ip=" in guest.append:
            return []
        found = []
        for index, nic in enumerate(guest.nics):
            network = self.topology.network(nic.network) if nic.network else None
            if network and network.subnet and nic.address and not network.dhcp:
                found.append(f"ip={nic.address}:::{network.subnet.netmask}:{guest.name}:eth{index}:off")
        return found


def settle(topology: Topology, picks: Picks, facts: Facts) -> Settled:
    """The lab with all choices made.  picks: complete for it (`topology.addressing.complete`)."""
    networks = tuple(_network(network, picks) for network in topology.networks)
    guests = tuple(_guest(topology, guest, picks, facts) for guest in topology.guests)
    realm = addressing.realm_of(topology, facts)
    return Settled(replace(topology, networks=networks, guests=guests, realm=realm), facts)


def taps(lab: Settled) -> Iterator[tuple[Network, Guest, int]]:
    """Every TAP that the guests need, with its network, in the file's order."""
    for guest in lab.topology.guests:
        for index, nic in enumerate(guest.nics):
            network = lab.topology.network(nic.network) if nic.network else None
            if network and _is_bridged(network):
                yield network, guest, index


def _is_bridged(network: Network) -> bool:
    return network.kind not in UNSERVED_KINDS or network.kind == "public"


def server_interface(network: Network) -> IPv4Interface | None:
    """The address of the host (private: of the DHCP server) with its prefix; None where there is no subnet."""
    if network.subnet is None or network.address is None:
        return None
    return IPv4Interface(f"{network.address}/{network.subnet.prefixlen}")


def bridge_name(network: Network) -> str:
    """The bridge of a network on a host: `br-lan`, or as the file calls it."""
    return network.bridge_name or _fitted("br-", network.name)


def is_isolated(nic: Nic, network: Network) -> bool:
    """Whether the NIC's port is isolated."""
    return network.isolated if nic.isolated is None else nic.isolated


def tap_name(guest: Guest, index: int) -> str:
    """The TAP of a NIC on a host: `tap-web-0`."""
    return _fitted("tap-", f"{guest.name}-{index}")


def wire_ports(network: Network, guest: Guest, index: int, lab: Settled) -> tuple[int, int]:
    """(own, the other's): the UDP ports on the loopback of a NIC on a wire, where nobody hands out sockets."""
    ends = [(one.name, place) for one, place, _ in lab.members(network)]
    number = int.from_bytes(f"{lab.topology.lab}/{network.name}".encode()) % 5003  # a prime: every letter counts
    own = ends.index((guest.name, index))
    first = addressing.PORT_FIRST + 2 * (number % 5000)
    return first + own, first + 1 - own


def vlans_of(nic: Nic, network: Network) -> tuple[list[int], list[str]]:
    """The VLAN that passes the NIC's port without its tag (or none), and the ranges that pass with theirs."""
    if not network.vlan_filtering:
        return [], []
    untagged = [nic.vlan] if nic.vlan else [] if nic.trunk else [network.vlan or 1]
    return untagged, trunk_words(nic.trunk)


def ifb_name(guest: Guest, index: int) -> str:
    """The link that shapes what a NIC's guest sends: `ifb-web-0`."""
    return _fitted("ifb-", f"{guest.name}-{index}")


def limits(network: Network, guest: Guest, index: int, tap: str) -> list[Shaping]:
    """The rate limits of a NIC."""
    rate, mtu = guest.nics[index].rate, network.mtu_bytes or 1500
    said = [("in", tap, rate.in_bps), ("out", ifb_name(guest, index), rate.out_bps)] if rate else []
    return [Shaping(guest.name, index, way, tap, queue, bps, burst_bytes(bps, mtu)) for way, queue, bps in said if bps]


def ends_of(dhcp: Dhcp) -> tuple[IPv4Address, IPv4Address]:
    """First and last address of a settled DHCP range."""
    assert dhcp.first is not None and dhcp.last is not None
    return dhcp.first, dhcp.last


def reservations(network: Network, lab: Settled) -> list[tuple[str, IPv4Address, str]]:
    """(MAC, address, guest) of every NIC on the network that has an address."""
    return [(nic.mac or "", nic.address, guest.name) for guest, _, nic in lab.members(network) if nic.address]


def reservations6(network: Network, lab: Settled) -> list[tuple[str, IPv6Address, str]]:
    """The same of IPv6, where DHCPv6 gives addresses."""
    if network.ipv6 is None or not network.ipv6.dhcp:
        return []
    return [(nic.mac or "", nic.address6, guest.name) for guest, _, nic in lab.members(network) if nic.address6]


def _fitted(prefix: str, name: str) -> str:
    whole = prefix + name
    return whole if names.fits_interface(whole) else names.interface_name(whole, name)


def _network(network: Network, picks: Picks) -> Network:
    if network.subnet is None and network.name not in picks.subnets:
        return network
    subnet = addressing.subnet_of(network, picks)
    address = network.address
    if addressing.wants_subnet(network):
        address = addressing.host_address(network, subnet)
    dhcp = network.dhcp
    if dhcp and not dhcp.relay:
        first, last = addressing.dhcp_range(network, subnet)
        dhcp = replace(dhcp, first=first, last=last)
    prefix = prefixes.find_prefix(network, picks.prefixes)
    ipv6 = None
    if network.ipv6 and prefix:
        ipv6 = replace(network.ipv6, prefix=prefix, address=prefixes.host_address6(network, prefix))
    return replace(network, subnet=subnet, address=address, dhcp=dhcp, ipv6=ipv6)


def _guest(topology: Topology, guest: Guest, picks: Picks, facts: Facts) -> Guest:
    arch = guest.arch or facts.arch
    qemu = facts.qemu.get(arch)
    machine = guest.machine or (qemu.default_machine if qemu else "q35" if arch in ("x86_64", "i386") else "virt")
    accel = guest.accel
    if accel == "auto":
        accel = "kvm" if arch == facts.arch and not facts.kvm else "tcg"
    nics = tuple(_nic(topology, guest, index, picks, facts) for index in range(len(guest.nics)))
    disks = tuple(_disk(disk, facts) for disk in guest.disks)
    return replace(guest, arch=arch, machine=machine, accel=accel, nics=nics, disks=disks)


def _disk(disk: Disk, facts: Facts) -> Disk:
    return replace(disk, format=disk.format or facts.disk_formats.get(str(disk.path)))


def _nic(topology: Topology, guest: Guest, index: int, picks: Picks, facts: Facts) -> Nic:
    nic = guest.nics[index]
    forwards = tuple(_forward(forward, guest.name, index, picks) for forward in nic.forwards)
    return replace(
        nic,
        mac=addressing.nic_mac(topology, guest.name, index, facts.seed),
        address=addressing.nic_address(topology, picks, guest.name, index),
        address6=addressing.nic_address6(topology, picks, guest.name, index, facts.seed),
        forwards=forwards,
    )


def _forward(forward: Forward, guest: str, index: int, picks: Picks) -> Forward:
    return replace(forward, host_port=addressing.host_port(forward, picks, guest, index))

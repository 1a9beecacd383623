"""The topology: what the user wants, in the user's words.

Made by `load` (from a file) and `short` (from a command line); defaults that don't depend on this machine are filled
there, once.  `None` means "not said": the machine or the lab's memory (`Picks`) decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import ClassVar, Literal

from qlan import realm
from qlan.facts.found import FoundNic, FoundQemu
from qlan.problems import Mark
from qlan.values import Partly, Value, field, fill_in

Protocol = Literal["tcp", "udp"]

Marks = Mapping[str, Mark]  # where the value of a key stands, for errors that point at it

# of `networks:`; `user` and `none` are said at a NIC
KINDS = ("private", "host-only", "nat", "routed", "wire", "bridge", "public", "macvtap")
HOST_KINDS = ("host-only", "nat", "routed")  # those that give the host an address on the network
OUTSIDE_KINDS = ("nat", "routed")  # those from which this machine forwards

UNSERVED_KINDS = (
    "wire",
    "bridge",
    "public",
    "macvtap",
)  # no bridge of ours, and nobody of ours who gives addresses or answers there

Realm = realm.Realm


class Dhcp(Value):
    """`dhcp:` of a network.  first/last: both or neither; neither means the upper part of the subnet."""

    first: IPv4Address | None = None
    last: IPv4Address | None = None
    lease_time_s: int = 3600
    mark: Mark | None = None
    routes: tuple[tuple[IPv4Network, IPv4Address], ...] = ()
    ntp: tuple[IPv4Address, ...] = ()
    options: tuple[tuple[str, str], ...] = ()  # (dnsmasq's name or number, value)
    relay: IPv4Address | None = None  # the server elsewhere that gives the addresses


class Ipv6(Partly):
    """`ipv6:` of a network.  address: the host's own (default: the prefix's ::1).

    slaac: guests make themselves an address by the router's advertisements; dhcp: DHCPv6 gives each its fixed one.
    asked: written; what is only the default gives way on a machine without IPv6.
    """

    prefix: IPv6Network | None = None
    address: IPv6Address | None = None
    slaac: bool = True
    dhcp: bool = True
    asked: bool = True
    mark: Mark | None = None
    UNCOMPARED: ClassVar[frozenset[str]] = frozenset({"asked", "mark"})


class Network(Partly):
    """One of `networks:`.  address: the host's own on the bridge (kinds that have one; default the subnet's first)."""

    name: str
    kind: str
    subnet: IPv4Network | None = None
    address: IPv4Address | None = None
    dhcp: Dhcp | None = None
    dns: bool = True
    mtu_bytes: int | None = None
    mode: str | None = None  # of kind macvtap; None: bridge
    host_access: bool = False  # of kind macvtap: this machine is on it too, as `address`
    bridge: str | None = None  # of kind bridge: the existing one; None: it is called as the network
    bridge_name: str | None = None  # None: made of the network's name
    reach: tuple[str, ...] = ()  # nat: other networks whose guests may be reached
    proxy_arp: bool = False  # routed: the host answers for the guests on its uplink
    isolated: bool = False  # guests reach the host, not each other; a NIC may say otherwise
    stp: bool = False
    multicast_snooping: bool = False
    ipv6: Ipv6 | None = None
    uplink: str | None = None  # public: the NIC of this machine that the bridge takes in; macvtap: that guests share
    confirm_within_s: int = 60  # public: until the watchdog puts the NIC back; 0: no watchdog
    keep_if_answered: bool = False  # public: unless its gateway answered all the time
    managed: bool = False  # public: who configures that NIC (NetworkManager, systemd-networkd) goes on with the bridge
    vlan_filtering: bool = False
    vlan: int | None = None  # the host's own, and a NIC's that says none; None: 1
    records: tuple[tuple[str, IPv4Address | IPv6Address], ...] = ()  # further names for DNS
    tftp: Path | None = None  # a folder that the DHCP server serves by TFTP
    bootfile: str | None = None  # what guests that boot from the network are told to fetch
    wide: bool = False  # all NICs that the file puts on it can be told an MTU beyond Ethernet's
    mark: Mark | None = None
    marks: Marks = field(default_factory=dict)
    UNCOMPARED: ClassVar[frozenset[str]] = frozenset({"wide", "marks"})


class UserNetwork(Value):
    """`user:` of a NIC: QEMU's user-mode network, private to that NIC; the fields are those of `-netdev user`."""

    subnet: IPv4Network | None = None  # QEMU: 10.0.2.0/24
    host: IPv4Address | None = None  # the address under which the guest reaches the host; QEMU: .2
    dhcp_start: IPv4Address | None = None  # QEMU: .15
    dns: IPv4Address | None = None  # QEMU: .3
    domain: str | None = None
    search: tuple[str, ...] = ()
    hostname: str | None = None  # None: the guest's name
    ipv4: bool = True
    ipv6: bool | None = None  # None: as QEMU has it
    ipv6_prefix: IPv6Network | None = None  # QEMU: fec0::/64
    restrict: bool = False
    tftp: Path | None = None
    bootfile: str | None = None
    smb: Path | None = None
    guestfwd: tuple[str, ...] = ()  # QEMU's own words, e.g. tcp:10.0.2.100:1234-cmd:netcat
    backend: Literal["slirp", "passt", "auto"] = "slirp"


class Forward(Value):
    """A host port that leads into the guest.  host_port None: a free one, picked once and remembered."""

    protocol: Protocol
    host_address: IPv4Address | IPv6Address
    host_port: int | None
    guest_address: IPv4Address | IPv6Address | None  # None: the guest's own
    guest_port: int
    mark: Mark | None = None


class Reverse(Value):
    """A port of the host's address on the guest's network, which leads to a service of this machine."""

    protocol: Protocol
    port: int
    host_address: IPv4Address
    host_port: int
    mark: Mark | None = None


class Rate(Value):
    """`rate:` of a NIC as its guest sees it: what comes in, what goes out, in bits a second; None: no limit."""

    in_bps: int | None = None
    out_bps: int | None = None


class Nic(Partly):
    """One NIC.  Exactly one of network (a name from `networks:`), user and found is given."""

    network: str | None = None
    user: UserNetwork | None = None
    model: str = "virtio"
    mac: str | None = None
    address: IPv4Address | None = None
    forwards: tuple[Forward, ...] = ()
    boot: bool = False  # boot: network
    link_up: bool = True
    mtu_bytes: int | None = None
    isolated: bool | None = None  # None: as the network is
    rate: Rate | None = None
    address6: IPv6Address | None = None
    vlan: int | None = None  # that of its untagged frames
    trunk: tuple[tuple[int, int], ...] = ()  # ranges of VLANs that pass tagged, in order, apart from each other
    vhost: bool | None = None  # None: with KVM, where this machine has it
    found: FoundNic | None = None  # of an adopted guest: instead of network and user
    reverse: tuple[Reverse, ...] = ()
    mark: Mark | None = None
    marks: Marks = field(default_factory=dict)
    UNCOMPARED: ClassVar[frozenset[str]] = frozenset({"marks"})


class Disk(Value):
    """A disk image.  format None: what the file's own header says (never guessed for raw: QEMU's probing is unsafe)."""

    path: Path
    format: str | None = None
    interface: str = "virtio"
    read_only: bool = False
    mark: Mark | None = None


class Guest(Partly):
    """One virtual machine."""

    name: str
    disks: tuple[Disk, ...] = ()
    kernel: Path | None = None
    initrd: Path | None = None
    append: str = ""
    memory_bytes: int = 512 << 20
    cpus: int = 1
    arch: str | None = None  # None: this machine's
    machine: str | None = None  # None: QEMU's own default
    accel: Literal["auto", "kvm", "tcg"] = "auto"
    display: Literal["none", "sdl", "gtk", "vnc", "spice"] = "none"
    cloud_init: bool = False
    qemu_args: tuple[str, ...] = ()
    nics: tuple[Nic, ...] = ()
    hotplug: int | None = None  # free places for NICs that come later; None: the usual few
    found: FoundQemu | None = None  # adopted: somebody else started it
    mark: Mark | None = None
    marks: Marks = field(default_factory=dict)
    UNCOMPARED: ClassVar[frozenset[str]] = frozenset({"marks"})


class Topology(Partly):
    """A whole file.  run_as: the user that runs QEMU in the host realm (None: SUDO_UID's)."""

    lab: str
    networks: tuple[Network, ...] = ()
    guests: tuple[Guest, ...] = ()
    realm: Realm | None = None
    run_as: str | None = None
    source: Path | None = None
    mark: Mark | None = None
    marks: Marks = field(default_factory=dict)

    _networks: dict[str, Network] = field(default_factory=dict)
    _guests: dict[str, Guest] = field(default_factory=dict)
    _written6: dict[str, frozenset[IPv6Address]] = field(default_factory=dict)
    UNCOMPARED: ClassVar[frozenset[str]] = frozenset({"marks", "_networks", "_guests", "_written6"})

    def __post_init__(self) -> None:
        """Index by name: ten thousand guests are each looked up several times."""
        fill_in(self, "_networks", {network.name: network for network in self.networks})
        fill_in(self, "_guests", {guest.name: guest for guest in self.guests})
        written: dict[str, set[IPv6Address]] = {}
        for guest in self.guests:
            for nic in guest.nics:
                if nic.network and nic.address6:
                    written.setdefault(nic.network, set()).add(nic.address6)
        fill_in(self, "_written6", {name: frozenset(some) for name, some in written.items()})

    def written6(self, network: str) -> frozenset[IPv6Address]:
        """The IPv6 addresses that the file gives to NICs on a network."""
        return self._written6.get(network, frozenset())

    def network(self, name: str) -> Network:
        """The network of that name; KeyError."""
        return self._networks[name]

    def guest(self, name: str) -> Guest:
        """The guest of that name; KeyError."""
        return self._guests[name]


class Picks(Value):
    """What was chosen for a lab where its file leaves the choice open; remembered, so that it stays the same.

    subnets: by network name.  addresses: by `guest/nic-index/network` (a NIC that moves gets a new one).
    ports: by `guest/nic-index/protocol/guest-address/guest-port`.  prefixes: of IPv6, by network name.
    """

    subnets: dict[str, IPv4Network]
    addresses: dict[str, IPv4Address]
    ports: dict[str, int]
    prefixes: dict[str, IPv6Network] = field(default_factory=dict)


def bridge_of(network: Network) -> str:
    """The interface of a network of kind bridge."""
    return network.bridge or network.name


def trunk_words(trunk: Iterable[tuple[int, int]]) -> list[str]:
    """Ranges of VLANs as the file has them: `10`, `20-30`."""
    return [f"{first}-{last}" if last > first else str(first) for first, last in trunk]


def joined_vlans(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The same VLANs in order, as few ranges as can be."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return tuple(found)


def mark_of(thing: Network | Nic | Guest | Topology, key: str) -> Mark | None:
    """Where the value of a key stands, else where the whole thing does."""
    return thing.marks.get(key, thing.mark)

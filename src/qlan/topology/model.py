"""The topology: what the user wants, in the user's words.

Made by `load` (from a file) and `short` (from a command line); defaults that don't depend on this machine are filled
there, once.  `None` means "not said": the machine or the lab's memory (`Picks`) decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal

from qlan import names, realm
from qlan.errors import Mark

Protocol = Literal["tcp", "udp"]

Marks = Mapping[str, Mark]  # where the value of a key stands, for errors that point at it

KINDS = ("private", "host-only")  # kinds of `networks:`; `user` and `none` are said at the NIC itself
HOST_KINDS = ("host-only",)  # those that give the host an address on the network

MODEL_ALIASES = names.MODEL_ALIASES
Realm = realm.Realm


@dataclass(frozen=True, slots=True)
class Dhcp:
    """`dhcp:` of a network.  first/last: both or neither; neither means the upper part of the subnet."""

    first: IPv4Address | None = None
    last: IPv4Address | None = None
    lease_time_s: int = 3600
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """One of `networks:`.  address: the host's own on the bridge (kinds that have one; default the subnet's first)."""

    name: str
    kind: str
    subnet: IPv4Network | None = None
    address: IPv4Address | None = None
    dhcp: Dhcp | None = None
    dns: bool = True
    mtu_bytes: int | None = None
    mark: Mark | None = None
    marks: Marks = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class UserNetwork:
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


@dataclass(frozen=True, slots=True)
class Forward:
    """A host port that leads into the guest.  host_port None: a free one, picked once and remembered."""

    protocol: Protocol
    host_address: IPv4Address
    host_port: int | None
    guest_address: IPv4Address | None  # None: the guest's first lease
    guest_port: int
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Nic:
    """One NIC.  Exactly one of network (a name from `networks:`) and user is given."""

    network: str | None = None
    user: UserNetwork | None = None
    model: str = "virtio"
    mac: str | None = None
    address: IPv4Address | None = None
    forwards: tuple[Forward, ...] = ()
    boot: bool = False  # boot: network
    link_up: bool = True
    mtu_bytes: int | None = None
    mark: Mark | None = None
    marks: Marks = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk image.  format None: what the file's own header says (never guessed for raw: QEMU's probing is unsafe)."""

    path: Path
    format: str | None = None
    interface: str = "virtio"
    read_only: bool = False
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Guest:
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
    mark: Mark | None = None
    marks: Marks = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Topology:
    """A whole file.  run_as: the user that runs QEMU in the host realm (None: SUDO_UID's)."""

    lab: str
    networks: tuple[Network, ...] = ()
    guests: tuple[Guest, ...] = ()
    realm: Realm | None = None
    run_as: str | None = None
    source: Path | None = None
    mark: Mark | None = None
    marks: Marks = field(default_factory=dict, compare=False, repr=False)

    _networks: dict[str, Network] = field(init=False, compare=False, repr=False)
    _guests: dict[str, Guest] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Index by name: ten thousand guests are each looked up several times."""
        object.__setattr__(self, "_networks", {network.name: network for network in self.networks})
        object.__setattr__(self, "_guests", {guest.name: guest for guest in self.guests})

    def network(self, name: str) -> Network:
        """The network of that name; KeyError."""
        return self._networks[name]

    def guest(self, name: str) -> Guest:
        """The guest of that name; KeyError."""
        return self._guests[name]


@dataclass(frozen=True, slots=True)
class Picks:
    """What was chosen for a lab where its file leaves the choice open; remembered, so that it stays the same.

    subnets: by network name.  addresses: by `guest/nic-index/network` (a NIC that moves gets a new one).
    ports: by `guest/nic-index/protocol/guest-address/guest-port`.
    """

    subnets: dict[str, IPv4Network]
    addresses: dict[str, IPv4Address]
    ports: dict[str, int]


def mark_of(thing: Network | Nic | Guest | Topology, key: str) -> Mark | None:
    """Where the value of a key stands, else where the whole thing does."""
    return thing.marks.get(key, thing.mark)

"""The resources of a host.  Wanted and present are these same frozen types, so a difference is a comparison.

Every resource has a `key` (`kind/name`, unique in a lab), `needs` (keys that must be there before it) and `within`
(keys of what it dies with: a TAP goes with its machine and with its namespace).  FIXED names the fields that cannot be
changed in place: a change of one of them means delete and create.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Network
from pathlib import Path
from typing import ClassVar

HOST = ""  # the `namespace` of what lives in the machine's own network namespace


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace, held open by one sleeping process.

    parent HOST and user True: the realm of a rootless lab (user, network, mount and process namespace in one).
    Otherwise a plain network namespace beside the parent's, for a network that must share nothing with anyone.
    """

    name: str
    parent: str = HOST
    user: bool = False
    loopback_up: bool = True
    FIXED: ClassVar[frozenset[str]] = frozenset({"name", "parent", "user"})

    @property
    def key(self) -> str:
        return f"namespace/{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.parent,) if self.parent else ()

    @property
    def within(self) -> tuple[str, ...]:
        return (self.parent,) if self.parent else ()


@dataclass(frozen=True, slots=True)
class Bridge:
    """A Linux bridge: no STP, no forward delay (a new port must not swallow a guest's first DHCP requests)."""

    network: str
    name: str
    mac: str
    namespace: str = HOST
    mtu_bytes: int = 1500
    up: bool = True
    stp: bool = False
    forward_delay_cs: int = 0  # hundredths of a second; the kernel's 15 s hold even with STP off
    ipv6: bool = False  # the host's own: on, any guest could give it an address and a default route by an RA
    multicast_snooping: bool = False  # no querier here: snooping would stop IPv6 ND and mDNS after minutes
    FIXED: ClassVar[frozenset[str]] = frozenset({"network", "name", "namespace"})

    @property
    def key(self) -> str:
        return f"bridge/{self.network}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.namespace,) if self.namespace else ()

    @property
    def within(self) -> tuple[str, ...]:
        return (self.namespace,) if self.namespace else ()


@dataclass(frozen=True, slots=True)
class Address:
    """An address of ours on one of our links.  link_key: the bridge's key; link: its interface name."""

    link_key: str
    link: str
    interface: IPv4Interface
    namespace: str = HOST
    FIXED: ClassVar[frozenset[str]] = frozenset({"link_key", "link", "interface", "namespace"})

    @property
    def key(self) -> str:
        return f"address/{self.link}/{self.interface}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.link_key,)

    @property
    def within(self) -> tuple[str, ...]:
        return (self.link_key,)


@dataclass(frozen=True, slots=True)
class Tap:
    """A guest's port on a bridge.  Not persistent: it lives as long as QEMU holds its descriptor.

    held: by its own machine.  A TAP that somebody else keeps open is of no use and has to be made anew.
    """

    guest: str
    nic: int
    name: str
    network: str
    bridge: str
    namespace: str = HOST
    mtu_bytes: int = 1500
    up: bool = True
    held: bool = True
    FIXED: ClassVar[frozenset[str]] = frozenset({"guest", "nic", "name", "namespace", "held"})

    @property
    def key(self) -> str:
        return f"tap/{self.guest}/{self.nic}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (f"bridge/{self.network}",)

    @property
    def within(self) -> tuple[str, ...]:
        return (f"machine/{self.guest}", *((self.namespace,) if self.namespace else ()))


@dataclass(frozen=True, slots=True)
class Reservation:
    """An address that belongs to one MAC; name: the guest's, for DNS."""

    mac: str
    address: IPv4Address
    name: str


@dataclass(frozen=True, slots=True)
class Dnsmasq:
    """The DHCP and DNS server of one network; it answers on `interface` alone.

    address: its own, with the prefix.  first/last: the DHCP range, None: no DHCP.  hosts: names for DNS.
    router: the gateway told to guests, None: none (RFC 2132 option 3 is then sent empty, so that no guest guesses one).
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
    hosts: tuple[tuple[str, IPv4Address], ...] = ()
    dns: bool = True
    router: IPv4Address | None = None
    mtu_bytes: int | None = None
    bound: bool = True
    FIXED: ClassVar[frozenset[str]] = frozenset(
        {
            "network",
            "interface",
            "link_key",
            "address",
            "namespace",
            "first",
            "last",
            "lease_time_s",
            "lab",
            "dns",
            "router",
            "mtu_bytes",
            "bound",
        }
    )

    @property
    def key(self) -> str:
        return f"dnsmasq/{self.network}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.link_key, f"address/{self.interface}/{self.address}")

    @property
    def within(self) -> tuple[str, ...]:
        return (self.namespace,) if self.namespace else ()


@dataclass(frozen=True, slots=True)
class Drive:
    """A disk of a machine; format is always said (QEMU's guessing lets a guest rewrite a raw disk's header)."""

    path: Path
    format: str
    interface: str = "virtio"
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Machine:
    """A QEMU process without its NICs and forwards.  seed: NoCloud files (name, text) offered as a disk, or nothing."""

    guest: str
    lab: str
    binary: str
    machine: str
    accel: str
    cpus: int
    memory_bytes: int
    drives: tuple[Drive, ...] = ()
    kernel: Path | None = None
    initrd: Path | None = None
    append: str = ""
    display: str = "none"
    seed: tuple[tuple[str, str], ...] = ()
    qemu_args: tuple[str, ...] = ()
    run_as: int | None = None  # a uid; None: whoever runs qlan
    FIXED: ClassVar[frozenset[str]] = frozenset(
        {
            "guest",
            "lab",
            "binary",
            "machine",
            "accel",
            "cpus",
            "memory_bytes",
            "drives",
            "kernel",
            "initrd",
            "append",
            "display",
            "seed",
            "qemu_args",
            "run_as",
        }
    )

    @property
    def key(self) -> str:
        return f"machine/{self.guest}"

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    @property
    def within(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class UserBackend:
    """QEMU's own user-mode network (`-netdev user`); the fields are its options, None where QEMU's default holds."""

    subnet: IPv4Network | None = None
    host: IPv4Address | None = None
    dhcp_start: IPv4Address | None = None
    dns: IPv4Address | None = None
    domain: str | None = None
    search: tuple[str, ...] = ()
    hostname: str | None = None
    ipv4: bool = True
    ipv6: bool | None = None
    ipv6_prefix: IPv6Network | None = None
    restrict: bool = False
    tftp: Path | None = None
    bootfile: str | None = None
    smb: Path | None = None
    guestfwd: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TapBackend:
    """A TAP of this lab, handed to QEMU as a descriptor."""

    tap: str  # the Tap's key


@dataclass(frozen=True, slots=True)
class Nic:
    """A guest's network card and what it is plugged into.  model: a QEMU device name (virtio-net-pci, e1000).

    bus: QEMU's name of what the model sits on.  address: what the guest must set by itself, where no DHCP gives it one.
    """

    guest: str
    index: int
    model: str
    mac: str
    backend: UserBackend | TapBackend
    boot: bool = False
    link_up: bool = True
    mtu_bytes: int | None = None
    bus: str = "PCI"
    address: IPv4Interface | None = None
    FIXED: ClassVar[frozenset[str]] = frozenset(
        {"guest", "index", "model", "mac", "backend", "boot", "mtu_bytes", "link_up", "bus", "address"}
    )

    @property
    def key(self) -> str:
        return f"nic/{self.guest}/{self.index}"

    @property
    def needs(self) -> tuple[str, ...]:
        machine = f"machine/{self.guest}"
        return (machine, self.backend.tap) if isinstance(self.backend, TapBackend) else (machine,)

    @property
    def within(self) -> tuple[str, ...]:
        return (f"machine/{self.guest}",)


@dataclass(frozen=True, slots=True)
class PortForward:
    """A host port that QEMU's user-mode network passes into the guest."""

    guest: str
    nic: int
    protocol: str
    host_address: IPv4Address
    host_port: int
    guest_address: IPv4Address | None
    guest_port: int
    FIXED: ClassVar[frozenset[str]] = frozenset(
        {"guest", "nic", "protocol", "host_address", "host_port", "guest_address", "guest_port"}
    )

    @property
    def key(self) -> str:
        return f"forward/{self.guest}/{self.nic}/{self.protocol}:{self.host_address}:{self.host_port}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (f"nic/{self.guest}/{self.nic}",)

    @property
    def within(self) -> tuple[str, ...]:
        return (f"nic/{self.guest}/{self.nic}",)


Resource = Namespace | Bridge | Address | Tap | Dnsmasq | Machine | Nic | PortForward

RESOURCE_TYPES: tuple[type[Resource], ...] = (
    Namespace,
    Bridge,
    Address,
    Tap,
    Dnsmasq,
    Machine,
    Nic,
    PortForward,
)

Resources = dict[str, Resource]  # by key


def field_names(kind: type) -> tuple[str, ...]:
    """The fields of a resource type (or of a part of one), in their order."""
    if kind not in _FIELD_NAMES:
        _FIELD_NAMES[kind] = tuple(field.name for field in fields(kind))
    return _FIELD_NAMES[kind]


_FIELD_NAMES: dict[type, tuple[str, ...]] = {}

"""Machines, their NICs, and what is passed into them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Any, ClassVar

from qlan.facts.found import FoundQemu
from qlan.resources.namespace import Alone
from qlan.values import Value


class Drive(Value):
    """A disk of a machine; format is always said (QEMU's guessing lets a guest rewrite a raw disk's header)."""

    path: Path
    format: str
    interface: str = "virtio"
    read_only: bool = False


class Machine(Alone):
    """A QEMU process without its NICs and forwards.  seed: NoCloud files (name, text) offered as a disk, or nothing.

    addresses: the kernel's `ip=` words.  ports: PCIe root ports kept free for NICs that come later; None: the machine's
    PCI takes them without.  usb: whether it has a USB controller.
    """

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
    addresses: tuple[str, ...] = ()
    ports: int | None = None
    usb: bool = False
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
            "qemu_args",
            "run_as",
        }
    )

    @property
    def key(self) -> str:
        return f"machine/{self.guest}"


class UserBackend(Value):
    """QEMU's own user-mode network (`-netdev user`); the fields are its options, None where QEMU's default holds.

    backend: `slirp` is that; `passt` a process beside it.  ports, mtu_bytes: what passt must be told when it starts.
    """

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
    backend: str = "slirp"
    ports: tuple[str, ...] = ()
    mtu_bytes: int | None = None

    @classmethod
    def of(cls, said: object, **other: Any) -> UserBackend:
        """From what has fields of these names (the file's `user:`), and others."""
        names = cls.__struct_fields__
        return cls(**({name: getattr(said, name) for name in names if hasattr(said, name)} | other))


class TapBackend(Value):
    """A TAP of this lab, handed to QEMU as a descriptor."""

    tap: str  # the Tap's key


class WireBackend(Value):
    """One end of a wire: a UDP socket in the wire's own namespace, handed to QEMU as a descriptor.

    end: 0 or 1; each is connected to the other.  namespace: its key.
    """

    network: str
    end: int
    namespace: str


class HelperBackend(Value):
    """A TAP on a bridge that somebody else made, which QEMU has its setuid helper make (`-netdev bridge`)."""

    network: str
    bridge: str
    helper: str  # the program's path


class MacvtapBackend(Value):
    """A MAC of the guest's own on a NIC of this machine, handed over as a descriptor.  macvtap: the Macvtap's key."""

    network: str
    macvtap: str


class ForeignBackend(Value):
    """What somebody else plugged the NIC into: QEMU's word for it (`tap`, `socket`; "": nothing), and with `user` its
    network.
    """

    kind: str
    user: UserBackend | None = None


Backend = UserBackend | TapBackend | WireBackend | HelperBackend | MacvtapBackend | ForeignBackend


class Nic(Value):
    """A guest's network card and what it is plugged into.  model: a QEMU device name (virtio-net-pci, e1000).

    bus: QEMU's name of what the model sits on.  address, address6: what the guest must set by itself, where no DHCP
    gives it one.  link_up: None while it is being changed.  whole: not while it is being plugged in or pulled out.
    device, netdev: what QEMU calls its two ends, where that does not follow from the number.  leased: the network,
    and the addresses that its DHCP gives the guest there; it asks for them again when its cable comes back.
    vhost: the kernel moves its packets, past QEMU.
    """

    guest: str
    index: int
    model: str
    mac: str
    backend: Backend
    boot: bool = False
    link_up: bool | None = True
    mtu_bytes: int | None = None
    bus: str = "PCI"
    address: IPv4Interface | None = None
    whole: bool = True
    address6: IPv6Interface | None = None
    device: str = ""
    netdev: str = ""
    leased: tuple[str, ...] = ()
    vhost: bool = False
    FIXED: ClassVar[frozenset[str]] = frozenset(
        {"guest", "index", "model", "mac", "backend", "bus", "whole", "device", "netdev", "vhost"}
    )
    BORN_WITHIN: ClassVar[bool] = True

    @property
    def user(self) -> UserBackend | None:
        """The user-mode network that it is on."""
        if isinstance(self.backend, ForeignBackend):
            return self.backend.user
        return self.backend if isinstance(self.backend, UserBackend) else None

    @property
    def key(self) -> str:
        return f"nic/{self.guest}/{self.index}"

    @property
    def needs(self) -> tuple[str, ...]:
        machine = f"machine/{self.guest}"
        if isinstance(self.backend, TapBackend):
            return (machine, self.backend.tap)
        if isinstance(self.backend, MacvtapBackend):
            return (machine, self.backend.macvtap)
        if isinstance(self.backend, UserBackend) and self.backend.backend == "passt":
            return (machine, f"passt/{self.guest}/{self.index}")
        return (machine, self.backend.namespace) if isinstance(self.backend, WireBackend) else (machine,)

    @property
    def within(self) -> tuple[str, ...]:
        return (f"machine/{self.guest}",)


class PortForward(Value):
    """A host port that QEMU's user-mode network passes into the guest.  whole: not while it is opened or closed."""

    guest: str
    nic: int
    protocol: str
    host_address: IPv4Address | IPv6Address
    host_port: int
    guest_address: IPv4Address | IPv6Address | None
    guest_port: int
    whole: bool = True
    FIXED: ClassVar[frozenset[str]] = frozenset(
        {"guest", "nic", "protocol", "host_address", "host_port", "guest_address", "guest_port", "whole"}
    )
    BORN_WITHIN: ClassVar[bool] = True

    @property
    def key(self) -> str:
        return f"forward/{self.guest}/{self.nic}/{self.protocol}:{self.host_address}:{self.host_port}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (f"nic/{self.guest}/{self.nic}",)

    @property
    def within(self) -> tuple[str, ...]:
        return (f"nic/{self.guest}/{self.nic}",)


class Adopted(Alone):
    """A QEMU that somebody else started, and keeps: the lab lends it NICs, and takes them back."""

    guest: str
    lab: str
    found: FoundQemu
    FIXED: ClassVar[frozenset[str]] = frozenset({"guest", "lab", "found"})

    @property
    def key(self) -> str:
        return f"machine/{self.guest}"

    @property
    def machine(self) -> str:
        return self.found.machine

    @property
    def ports(self) -> int | None:
        return self.found.ports

    @property
    def usb(self) -> bool:
        return self.found.usb

    @property
    def run_as(self) -> int:
        return self.found.uid

    @property
    def own(self) -> tuple[Nic | PortForward, ...]:
        """Its NICs and forwards as they were found; its user is given back just these."""
        found: list[Nic | PortForward] = []
        for index, nic in enumerate(self.found.nics):
            user = UserBackend(subnet=nic.subnet) if nic.kind == "user" else None
            backend = ForeignBackend(nic.kind, user)
            found.append(Nic(self.guest, index, nic.model, nic.mac, backend, device=nic.device, netdev=nic.netdev))
            found += [
                PortForward(
                    self.guest, index, one.protocol, one.host_address, one.host_port, one.guest_address, one.guest_port
                )
                for one in nic.forwards
            ]
        return tuple(found)

"""What this machine can do and what is already taken on it: asked once (host/probe.py), handed on as an argument."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from qlan.facts.carried import Carried

NO_IPV6 = "this kernel has none"  # a value of Facts.no_ipv6


@dataclass(frozen=True, slots=True)
class UsedSubnet:
    """A range of addresses that is taken.  owner: by what, in words for an error (`route via eth0`, `lab shop`)."""

    subnet: IPv4Network
    owner: str


@dataclass(frozen=True, slots=True)
class UsedPrefix:
    """The same of IPv6."""

    prefix: IPv6Network
    owner: str


@dataclass(frozen=True, slots=True)
class UsedPort:
    """A listening port of this machine.  owner: the process or lab, as far as it can be seen."""

    protocol: str
    address: IPv4Address | IPv6Address
    port: int
    owner: str


@dataclass(frozen=True, slots=True)
class UsedLink:
    """A network interface of this machine that is not the lab's.  owner: in words for an error."""

    name: str
    owner: str


@dataclass(frozen=True, slots=True)
class LinkFacts:
    """An interface of this machine that the topology names.  kind: as iproute2 has it (bridge, veth; a NIC has "").

    lab: whose it is, if it is one of ours.
    """

    name: str
    kind: str
    up: bool
    mtu_bytes: int
    lab: str = ""
    master: str = ""
    wireless: bool = False


@dataclass(frozen=True, slots=True)
class HelperFacts:
    """QEMU's bridge helper for an ordinary user.  refusals: why it would not open a bridge, by the bridge's name:
    (what is wrong, what to do about it)."""

    path: str
    refusals: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NicFacts:
    """A NIC of this machine that is to be an uplink.  fault, hint: why it cannot be, and what to do; "" if it can.

    dhcp_server: who gives addresses there, asked only where the lab is to; "": nobody answered.
    """

    mac: str
    mtu_bytes: int
    carried: Carried = field(default_factory=Carried)
    fault: str = ""
    hint: str = ""
    dhcp_server: str = ""


@dataclass(frozen=True, slots=True)
class QemuFacts:
    """One qemu-system binary.  models: NIC models by QEMU's own name, with its description; buses: with its bus."""

    binary: str
    version: tuple[int, int, int]
    machines: tuple[str, ...]
    default_machine: str
    models: dict[str, str]
    buses: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PasstFacts:
    """The installed passt.  options: the long ones that it knows; Debian's has no version of its own."""

    options: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Facts:
    """This machine, as far as a topology's meaning depends on it.

    seed: the salt of derived MACs (machine and user).  uid: who asks.  arch: QEMU's name of this machine's processor.
    named_links: the interfaces that the topology names and that are there, by name.  bridge_helper: asked only where an
    ordinary user's lab needs it.  used_links: asked only where the topology names its interfaces.
    nics: those that are to be uplinks, by name; nic_names: all that there are.
    no_vlan_filtering: why bridges of this kernel cannot look at VLANs; asked only where that is wanted.
    kvm: "" if /dev/kvm may be tried, else why not.  free_port_floor: the lowest port an ordinary process may bind.
    qemu: by architecture.  disk_formats: of the image files of the topology, by path.  run_as: the uid that QEMU gets
    in the host realm (None: the caller's own).  uplinks: the links with a default route, uplinks6: of IPv6;
    ra_links: those of them whose route the kernel itself has by router advertisements.  force_forwarding: this kernel
    forwards IPv6 of single links (6.17).  links_of: by this machine's addresses, asked only where a forward names one.
    forwards: this machine is a router for all its links (asked for the host realm alone).
    hooks: chains in which a neighbour's packet filter leaves place for others.
    smbd: whether samba's smbd is installed (QEMU starts it for
    `smb:`; None: not asked).  tftp_faults: by network, why its server may not read what it is to serve, and what to
    do.  passt: None: it is not installed, or nobody asks for it.  no_ipv6: "" if the lab can have IPv6, else why not.
    """

    seed: str
    uid: int
    arch: str
    kvm: str = ""
    free_port_floor: int = 1024
    used_subnets: tuple[UsedSubnet, ...] = ()
    used_ports: tuple[UsedPort, ...] = ()
    uplinks: tuple[str, ...] = ()
    uplinks6: tuple[str, ...] = ()
    ra_links: tuple[str, ...] = ()
    force_forwarding: bool = False
    links_of: dict[IPv4Address | IPv6Address, str] = field(default_factory=dict)
    forwards: bool = False
    hooks: tuple[tuple[str, str, str], ...] = ()  # (family, table, chain)
    used_links: tuple[UsedLink, ...] = ()
    named_links: dict[str, LinkFacts] = field(default_factory=dict)
    bridge_helper: HelperFacts | None = None
    no_vlan_filtering: str = ""
    qemu: dict[str, QemuFacts] = field(default_factory=dict)
    disk_formats: dict[str, str] = field(default_factory=dict)
    run_as: int | None = None
    smbd: bool | None = None
    used_prefixes: tuple[UsedPrefix, ...] = ()
    no_ipv6: str = ""
    nics: dict[str, NicFacts] = field(default_factory=dict)
    nic_names: tuple[str, ...] = ()
    tftp_faults: dict[str, tuple[str, str]] = field(default_factory=dict)
    passt: PasstFacts | None = None

"""What this machine can do and what is already taken on it: asked once (host/probe.py), handed on as an argument."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from qlan.facts.carried import Carried
from qlan.facts.manager import Manager
from qlan.values import Value, field

NO_IPV6 = "this kernel has none"  # a value of Facts.no_ipv6


class UsedSubnet(Value):
    """A range of addresses that is taken.  owner: by what, in words for an error (`route via eth0`, `lab shop`).

    link: where it is, "": elsewhere.  known: who is known to be there: this machine, and its gateways.
    """

    subnet: IPv4Network
    owner: str
    link: str = ""
    known: tuple[IPv4Address, ...] = ()


class UsedPrefix(Value):
    """The same of IPv6."""

    prefix: IPv6Network
    owner: str
    link: str = ""
    known: tuple[IPv6Address, ...] = ()


class UsedPort(Value):
    """A listening port of this machine.  owner: the process or lab, as far as it can be seen."""

    protocol: str
    address: IPv4Address | IPv6Address
    port: int
    owner: str


class UsedLink(Value):
    """A network interface of this machine that is not the lab's.  owner: in words for an error."""

    name: str
    owner: str


class LinkFacts(Value):
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


class HelperFacts(Value):
    """QEMU's bridge helper for an ordinary user.  refusals: why it would not open a bridge, by the bridge's name:
    (what is wrong, what to do about it)."""

    path: str
    refusals: dict[str, tuple[str, str]] = field(default_factory=dict)


class NicFacts(Value):
    """A NIC of this machine that is to be an uplink.  fault, hint: why it cannot be, and what to do; "" if it can.

    manager: who configures it, None: nobody, or it is in a bridge of the lab already.
    dhcp_server: who gives addresses there, asked only where the lab is to; "": nobody answered.
    """

    mac: str
    mtu_bytes: int
    carried: Carried = field(default_factory=Carried)
    fault: str = ""
    hint: str = ""
    dhcp_server: str = ""
    manager: Manager | None = None


class QemuFacts(Value):
    """One qemu-system binary.  models: NIC models by QEMU's own name, with its description; buses: with its bus."""

    binary: str
    version: tuple[int, int, int]
    machines: tuple[str, ...]
    default_machine: str
    models: dict[str, str]
    buses: dict[str, str] = field(default_factory=dict)


class PasstFacts(Value):
    """The installed passt.  options: the long ones that it knows; Debian's has no version of its own."""

    options: frozenset[str] = frozenset()


class Facts(Value):
    """This machine, as far as a topology's meaning depends on it.

    seed: the salt of derived MACs (machine and user).  uid: who asks.  arch: QEMU's name of this machine's processor.
    named_links: the interfaces that the topology names and that are there, by name.  bridge_helper: asked only where an
    ordinary user's lab needs it.  used_links: asked only where the topology names its interfaces.
    nics: those that are to be uplinks, by name; nic_names: all that there are.
    no_vlan_filtering: why bridges of this kernel cannot look at VLANs; asked only where that is wanted.
    kvm: "" if /dev/kvm may be tried, else why not.  free_port_floor: the lowest port an ordinary process may bind.
    qemu: by architecture.  disk_formats: of the image files of the topology, by path.  run_as: the uid that QEMU gets
    in the host realm (None: the caller's own).  uplinks: the links with a default route, uplinks6: of IPv6;
    ra_links: those of them whose route the kernel itself has by router advertisements.  ra_listeners: the links that
    networks go out by and where it listens to them, way_mtus: the MTUs of those links; both for the host realm alone.
    force_forwarding: this kernel forwards IPv6 of single links (6.17).  links_of: by this machine's addresses, asked
    only where a forward names one.  no_vhost: why /dev/vhost-net cannot be opened (None: nobody asks).
    forwards: this machine is a router for all its links (asked for the host realm alone).
    hooks: chains in which a neighbour's packet filter leaves place for others.
    resolved: systemd-resolved runs (asked for the host realm alone).
    smbd: whether samba's smbd is installed (QEMU starts it for `smb:`; None: not asked).
    tftp_faults: by network, why its server may not read what it is to serve, and what to do.  passt: None: it is not
    installed, or nobody asks for it.  no_ipv6: "" if the lab can have IPv6, else why not.
    misplaced: folders that the topology names where a file is due, and files where a folder is.
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
    ra_listeners: tuple[str, ...] = ()
    way_mtus: dict[str, int] = field(default_factory=dict)
    force_forwarding: bool = False
    no_vhost: str | None = None
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
    resolved: bool = False
    used_prefixes: tuple[UsedPrefix, ...] = ()
    no_ipv6: str = ""
    nics: dict[str, NicFacts] = field(default_factory=dict)
    nic_names: tuple[str, ...] = ()
    tftp_faults: dict[str, tuple[str, str]] = field(default_factory=dict)
    passt: PasstFacts | None = None
    misplaced: frozenset[Path] = frozenset()

"""What this machine can do and what is already taken on it: asked once (host/probe.py), handed on as an argument."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network


@dataclass(frozen=True, slots=True)
class UsedSubnet:
    """A range of addresses that is taken.  owner: by what, in words for an error (`route via eth0`, `lab shop`)."""

    subnet: IPv4Network
    owner: str


@dataclass(frozen=True, slots=True)
class UsedPort:
    """A listening port of this machine.  owner: the process or lab, as far as it can be seen."""

    protocol: str
    address: IPv4Address
    port: int
    owner: str


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
class Facts:
    """This machine, as far as a topology's meaning depends on it.

    seed: the salt of derived MACs (machine and user).  uid: who asks.  arch: QEMU's name of this machine's processor.
    kvm: "" if /dev/kvm may be tried, else why not.  free_port_floor: the lowest port an ordinary process may bind.
    qemu: by architecture.  disk_formats: of the image files of the topology, by path.  run_as: the uid that QEMU gets
    in the host realm (None: the caller's own).  smbd: whether samba's smbd is installed (QEMU starts it for
    `smb:`; None: not asked).
    """

    seed: str
    uid: int
    arch: str
    kvm: str = ""
    free_port_floor: int = 1024
    used_subnets: tuple[UsedSubnet, ...] = ()
    used_ports: tuple[UsedPort, ...] = ()
    qemu: dict[str, QemuFacts] = field(default_factory=dict)
    disk_formats: dict[str, str] = field(default_factory=dict)
    run_as: int | None = None
    smbd: bool | None = None

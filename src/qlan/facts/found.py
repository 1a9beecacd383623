"""A QEMU that somebody else started, as it was found (`qlan adopt`)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from qlan.values import Value


class FoundForward(Value):
    """A forward of a user-mode network that was found open (`info usernet` of QEMU)."""

    protocol: str
    host_address: IPv4Address
    host_port: int
    guest_address: IPv4Address
    guest_port: int


class FoundNic(Value):
    """A NIC of a QEMU that somebody else started.

    device, netdev: its two ends by QEMU's names.  kind: QEMU's word for what it is plugged into (`user`, `tap`), "" for
    nothing.  subnet: a user-mode network's.
    """

    device: str
    netdev: str
    model: str
    mac: str
    kind: str
    subnet: IPv4Network | None = None
    forwards: tuple[FoundForward, ...] = ()


class FoundQemu(Value):
    """A QEMU that somebody else started, as it was found.

    pid, start: which process (proc(5): its start time in ticks).  socket: its QMP.  arch: "" if its name does not tell.
    ports: its PCIe root ports with a name, None: its PCI takes cards without.  usb: whether it has a USB controller
    where one can be plugged in.  uid: who runs it.  name: what its user called it (`-name`), or "".
    """

    pid: int
    start: int
    uid: int
    socket: Path
    arch: str
    machine: str
    ports: int | None
    usb: bool
    nics: tuple[FoundNic, ...] = ()
    name: str = ""

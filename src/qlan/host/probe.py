"""Ask the machine once; the answer (`Facts`) is handed on as an argument."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from pathlib import Path

from qlan.facts import Facts, QemuFacts, UsedPort, UsedSubnet
from qlan.host import disk, qemu, taken, user
from qlan.host.run import find_tool
from qlan.topology.model import Guest, Topology


def probe(
    topology: Topology,
    *,
    own_ports: Iterable[tuple[str, int]] = (),
    other_subnets: Iterable[UsedSubnet] = (),
    run_as: int | None = None,
) -> Facts:
    """What this machine can do for the topology.

    own_ports: (protocol, port) that the lab itself holds now.  other_subnets: what other labs picked.  run_as: the uid
    that will run QEMU, None: the caller's.
    """
    uid = os.geteuid() if run_as is None else run_as
    arch = platform.machine()
    wanted = {guest.arch or arch for guest in topology.guests}
    found = {name: _qemu(name) for name in sorted(wanted) if qemu.is_installed(name)}
    return Facts(
        seed=user.seed(uid),
        uid=uid,
        arch=arch,
        kvm=_kvm(topology, arch, run_as),
        free_port_floor=_port_floor(uid),
        used_subnets=(*taken.read_subnets(topology.lab), *other_subnets),
        used_ports=tuple(_ports(topology, set(own_ports))),
        qemu=found,
        disk_formats=_disk_formats(topology.guests),
        run_as=run_as,
        smbd=_smbd(topology.guests),
    )


def _qemu(arch: str) -> QemuFacts:
    return qemu.probe(arch, user.cache_folder())


def _kvm(topology: Topology, arch: str, run_as: int | None) -> str:
    if all(guest.accel == "tcg" for guest in topology.guests):
        return "not asked"
    return qemu.why_no_kvm(arch, user.cache_folder(), run_as)


def _ports(topology: Topology, own: set[tuple[str, int]]) -> list[UsedPort]:
    """What is taken by others; who by, where the topology wants that port."""
    forwards = [one for guest in topology.guests for nic in guest.nics for one in nic.forwards]
    if not forwards:
        return []
    wanted = {(one.protocol, one.host_port) for one in forwards}
    found = [one for one in taken.read_ports() if (one.protocol, one.port) not in own]
    return [taken.name_owner(one) if (one.protocol, one.port) in wanted else one for one in found]


def _port_floor(uid: int) -> int:
    if uid == 0:
        return 0
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 1024


def _smbd(guests: Iterable[Guest]) -> bool | None:
    """Whether samba's server is there; None: nobody shares a folder."""
    wanted = any(nic.user and nic.user.smb for guest in guests for nic in guest.nics)
    return find_tool("smbd") is not None if wanted else None


def _disk_formats(guests: Iterable[Guest]) -> dict[str, str]:
    """Of the images that are there and whose format the file does not say; what is missing is `check`'s matter."""
    return {
        str(one.path): disk.read_format(one.path)
        for guest in guests
        for one in guest.disks
        if one.format is None and one.path.exists()  # a block device will do; a folder is refused
    }

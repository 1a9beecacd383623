"""Guests: something to boot from, files that are there, a machine that QEMU knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from qlan.facts.machine import Facts
from qlan.problems import Problem
from qlan.topology.checks.titles import of_guest
from qlan.topology.guests import CPUS_MAX, MEMORY_MAX, MEMORY_MIN
from qlan.topology.model import Guest, mark_of
from qlan.topology.reader import known_hint
from qlan.topology.scalars import quoted


def check(guests: Iterable[Guest]) -> Iterator[Problem]:
    """What the file alone tells."""
    disks: dict[Path, tuple[Guest, bool]] = {}
    for guest in guests:
        if guest.found is not None:
            continue
        yield from _check_boot(guest)
        yield from _check_size(guest)
        for disk in guest.disks:
            if disk.path not in disks:
                disks[disk.path] = guest, disk.read_only
                continue
            other, read_only = disks[disk.path]
            if not (read_only and disk.read_only):
                whose = "twice" if other is guest else f"and so has {of_guest(other)}"
                what = f"{of_guest(guest)} has the disk {quoted(str(disk.path))} {whose}: two writers would destroy it"
                yield Problem(disk.mark, what, "give each a copy (`qemu-img create -b`), or `read_only: true` to both")


def check_here(guests: Iterable[Guest], facts: Facts, exists: Callable[[Path], bool]) -> Iterator[Problem]:
    """Files that are missing or folders, machines that this QEMU does not have."""
    for guest in guests:
        title = of_guest(guest)
        for disk in guest.disks:
            if not exists(disk.path):
                yield Problem(
                    disk.mark, f"{title}: there is no disk {quoted(str(disk.path))}", _missing_hint(disk.path)
                )
            elif disk.path in facts.misplaced:
                what = f"{title}: the disk {quoted(str(disk.path))} is a folder"
                yield Problem(disk.mark, what, "name an image file, or a block device")
        for key, path in (("kernel", guest.kernel), ("initrd", guest.initrd)):
            if path and not exists(path):
                yield Problem(mark_of(guest, key), f"{title}: there is no {key} {quoted(str(path))}")
            elif path in facts.misplaced:
                what = f"{title}: the {key} {quoted(str(path))} is a folder"
                yield Problem(mark_of(guest, key), what, "name a file of it, say")
        qemu = facts.qemu.get(guest.arch or facts.arch)
        if guest.machine and qemu and qemu.machines and guest.machine not in qemu.machines:
            what = f"{title}: {qemu.binary.rpartition('/')[2]} has no machine {quoted(guest.machine)}"
            yield Problem(mark_of(guest, "machine"), what, known_hint(guest.machine, qemu.machines))


def _check_boot(guest: Guest) -> Iterator[Problem]:
    title = of_guest(guest)
    from_network = any(nic.boot for nic in guest.nics)
    if not (guest.disks or guest.kernel or from_network or guest.qemu_args):
        hint = "write `disk:`, `kernel:`, or `boot: network` at a NIC"
        yield Problem(guest.mark, f"{title} has nothing to boot from", hint)
    if guest.initrd and not guest.kernel:
        yield Problem(mark_of(guest, "initrd"), f"{title} has an initrd without a kernel", "write `kernel:`")
    if guest.append and not guest.kernel:
        what = f"{title}: `append` is the command line of a kernel, and there is none"
        yield Problem(mark_of(guest, "append"), what, "write `kernel:`, or leave it out")
    if guest.cloud_init and not guest.disks:
        what = f"{title}: `cloud_init` is for a cloud image, and there is no disk"
        yield Problem(mark_of(guest, "cloud_init"), what, "write `disk:`, or leave it out")


def _check_size(guest: Guest) -> Iterator[Problem]:
    title = of_guest(guest)
    if not 1 <= guest.cpus <= CPUS_MAX:
        yield Problem(mark_of(guest, "cpus"), f"{title}: {guest.cpus} CPUs are not from 1 to {CPUS_MAX}")
    if not MEMORY_MIN <= guest.memory_bytes <= MEMORY_MAX:
        yield Problem(mark_of(guest, "memory"), f"{title}: {guest.memory_bytes} bytes of memory are not from 1M to 16T")


def _missing_hint(path: Path) -> str:
    return f"`qemu-img create -f qcow2 {path.name} 10G` makes an empty one" if path.suffix == ".qcow2" else ""

"""<domain>: the machine, its disks and its interfaces."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, cast

from qlan.interop.imported import Notes, Place, our_name
from qlan.interop.libvirt.interface import read_interface
from qlan.interop.libvirt.port import Groups
from qlan.interop.markup import Tag
from qlan.interop.shared import Shared
from qlan.topology.guests import CPUS_MAX, MEMORY_MAX, MEMORY_MIN
from qlan.topology.model import Disk, Guest
from qlan.topology.scalars import parse_integer, parse_word
from qlan.topology.vocabulary import DISK_FORMATS
from qlan.values import replace

_MEMORY_UNITS = {
    "b": 1, "bytes": 1, "KB": 1000, "k": 1 << 10, "KiB": 1 << 10, "MB": 10**6, "M": 1 << 20, "MiB": 1 << 20,
    "GB": 10**9, "G": 1 << 30, "GiB": 1 << 30, "TB": 10**12, "T": 1 << 40, "TiB": 1 << 40,
}  # fmt: skip
_BUSES = {"virtio": "virtio", "ide": "ide", "scsi": "scsi", "sata": "ide"}
_ARCHES = {"i686": "i386", "armv7l": "arm", "ppc64le": "ppc64"}
_PLAIN = (  # libvirt's own book-keeping, and what qlan's machines have anyway
    "uuid", "metadata", "title", "description", "currentMemory", "features", "clock", "pm", "on_poweroff", "on_reboot",
    "on_crash", "resource", "seclabel",
)  # fmt: skip
_PLAIN_DEVICES = ("emulator", "controller", "input", "memballoon", "console", "serial", "channel", "audio", "rng",
                  "video", "watchdog")  # fmt: skip


def read_domain(tag: Tag, taken: Collection[str], shared: Shared, groups: Groups, notes: Notes) -> Guest:
    """One <domain>."""
    text = tag.content("name") or "guest"
    name = our_name("guest", text, taken)
    place: Place = ("guests", name)
    if name != text:
        notes.add(place, f"its name was {text}")
    said: dict[str, Any] = {"accel": "tcg" if tag.attribute("type") == "qemu" else "kvm"}
    said |= _sizes(tag, place, notes) | _os(tag, place, notes)
    cpu = tag.find("cpu")
    if cpu is not None and said["accel"] == "kvm" and cpu.peek("mode") == "host-passthrough":
        cpu.attribute("mode")
    boots = [boot.attribute("dev") for boot in (tag.find("os") or tag).children("boot")]
    guest = Guest(name, **said)
    devices = tag.find("devices")
    if devices is not None:
        guest = _devices(guest, devices, shared, groups, notes)
    if "network" in boots and guest.nics:
        guest = replace(guest, nics=(replace(guest.nics[0], boot=True), *guest.nics[1:]))
    words = tuple(one.attribute("value") or "" for line in tag.children("commandline") for one in line.children("arg"))
    guest = replace(guest, qemu_args=(*guest.qemu_args, *words))
    passed = tag.pass_over(*_PLAIN) + (devices.pass_over(*_PLAIN_DEVICES) if devices else [])
    if passed:
        notes.add(place, f"left out, not about networks: {', '.join(sorted(passed))}")
    tag.attribute("id")
    for left in tag.leftovers():
        notes.add(place, f"not carried over: {left}")
    return _bootable(guest, notes)


def _sizes(tag: Tag, place: Place, notes: Notes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    memory = tag.find("memory")
    if memory is not None:
        number, unit = memory.text, memory.attribute("unit") or "KiB"
        size = int(number) * _MEMORY_UNITS.get(unit, 0) >> 10 << 10 if number.isdecimal() and len(number) < 20 else 0
        if MEMORY_MIN <= size <= MEMORY_MAX:
            found["memory_bytes"] = size
        else:
            notes.add(place, f"memory of {number or 'nothing'} {unit} is not from 1M to 16T")
    cpus = notes.value(place, "vcpu", tag.content("vcpu"), lambda said: parse_integer(said, 1, CPUS_MAX))
    return found | ({"cpus": cpus} if cpus else {})


def _os(tag: Tag, place: Place, notes: Notes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    kind = tag.at("os", "type")
    if kind is not None:
        if kind.text != "hvm":
            notes.add(place, f"a machine of type {kind.text} is nothing that QEMU runs")
        arch = kind.attribute("arch")
        found["arch"] = notes.value(place, "arch", _ARCHES.get(arch or "", arch), parse_word)
        found["machine"] = notes.value(place, "machine", kind.attribute("machine"), parse_word)
    for key in ("kernel", "initrd"):
        path = tag.content("os", key)
        if path:
            found[key] = Path(path)
    append = tag.content("os", "cmdline")
    if append and "kernel" in found:
        found["append"] = append
    elif append:
        notes.add(place, f"a kernel's command line without a kernel: {append}")
    return found


def _devices(guest: Guest, devices: Tag, shared: Shared, groups: Groups, notes: Notes) -> Guest:
    place: Place = ("guests", guest.name)
    disks: list[Disk] = []
    words: list[str] = []
    for disk in devices.children("disk"):
        _disk(disk, disks, words, place, notes)
    nics = []
    for index, tag in enumerate(devices.children("interface")):
        nics.append(read_interface(tag, (*place, index), shared, groups, notes))
    for one in devices.children("graphics"):
        guest = _graphics(guest, one, place, notes)
    return replace(guest, disks=tuple(disks), qemu_args=tuple(words), nics=tuple(nics))


def _disk(tag: Tag, disks: list[Disk], words: list[str], place: Place, notes: Notes) -> None:
    """A file as a disk or a CD; any other sort is a note."""
    device = tag.attribute("device") or "disk"
    path = tag.value("source", "file")
    if path is None and tag.find("source") is None:
        notes.add(place, f"an empty {device} drive is left out: {tag.shown()}")
        tag.take()
        return
    if path is None or device not in ("disk", "cdrom") or tag.peek("type") != "file":
        notes.add(place, f"not carried over: {tag.shown()}")
        tag.take()
        return
    tag.attribute("type")
    form = tag.value("driver", "type")
    tag.value("driver", "name")
    bus = tag.value("target", "bus") or "ide"
    tag.value("target", "dev")
    read_only = bool(tag.pass_over("readonly"))
    for own in tag.pass_over("address", "alias"):
        notes.add(place, f"libvirt's own, without a meaning here: {own}")
    if device == "cdrom":
        words += ["-drive", f"if=ide,media=cdrom,format=raw,file={path.replace(',', ',,')}"]
        return
    if bus not in _BUSES or bus == "sata":
        notes.add(place, f"{path} was on a {bus} bus")
    if form is not None and form not in DISK_FORMATS:
        notes.add(place, f"{path} was of format {form}")
        form = None
    disks.append(Disk(Path(path), form, _BUSES.get(bus, "virtio"), read_only))


def _graphics(guest: Guest, tag: Tag, place: Place, notes: Notes) -> Guest:
    kind = tag.attribute("type")
    tag.attribute("autoport")
    if tag.peek("port") == "-1":
        tag.attribute("port")
    if tag.peek("listen") == "127.0.0.1":
        tag.attribute("listen")
    if kind not in ("vnc", "spice", "sdl"):
        notes.add(place, f"graphics of type {kind} are not carried over")
        return guest
    return replace(guest, display=cast('Literal["vnc", "spice", "sdl"]', kind))


def _bootable(guest: Guest, notes: Notes) -> Guest:
    """A guest that boots from nothing (a domain with an empty drive) boots from the network."""
    if guest.disks or guest.kernel or guest.qemu_args or any(nic.boot for nic in guest.nics):
        return guest
    notes.add(("guests", guest.name), "it has nothing to boot from")
    if guest.nics:
        return replace(guest, nics=(replace(guest.nics[0], boot=True), *guest.nics[1:]))
    return replace(guest, qemu_args=("-boot", "menu=off"))

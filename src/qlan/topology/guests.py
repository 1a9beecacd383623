"""The `guests:` section of the file."""

from __future__ import annotations

from typing import Literal, cast

from qlan.topology.document import Node, Scalar, Sequence
from qlan.topology.model import Disk, Guest
from qlan.topology.nics import read_nics
from qlan.topology.reader import Fields, Reader
from qlan.topology.scalars import Unreadable, parse_integer, parse_size, parse_text, parse_word, parse_words, quoted
from qlan.topology.vocabulary import DISK, GUEST

CPUS_MAX = 1024
HOTPLUG_MAX = 16  # each is a PCIe port, and those share the bus's 32 places with all else
MEMORY_MIN, MEMORY_MAX = 1 << 20, 16 << 40

_DISK_HINT = "write `disks: [a.qcow2, b.qcow2]`"


def read_guests(node: Node, reader: Reader) -> tuple[Guest, ...]:
    """All guests, in the file's order."""
    return tuple(_read_guest(key, value, reader) for key, value in reader.pairs(node, "`guests`"))


def parse_memory(text: str) -> int:
    """A guest's memory in bytes."""
    memory_bytes = parse_size(text)
    if not MEMORY_MIN <= memory_bytes <= MEMORY_MAX:
        raise Unreadable(f"{quoted(text)} is not from 1M to 16T", "write it like `512M` or `1G`")
    return memory_bytes


def _read_guest(name: Scalar, node: Node, reader: Reader) -> Guest:
    before = len(reader.problems)
    hint = f"write `{name.text}: {{disk: {node.text}}}`" if isinstance(node, Scalar) else ""
    fields = reader.fields(node, f"guest {quoted(name.text)}", GUEST, hint=hint)
    guest = Guest(
        name=name.text,
        disks=_read_disks(fields),
        kernel=fields.path("kernel"),
        initrd=fields.path("initrd"),
        append=fields.value("append", _parse_append) or "",
        memory_bytes=fields.value("memory", parse_memory) or 512 << 20,
        cpus=fields.value("cpus", lambda text: parse_integer(text, 1, CPUS_MAX)) or 1,
        arch=fields.value("arch", parse_word),
        machine=fields.value("machine", _parse_machine),
        accel=cast("Literal['auto', 'kvm', 'tcg']", fields.choice("accel") or "auto"),
        display=cast("Literal['none', 'sdl', 'gtk', 'vnc', 'spice']", fields.choice("display") or "none"),
        cloud_init=fields.flag("cloud_init", False),
        qemu_args=_read_words(fields),
        hotplug=fields.value("hotplug", lambda text: parse_integer(text, 0, HOTPLUG_MAX)),
        nics=read_nics(fields.node("nics"), fields.title, reader),
        mark=name.mark,
        marks=fields.marks,
    )
    if len(reader.problems) > before:
        reader.damaged.add(name.mark)
    return guest


def _parse_machine(text: str) -> str:
    machine, comma, options = text.partition(",")
    if comma:
        raise Unreadable(
            f"{quoted(text)} has options", f"write `machine: {machine}` and `qemu_args: -machine {options}`"
        )
    return parse_word(text)


def _parse_append(text: str) -> str:
    return parse_text(text) if text else text


def _read_disks(fields: Fields) -> tuple[Disk, ...]:
    if fields.has("disk") and fields.has("disks"):
        fields.reader.problem(fields.key_mark("disks"), f"{fields.title} has `disk` and `disks`", _DISK_HINT)
    found: list[Disk | None] = []
    one, many = fields.node("disk"), fields.node("disks")
    if isinstance(one, Sequence):
        fields.reader.problem(one.mark, f"{fields.called('disk')} is one disk, not a list", _DISK_HINT)
    elif one is not None:
        found.append(_read_disk(one, fields.called("disk"), fields.reader))
    if many is not None:
        for node in fields.reader.items(many, fields.called("disks"), _DISK_HINT):
            found.append(_read_disk(node, f"a disk of {fields.title}", fields.reader))
    return tuple(disk for disk in found if disk)


def _read_disk(node: Node, title: str, reader: Reader) -> Disk | None:
    if isinstance(node, Scalar):
        path = reader.scalar(node, title, "a path", reader.path)
        return Disk(path, mark=node.mark) if path else None
    fields = reader.fields(node, title, DISK)
    if not fields.has("path"):
        reader.problem(node.mark, f"{title} has no path", "write `path: web.qcow2`")
    path = fields.path("path")
    if path is None:
        return None
    mark = fields.marks["path"]
    interface = fields.choice("interface") or "virtio"
    return Disk(path, fields.choice("format"), interface, fields.flag("read_only", False), mark)


def _read_words(fields: Fields) -> tuple[str, ...]:
    """A list is taken as it is; a line is split as a shell splits it."""
    node = fields.node("qemu_args")
    if not isinstance(node, Sequence):
        return fields.value("qemu_args", parse_words) or ()
    return fields.several("qemu_args", _parse_argument)


def _parse_argument(text: str) -> str:
    if "\0" in text:
        raise Unreadable(f"{quoted(text)} holds a NUL character", "leave it out")
    return text

"""The options of a QEMU command line that are not about networks, as a guest's keys.

An option that is not understood wholly goes to `qemu_args` as it is: QEMU gets it as before.  What qlan does by itself
(serial console, monitor, background) is left out with a note.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qlan.cmdline import CommandLine, Kind, Rules, split_settings
from qlan.cmdline.model import Clause, Other
from qlan.interop.imported import Notes, Place
from qlan.topology.guests import parse_memory
from qlan.topology.model import Disk
from qlan.topology.scalars import Unreadable, parse_integer, parse_word
from qlan.topology.vocabulary import DISK_FORMATS, INTERFACES
from qlan.values import Struct, field

_QEMU_MEMORY = 128 << 20  # hw/core/machine.c
_OWN = {  # what qlan sees to itself
    "daemonize": "qlan runs guests in the background",
    "pidfile": "qlan keeps its own",
    "serial": "the serial console is `qlan console`",
    "monitor": "qlan speaks to QEMU by QMP",
    "qmp": "qlan speaks to QEMU by QMP",
    "runas": "qlan runs QEMU as an ordinary user",
    "run-with": "qlan runs QEMU as an ordinary user",
    "S": "guests start at once",
    "enable-kvm": "",
    "nodefaults": "",
    "no-user-config": "",
    "nodefconfig": "",
}
_ON = ("on", "yes", "true", "y")
_KVM_PROGRAM = re.compile(r"(?:.*/)?(?:qemu-)?kvm")
_ARCH = re.compile(r"(?:.*/)?qemu-system-([\w-]+?)(?:\.exe)?")


class Parts(Struct):
    """A guest while its command line is read.  place: where its notes belong."""

    notes: Notes
    place: Place = ()
    name: str = ""
    disks: list[Disk] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)
    boots_from_network: bool = False
    unsaid: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Something that is not carried over; put to the place when the guest's name is known."""
        self.unsaid.append(text)


def is_nic(clause: Clause, rules: Rules) -> bool:
    """Whether a -device is a NIC, and not one of which nobody knows what it is."""
    model = rules.device(clause.value("driver") or "")
    return model is not None or clause.value("netdev") is not None or clause.value("mac") is not None


def read_machine(line: CommandLine, notes: Notes, rules: Rules) -> Parts:
    """Everything but NICs.  Defaults are QEMU's own, written out where qlan's are others."""
    parts = Parts(notes)
    for word in line.lead:
        if word.text not in ("sudo", "doas", "exec", "nohup", "-E"):
            parts.note(f"before the program: {word.text}")
    for part in line.parts:
        if isinstance(part, Clause):
            if not part.is_network or (part.kind is Kind.DEVICE and not is_nic(part, rules)):
                parts.rest += [part.flag.text, part.argument.text]
        else:
            _option(part, parts)
    _defaults(line, parts)
    return parts


def _option(part: Other, parts: Parts) -> None:
    words = [word.text for word in part.words]
    value = words[1] if len(words) > 1 else ""
    if not part.name:
        _image(Path(words[0]), parts)
    elif part.name in _OWN:
        if part.name == "enable-kvm":
            parts.said["accel"] = "kvm"
        elif _OWN[part.name]:
            parts.note(f"{' '.join(words)}: {_OWN[part.name]}")
    elif part.name not in _OPTIONS or not _OPTIONS[part.name](value, parts):
        parts.rest += words


def _image(path: Path, parts: Parts) -> None:
    parts.disks.append(Disk(path, interface="ide"))


def _hard_disk(value: str, parts: Parts) -> bool:
    _image(Path(value), parts)
    return True


def _name(value: str, parts: Parts) -> bool:
    for setting in split_settings(value, "guest"):
        if setting.key == "guest":
            parts.name = setting.value
        elif setting.key != "process":
            parts.note(f"-name {value}")
    return True


def _memory(value: str, parts: Parts) -> bool:
    for setting in split_settings(value, "size"):
        if setting.key != "size":
            parts.note(f"-m {setting.key}={setting.value}")
            continue
        text = setting.value.strip().rstrip("Bb")
        text = text.upper() if text[-1:].isalpha() else f"{text}M"
        try:
            parts.said["memory_bytes"] = parse_memory(text)
        except Unreadable as error:
            parts.note(f"-m {value}: {error.what}")
    return True


def _cpus(value: str, parts: Parts) -> bool:
    for setting in split_settings(value, "cpus"):
        if setting.key != "cpus":
            parts.note(f"-smp {setting.key}={setting.value}")
            continue
        try:
            parts.said["cpus"] = parse_integer(setting.value, 1, 1024)
        except Unreadable as error:
            parts.note(f"-smp {value}: {error.what}")
    return True


def _machine(value: str, parts: Parts) -> bool:
    others = []
    for setting in split_settings(value, "type"):
        if setting.key == "type":
            parts.said["machine"] = setting.value
        elif setting.key == "accel":
            _accel(setting.value, parts)
        else:
            others.append(f"{setting.key}={setting.value.replace(',', ',,')}")
    if others:
        parts.rest += ["-machine", ",".join(others)]
    return True


def _accel(value: str, parts: Parts) -> bool:
    name = value.split(",", maxsplit=1)[0]
    first = name.split(":")[0]
    if first in ("kvm", "tcg"):
        parts.said["accel"] = "auto" if name == "kvm:tcg" else first
    if first not in ("kvm", "tcg") or "," in value or (":" in name and name != "kvm:tcg"):
        parts.note(f"accelerator {value}")
    return True


def _cpu(value: str, parts: Parts) -> bool:
    return value == "host"  # qlan's own with KVM


def _path(key: str) -> Callable[[str, Parts], bool]:
    def read(value: str, parts: Parts) -> bool:
        parts.said[key] = Path(value)
        return True

    return read


def _append(value: str, parts: Parts) -> bool:
    parts.said["append"] = value
    return True


def _drive(value: str, parts: Parts) -> bool:
    """A drive that our words can say; any other goes to QEMU as it is."""
    said = {setting.key: setting.value for setting in split_settings(value, None)}
    readonly = said.pop("readonly", said.pop("read-only", "off"))
    file, form, interface = said.pop("file", ""), said.pop("format", None), said.pop("if", "ide")
    if said.get("media") == "disk":
        said.pop("media")
    if said or not file or interface not in INTERFACES or interface == "none" or form not in (None, *DISK_FORMATS):
        return False
    parts.disks.append(Disk(Path(file), form, interface, readonly in _ON))
    return True


def _display(value: str, parts: Parts) -> bool:
    name, comma, _ = value.partition(",")
    if name not in ("none", "sdl", "gtk"):
        return False
    parts.said["display"] = name
    if comma:
        parts.note(f"-display {value}")
    return True


def _headless(_: str, parts: Parts) -> bool:
    parts.said["display"] = "none"
    return True


def _remote(kind: str, usual: str) -> Callable[[str, Parts], bool]:
    def read(value: str, parts: Parts) -> bool:
        parts.said["display"] = kind
        if value != usual:
            parts.note(f"-{kind} {value}: qlan listens where nobody else gets at it")
        return True

    return read


def _boot(value: str, parts: Parts) -> bool:
    said = {setting.key: setting.value for setting in split_settings(value, "order")}
    if list(said) == ["order"] and said["order"].startswith("n"):
        parts.boots_from_network = True
        return True
    return False


def _chardev(value: str, parts: Parts) -> bool:
    said = {setting.key for setting in split_settings(value, "backend")}
    if "fd" in said:
        parts.note(f"-chardev {value}: an open descriptor")
    return "fd" in said


def _mon(value: str, parts: Parts) -> bool:
    parts.note(f"-mon {value}: qlan speaks to QEMU by QMP")
    return True


def _vga(value: str, parts: Parts) -> bool:
    return value == "std" or (value == "none" and parts.said.get("display") == "none")


_OPTIONS: dict[str, Callable[[str, Parts], bool]] = {
    "name": _name, "m": _memory, "smp": _cpus, "machine": _machine, "M": _machine, "accel": _accel, "cpu": _cpu,
    "kernel": _path("kernel"), "initrd": _path("initrd"), "append": _append, "drive": _drive, "hda": _hard_disk,
    "hdb": _hard_disk, "hdc": _hard_disk, "hdd": _hard_disk, "display": _display, "nographic": _headless,
    "vnc": _remote("vnc", "127.0.0.1:0,to=99"), "spice": _remote("spice", ""), "boot": _boot, "chardev": _chardev,
    "mon": _mon, "vga": _vga,
}  # fmt: skip


def _defaults(line: CommandLine, parts: Parts) -> None:
    """What QEMU does where nothing is said, and qlan wouldn't."""
    program = line.program.text if line.program else ""
    hit = _ARCH.fullmatch(program)
    if hit:
        parts.said["arch"] = hit[1]
    parts.said.setdefault("memory_bytes", _QEMU_MEMORY)
    parts.said.setdefault("accel", "kvm" if _KVM_PROGRAM.fullmatch(program) else "tcg")
    parts.said.setdefault("display", "gtk")
    if hit is None or hit[1] in ("x86_64", "i386"):
        parts.said.setdefault("machine", "pc")
    for key in ("machine", "arch"):
        if key in parts.said:
            _checked(key, parts)
    if "kernel" not in parts.said:
        for key in ("initrd", "append"):
            if key in parts.said:
                parts.note(f"-{key} {parts.said.pop(key)}: there is no -kernel")


def _checked(key: str, parts: Parts) -> None:
    try:
        parse_word(parts.said[key])
    except Unreadable as error:
        parts.note(f"{key} {parts.said.pop(key)}: {error.what}")

"""A quickemu configuration (https://github.com/quickemu-project/quickemu/wiki): shell assignments, one guest a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qlan.interop.imported import Imported, Notes, Place, Source, our_name
from qlan.interop.shared import Shared
from qlan.topology.forwards import ANY, parse_port
from qlan.topology.guests import CPUS_MAX, parse_memory
from qlan.topology.model import Disk, Forward, Guest, Nic, Protocol, Topology, UserNetwork
from qlan.topology.scalars import Unreadable, parse_integer, parse_mac
from qlan.values import Struct, field

_ASSIGNMENT = re.compile(r"^[ \t]*(\w+)=(\([^)]*\)|\"[^\"]*\"|'[^']*'|[^\s#]*)[ \t]*(?:#.*)?$", re.MULTILINE)
_SSH_PORT = "22220"  # quickemu's first try
_DISPLAYS = {"sdl": "sdl", "gtk": "gtk", "none": "none", "spice": "spice", "spice-app": "spice"}


class _Reading(Struct):
    """One configuration on its way."""

    place: Place
    notes: Notes
    said: dict[str, Any] = field(default_factory=dict)
    disk: str = ""
    form: str | None = None
    words: list[str] = field(default_factory=list)
    forwards: list[tuple[str, str]] = field(default_factory=list)
    ssh_port: str = _SSH_PORT
    network: str = "user"
    mac: str | None = None


def import_sources(sources: Sequence[Source]) -> Imported:
    """The lab of all configurations."""
    notes = Notes()
    shared = Shared(notes)
    guests: list[Guest] = []
    for source in sources:
        stem = source.name.rpartition("/")[2].removesuffix(".conf")
        name = our_name("guest", stem, [guest.name for guest in guests])
        guests.append(_guest(name, source.text, shared, notes))
    lab = our_name("lab", sources[0].name.rpartition("/")[2].removesuffix(".conf"))
    return Imported(Topology(lab, shared.all, tuple(guests)), notes, ", ".join(source.name for source in sources))


def is_configuration(text: str) -> bool:
    """Whether a text looks like one."""
    keys = {match[1] for match in _ASSIGNMENT.finditer(text)}
    return "guest_os" in keys or bool(keys & {"disk_img", "fixed_iso"} and "iso" in keys)


def _guest(name: str, text: str, shared: Shared, notes: Notes) -> Guest:
    reading = _Reading(("guests", name), notes)
    for match in _ASSIGNMENT.finditer(text):
        key, value = match[1], match[2]
        values = value.strip("()").split() if value.startswith("(") else [value]
        plain = [one.strip("\"'") for one in values]
        if key == "port_forwards":
            reading.forwards += [(one.partition(":")[0], one.partition(":")[2]) for one in plain]
        elif key in _KEYS:
            _KEYS[key](plain[0] if plain else "", reading)
        else:
            notes.add(reading.place, f"{key}={value} is not carried over")
    disks = (Disk(Path(reading.disk), reading.form),) if reading.disk else ()
    nics = _nics(reading, name, shared)
    if not disks and not reading.words:
        notes.add(reading.place, "it has nothing to boot from")
        reading.words += ["-boot", "menu=off"]
    return Guest(name, disks, qemu_args=tuple(reading.words), nics=nics, **({"memory_bytes": 4 << 30} | reading.said))


def _nics(reading: _Reading, name: str, shared: Shared) -> tuple[Nic, ...]:
    """quickemu forwards SSH where user-mode networking is on; a word it doesn't know is a bridge."""
    if reading.network not in ("user", "restrict"):
        for host, guest in reading.forwards:
            reading.notes.add(reading.place, f"port_forwards {host}:{guest}: only user-mode networking has them")
    if reading.network == "none":
        return ()
    mac = reading.notes.value((*reading.place, 0), "macaddr", reading.mac, parse_mac)
    if reading.network not in ("user", "restrict"):
        return (Nic(shared.existing(reading.network), mac=mac),)
    forwards = _forwards(reading.ssh_port, "22", ("tcp",), reading)
    for host, guest in reading.forwards:
        forwards += _forwards(host, guest, ("tcp", "udp"), reading)
    user = UserNetwork(hostname=name, restrict=reading.network == "restrict")
    return (Nic(user=user, mac=mac, forwards=tuple(forwards)),)


def _forwards(host: str, guest: str, protocols: tuple[Protocol, ...], reading: _Reading) -> list[Forward]:
    """On all addresses of the machine, as quickemu has it."""
    try:
        ports = parse_port(host), parse_port(guest)
    except Unreadable as error:
        reading.notes.add((*reading.place, 0), f"port_forwards {host}:{guest}: {error.what}")
        return []
    return [Forward(protocol, ANY, ports[0], None, ports[1]) for protocol in protocols]


def _memory(text: str, reading: _Reading) -> None:
    size = reading.notes.value(reading.place, "ram", text.upper(), parse_memory)
    if size:
        reading.said["memory_bytes"] = size


def _cpus(text: str, reading: _Reading) -> None:
    number = reading.notes.value(reading.place, "cpu_cores", text, lambda said: parse_integer(said, 1, CPUS_MAX))
    if number:
        reading.said["cpus"] = number


def _disk(text: str, reading: _Reading) -> None:
    reading.disk = text


def _format(text: str, reading: _Reading) -> None:
    reading.form = text


def _cd(text: str, reading: _Reading) -> None:
    if text:
        reading.words += ["-drive", f"media=cdrom,format=raw,file={text.replace(',', ',,')}"]


def _network(text: str, reading: _Reading) -> None:
    reading.network = text or "user"


def _mac(text: str, reading: _Reading) -> None:
    reading.mac = text or None


def _ssh(text: str, reading: _Reading) -> None:
    reading.ssh_port = text or _SSH_PORT


def _display(text: str, reading: _Reading) -> None:
    if text in _DISPLAYS:
        reading.said["display"] = _DISPLAYS[text]
    else:
        reading.notes.add(reading.place, f"display={text} is not carried over")


def _arch(text: str, reading: _Reading) -> None:
    reading.said["arch"] = text


_KEYS: dict[str, Callable[[str, _Reading], None]] = {
    "ram": _memory, "cpu_cores": _cpus, "disk_img": _disk, "disk_format": _format, "iso": _cd, "fixed_iso": _cd,
    "network": _network, "macaddr": _mac, "ssh_port": _ssh, "display": _display, "arch": _arch,
}  # fmt: skip

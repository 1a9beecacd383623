"""A topology as the text of a qlan.yaml, with notes as comments at their places.

The text is in block style, a key a line, so that whatever our own reader refuses of it can be turned into a comment
line by line: an import's result always loads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from qlan.interop.imported import HEAD, Imported, Notes, Place
from qlan.names import bracketed, endpoint
from qlan.problems import Problem, TopologyError
from qlan.topology.check import check_written
from qlan.topology.load import parse
from qlan.topology.model import (
    UNSERVED_KINDS,
    Dhcp,
    Disk,
    Forward,
    Guest,
    Ipv6,
    Network,
    Nic,
    Rate,
    Topology,
    UserNetwork,
    trunk_words,
)
from qlan.topology.reverse import reverse_text
from qlan.values import Value

_PLAIN = re.compile(r"[A-Za-z_/.][A-Za-z0-9_/.+-]*(?: [A-Za-z0-9_/.+=-]+)*", re.ASCII)
_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2}|-[0-9.]+)?", re.ASCII)
_NUMBER = re.compile(r"[1-9][0-9]{0,8}[KMGT]?|[1-9][0-9]{0,8}[smhdw]", re.ASCII)
_SPECIAL = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", ".inf", ".nan"})
_ROUNDS_MAX = 50


class _Noted(Value):
    """A mapping or a list item with the notes that stand above it."""

    value: object
    notes: Sequence[str] = ()


def write(imported: Imported) -> str:
    """The text of a file that loads and checks cleanly; what would not is left in it as comments."""
    head = [f"# Made from {imported.source} by `qlan import`."]
    if imported.notes.count:
        head.append("# What qlan.yaml cannot say stands as a comment where it was.")
    tree = _topology(imported.topology, imported.notes)
    lines = [*head, *_comments(imported.notes.at(HEAD), 0), "", *_lines(tree, 0)]
    return _mended(lines)


def _mended(lines: list[str]) -> str:
    """The text without the lines that our reader refuses: they become comments that say why."""
    for _ in range(_ROUNDS_MAX):
        problems = _problems("\n".join(lines) + "\n")
        if not problems:
            return "\n".join(lines) + "\n"
        wrong = {one.mark.line - 1: one.what for one in reversed(problems) if one.mark}
        for at in sorted(wrong, reverse=True):  # from below, so that the lines above keep their places
            lines = _without(lines, at, wrong[at])
    raise AssertionError(f"the imported text cannot be mended: {problems[0]}")


def _problems(text: str) -> list[Problem]:
    try:
        return list(check_written(parse(text, "qlan.yaml")))
    except TopologyError as error:
        return error.problems


def _without(lines: list[str], at: int, why: str) -> list[str]:
    """The lines with the block that starts at one of them (deeper lines belong to it) as comments."""
    depth = _depth(lines[at])
    end = at + 1
    while end < len(lines) and (_depth(lines[end]) > depth or not lines[end].strip()):
        end += 1
    shown = [f"{' ' * depth}# left out: {why}"]
    shown += [f"{' ' * depth}#   {line[depth:]}" for line in lines[at:end] if line.strip()]
    return [*lines[:at], *shown, *lines[end:]]


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _comments(notes: Iterable[str], depth: int) -> list[str]:
    return [f"{' ' * depth}# {note}" for note in notes]


def _lines(value: Mapping[str, object], depth: int) -> list[str]:
    """A mapping in block style."""
    found: list[str] = []
    for key, noted in value.items():
        item, notes = (noted.value, noted.notes) if isinstance(noted, _Noted) else (noted, ())
        found += _comments(notes, depth)
        lead = f"{' ' * depth}{_scalar(key)}:"
        if isinstance(item, Mapping) and item:
            found += [lead, *_lines(item, depth + 2)]
        elif isinstance(item, list) and item:
            found += [lead, *_items(item, depth + 2)]
        else:
            found.append(f"{lead} {_leaf(item)}")
    return found


def _items(values: Iterable[object], depth: int) -> Iterator[str]:
    for value in values:
        item, notes = (value.value, value.notes) if isinstance(value, _Noted) else (value, ())
        yield from _comments(notes, depth)
        if isinstance(item, Mapping):
            inner = _lines(item, depth + 2)
            yield f"{' ' * depth}- {inner[0][depth + 2 :]}"
            yield from inner[1:]
        else:
            yield f"{' ' * depth}- {_leaf(item)}"


def _leaf(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list):
        return "[]"
    return _scalar(str(value))


def _scalar(text: str) -> str:
    """Plain where every YAML reader takes it for the text it is; else in double quotes."""
    if _ADDRESS.fullmatch(text) or _NUMBER.fullmatch(text):
        return text
    if _PLAIN.fullmatch(text) and text.lower() not in _SPECIAL:
        return text
    return '"' + "".join(_escaped(letter) for letter in text) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return "\\" + letter
    if letter.isprintable():
        return letter
    return f"\\U{ord(letter):08x}" if ord(letter) > 0xFFFF else f"\\u{ord(letter):04x}"


def _topology(topology: Topology, notes: Notes) -> dict[str, object]:
    found: dict[str, object] = {"lab": topology.lab}
    if topology.realm:
        found["realm"] = topology.realm.value
    if topology.run_as:
        found["user"] = topology.run_as
    if topology.networks:
        found["networks"] = {
            one.name: _Noted(_network(one), notes.at(("networks", one.name))) for one in topology.networks
        }
    if topology.guests:
        found["guests"] = {
            one.name: _Noted(_guest(one, notes), notes.at(("guests", one.name))) for one in topology.guests
        }
    return found


def _network(network: Network) -> dict[str, object]:
    found: dict[str, object] = {"kind": network.kind}
    _put(found, subnet=network.subnet, address=network.address)
    if network.dhcp is None:
        found["dhcp"] = False
    elif network.dhcp == Dhcp(mark=network.dhcp.mark):
        found["dhcp"] = True
    else:
        dhcp: dict[str, object] = {}
        if network.dhcp.first is not None:
            dhcp["range"] = f"{network.dhcp.first}-{network.dhcp.last}"
        if network.dhcp.lease_time_s != 3600:
            dhcp["lease"] = _time(network.dhcp.lease_time_s)
        _put(dhcp, relay=network.dhcp.relay)
        _put(dhcp, routes={str(to): via for to, via in network.dhcp.routes} or None)
        _put(dhcp, ntp=list(network.dhcp.ntp) or None, options=dict(network.dhcp.options) or None)
        found["dhcp"] = dhcp
    if network.kind not in UNSERVED_KINDS:
        found["ipv6"] = _ipv6(network.ipv6)
    if not network.dns:
        found["dns"] = False
    elif network.records:
        found["dns"] = {"records": dict(network.records)}
    _put(found, tftp=network.tftp, bootfile=network.bootfile)
    _put(found, uplink=network.uplink, mode=network.mode, host_access=network.host_access or None)
    _put(found, mtu=network.mtu_bytes, bridge=network.bridge, bridge_name=network.bridge_name)
    _put(found, reach=list(network.reach) or None)
    _put(found, isolated=network.isolated or None, stp=network.stp or None)
    _put(found, multicast_snooping=network.multicast_snooping or None)
    _put(found, vlan_filtering=network.vlan_filtering or None, vlan=network.vlan)
    return found


def _ipv6(ipv6: Ipv6 | None) -> object:
    if ipv6 is None or ipv6 == Ipv6():
        return ipv6 is not None
    if ipv6 == Ipv6(ipv6.prefix):
        return ipv6.prefix
    found: dict[str, object] = {}
    _put(found, prefix=ipv6.prefix, address=ipv6.address)
    _put(found, slaac=None if ipv6.slaac else False, dhcp=None if ipv6.dhcp else False)
    return found


def _guest(guest: Guest, notes: Notes) -> dict[str, object]:
    found: dict[str, object] = {}
    if guest.disks:
        found["disks"] = [_disk(disk) for disk in guest.disks]
    _put(found, kernel=guest.kernel, initrd=guest.initrd, append=guest.append or None)
    found["memory"] = _size(guest.memory_bytes)
    found["cpus"] = guest.cpus
    _put(found, arch=guest.arch, machine=guest.machine)
    _put(found, accel=guest.accel if guest.accel != "auto" else None)
    _put(found, display=guest.display if guest.display != "none" else None)
    if guest.cloud_init:
        found["cloud_init"] = True
    _put(found, hotplug=guest.hotplug)
    if guest.qemu_args:
        found["qemu_args"] = list(guest.qemu_args)
    places: list[Place] = [("guests", guest.name, index) for index in range(len(guest.nics))]
    found["nics"] = [_Noted(_nic(nic), notes.at(place)) for nic, place in zip(guest.nics, places, strict=True)]
    return found


def _disk(disk: Disk) -> object:
    if disk.format is None and disk.interface == "virtio" and not disk.read_only:
        return disk.path
    found: dict[str, object] = {"path": disk.path}
    _put(found, format=disk.format, interface=disk.interface if disk.interface != "virtio" else None)
    if disk.read_only:
        found["read_only"] = True
    return found


def _nic(nic: Nic) -> dict[str, object]:
    found: dict[str, object] = {}
    if nic.user is not None:
        found["user"] = _user(nic.user) or True
    else:
        found["network"] = nic.network
    _put(found, model=nic.model if nic.model != "virtio" else None, mac=nic.mac, address=nic.address,
         address6=nic.address6)  # fmt: skip
    if nic.forwards:
        found["forwards"] = [_forward(forward) for forward in nic.forwards]
    if nic.reverse:
        found["reverse"] = [reverse_text(one) for one in nic.reverse]
    _put(found, boot="network" if nic.boot else None, link=None if nic.link_up else "down", mtu=nic.mtu_bytes)
    if nic.trunk:
        found["trunk"] = trunk_words(nic.trunk)
    _put(found, vlan=nic.vlan, isolated=nic.isolated, rate=_rate(nic.rate) if nic.rate else None, vhost=nic.vhost)
    return found


def _rate(rate: Rate) -> object:
    if rate.in_bps == rate.out_bps:
        return _speed(rate.in_bps or 0)
    found: dict[str, object] = {}
    _put(found, **{"in": _speed(rate.in_bps) if rate.in_bps else None})
    _put(found, out=_speed(rate.out_bps) if rate.out_bps else None)
    return found


def _speed(rate_bps: int) -> str:
    for unit, size_bps in (("gbit", 10**9), ("mbit", 10**6), ("kbit", 1000)):
        if rate_bps % size_bps == 0:
            return f"{rate_bps // size_bps}{unit}"
    return f"{rate_bps}bit"


def _user(user: UserNetwork) -> dict[str, object]:
    found: dict[str, object] = {}
    _put(found, backend=None if user.backend == "slirp" else user.backend)
    _put(found, subnet=user.subnet, host=user.host, dhcp_start=user.dhcp_start, dns=user.dns, domain=user.domain)
    if user.search:
        found["search"] = list(user.search)
    _put(found, hostname=user.hostname, ipv4=None if user.ipv4 else False, ipv6=user.ipv6)
    _put(found, ipv6_prefix=user.ipv6_prefix, restrict=user.restrict or None)
    _put(found, tftp=user.tftp, bootfile=user.bootfile, smb=user.smb)
    if user.guestfwd:
        found["guestfwd"] = list(user.guestfwd)
    return found


def _forward(forward: Forward) -> str:
    protocol = "udp:" if forward.protocol == "udp" else ""
    guest = f"{bracketed(forward.guest_address)}:" if forward.guest_address else ""
    return f"{protocol}{endpoint(forward.host_address, forward.host_port or 'auto')}:{guest}{forward.guest_port}"


def _size(size_bytes: int) -> str:
    for unit, shift in (("G", 30), ("M", 20)):
        if size_bytes % (1 << shift) == 0:
            return f"{size_bytes >> shift}{unit}"
    return f"{size_bytes >> 10}K"


def _time(time_s: int) -> str:
    for unit, size_s in (("d", 86400), ("h", 3600), ("m", 60)):
        if time_s % size_s == 0:
            return f"{time_s // size_s}{unit}"
    return f"{time_s}s"


def _put(found: dict[str, object], **values: object) -> None:
    """Keys whose value is said."""
    found.update({key: value for key, value in values.items() if value is not None})

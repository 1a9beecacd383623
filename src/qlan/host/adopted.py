"""A QEMU that somebody else started: found by its QMP socket or its process, asked what it has, and taken up.

What it has is asked once.  Its NICs and forwards are only told by the human monitor (`info network`, `info usernet`:
net/net.c in QEMU, misc.c in libslirp); whether a cable is pulled, QEMU does not tell: they are taken to be in.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise
from pathlib import Path
from typing import Any

from qlan.cmdline.parse import find_program
from qlan.cmdline.shell import words_of
from qlan.cmdline.tokens import BadArgument, last_value, split_settings
from qlan.errors import ConflictError, Denied, HostError, QmpError, UsageError
from qlan.facts.found import FoundForward, FoundNic, FoundQemu
from qlan.host import files, process
from qlan.planning.cost import has_own_slots
from qlan.qmp.monitor import execute
from qlan.render.adopted import MONITOR
from qlan.render.command import Adopt
from qlan.values import replace

_TIME_LIMIT_S = 5.0
_CREDENTIALS = struct.Struct("3i")  # SO_PEERCRED, unix(7)
_CLIENT = re.compile(r"(?P<name>\S+): index=\d+,type=(?P<type>[\w-]+)(?:,(?P<more>.*))?")
_NET = re.compile(r"\bnet=([0-9.]+)")
_NIC = re.compile(r"model=([^,]+),macaddr=([0-9a-f:]{17})")
_STACK = re.compile(r"Hub -?\d+ \((\S+)\):")
_FORWARD = re.compile(r"(TCP|UDP)\[HOST_FORWARD\]\s+-?\d+\s+(\S+)\s+(\d+)\s+(\S+)\s+(\d+)\s", re.ASCII)
_USB = re.compile(r"child<\S*(xhci|ehci|uhci|ohci)\S*>")
_SLIRP_PREFIX = 24  # what `info network` does not tell; QEMU's default
_CONNECTED = "03"  # /proc/net/unix, SS_CONNECTED of linux/net.h
_ASKED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("human-monitor-command", {"command-line": "info network"}),
    ("human-monitor-command", {"command-line": "info usernet"}),
    ("qom-get", {"path": "/machine", "property": "type"}),
    ("qom-list", {"path": "/machine/peripheral"}),
    ("qom-list", {"path": "/machine/peripheral-anon"}),
    ("query-pci", {}),
    ("query-name", {}),
)


def find(target: str) -> FoundQemu:
    """The QEMU behind a QMP socket's path or with a process id.

    UsageError: there is none; Denied: it is somebody else's; HostError: it has no QMP socket; ConflictError: somebody
    is connected to it; QmpError.
    """
    if target.isascii() and target.isdecimal():
        pid = int(target)
        return _asked(pid, _monitor(pid))
    path = Path(target).absolute()
    pid = _peer(path, target)
    known = [_resolved(one, pid) for one in _sockets(_words(pid) or [])]
    if known and not any(is_same(path, one) for one in known):
        raise UsageError(f"{target} is another socket of that QEMU, not its QMP", hint=f"that is {known[0]}")
    return _asked(pid, path)


def take(commands: Sequence[Adopt]) -> None:
    """Note them; HostError if one has ended."""
    for one in commands:
        stat = process.find_stat(one.pid)
        if stat is None or stat.start != one.start:
            raise HostError(f"the QEMU of `{one.guest}` has ended", where=f"process {one.pid}",
                            hint="start it again, then `qlan adopt`")  # fmt: skip
        files.make_folder(one.own, private_to=one.uid)
        files.write(one.record, Path(f"/proc/{one.pid}/stat").read_text(encoding="utf-8", errors="replace"))
        one.monitor.unlink(missing_ok=True)
        one.monitor.symlink_to(one.socket)


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file that is there."""
    try:
        return one.samefile(other)
    except OSError:
        return False


# --- which process, which socket


def _monitor(pid: int) -> Path:
    """The QMP socket on a QEMU's command line."""
    words = _words(pid)
    if words is None:
        raise UsageError(f"there is no process {pid}", hint="`pgrep -a qemu` lists those that run")
    _check_qemu(pid, words)
    _check_owner(pid)
    found = _sockets(words)
    if not found:
        raise HostError(f"this QEMU has no QMP socket, by which it could be told anything (process {pid})",
                        hint=f"start it again with: {MONITOR.format(path=_proposed(words, pid))}")  # fmt: skip
    return _resolved(found[0], pid)


def _resolved(path: str, pid: int) -> Path:
    """As the process means it: beside where it was started."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() / path
    except OSError as error:
        raise files.explained(error, Path(f"/proc/{pid}/cwd")) from error


def _peer(path: Path, said: str) -> int:
    """The process that listens on a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(_TIME_LIMIT_S)
        try:
            one.connect(str(path))
        except FileNotFoundError:
            raise UsageError(
                f"there is no socket {said}", hint="the path after `-qmp unix:`, or QEMU's process id"
            ) from None
        except ConnectionRefusedError:
            raise UsageError(f"nobody listens on {said}", hint="its QEMU has ended, or it is no socket") from None
        except PermissionError:
            raise Denied(f"{said} is not open to this user", hint="its owner or root may: sudo qlan adopt") from None
        except (TimeoutError, BlockingIOError):
            raise _refused(QmpError("no answer", where=str(path)), path, _find_server(path)) from None
        except OSError as error:
            raise files.explained(error, path) from error
        pid = int(_CREDENTIALS.unpack(one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0])
    words = _words(pid) if pid else None
    if words is None:
        raise HostError(f"who listens on {said} cannot be seen from here",
                        hint="it runs in another container: run qlan there")  # fmt: skip
    _check_qemu(pid, words)
    _check_owner(pid)
    return pid


def _find_server(path: Path) -> int:
    """The process whose command line has this QMP socket, 0: none."""
    for entry in os.scandir("/proc"):
        words = _words(int(entry.name)) if entry.name.isdecimal() else None
        if words and find_program(words_of(words[:1])) is not None:
            with suppress(HostError):
                if any(is_same(path, _resolved(one, int(entry.name))) for one in _sockets(words)):
                    return int(entry.name)
    return 0


def _words(pid: int) -> list[str] | None:
    """A process's command line; None: there is none of that number."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    return [os.fsdecode(word) for word in text.rstrip(b"\0").split(b"\0")]


def _check_qemu(pid: int, words: list[str]) -> None:
    if find_program(words_of(words[:1])) is None:
        raise UsageError(f"process {pid} is no QEMU: {words[0] or 'a part of the kernel'}",
                         hint="`pgrep -a qemu` lists those that run")  # fmt: skip


def _check_owner(pid: int) -> None:
    """Only a process's user may look into it, and let it have TAPs."""
    import pwd

    uid = _uid(pid)
    if os.geteuid() not in (0, uid):
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = f"user {uid}"
        raise Denied(f"process {pid} belongs to {name}", hint="that user may adopt it, and root (sudo qlan adopt)")


def _uid(pid: int) -> int:
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError as error:
        raise files.explained(error, Path(f"/proc/{pid}")) from error


def _sockets(words: list[str]) -> list[str]:
    """The paths of the unix sockets on which QEMU serves QMP (-qmp; -chardev with -mon), in the order of the words."""
    pairs = [(flag.lstrip("-"), value) for flag, value in pairwise(words) if flag.startswith("-")]
    settings = {}
    for flag, value in pairs:
        if flag == "chardev":
            with suppress(BadArgument):
                said = split_settings(value, "backend")
                settings[last_value(said, "id")] = said
    found = []
    for flag, value in pairs:
        with suppress(BadArgument):
            if flag in ("qmp", "qmp-pretty") and value.startswith("unix:"):
                said = split_settings(value.removeprefix("unix:"), "path")
            elif flag == "mon" and last_value(split_settings(value, "chardev"), "mode") == "control":
                said = settings.get(last_value(split_settings(value, "chardev"), "chardev"), ())
            else:
                continue
            path = last_value(said, "path")
            if path and last_value(said, "server") not in (None, "off"):
                found.append(path)
    return found


def _proposed(words: list[str], pid: int) -> str:
    folder = os.environ.get("XDG_RUNTIME_DIR") or "/tmp"
    name = next((value.partition(",")[0].removeprefix("guest=") for flag, value in pairwise(words)
                 if flag == "-name"), f"qemu-{pid}")  # fmt: skip
    return f"{folder}/{re.sub('[^A-Za-z0-9._-]', '-', name)}.qmp"


# --- what it has


def _asked(pid: int, path: Path) -> FoundQemu:
    stat = process.find_stat(pid)
    try:
        network, usernet, machine, named, unnamed, buses, name = execute(path, _ASKED, time_limit_s=_TIME_LIMIT_S)
    except QmpError as error:
        raise _refused(error, path, pid) from error
    if stat is None:
        raise UsageError(f"there is no process {pid}")
    words = _words(pid) or [""]
    kind = str(machine).removesuffix("-machine")
    arch = re.search(r"qemu-system-(\w+)$", words[0])
    stacks = dict(parse_usernet(usernet))
    return FoundQemu(
        pid,
        stat.start,
        _uid(pid),
        path,
        arch[1] if arch else "",
        kind,
        None if has_own_slots(kind) else sum(1 for _ in _bridges(buses)),
        any(_USB.fullmatch(one["type"]) for one in [*named, *unnamed]),
        tuple(replace(nic, forwards=stacks.get(nic.netdev, ())) for nic in parse_network(network)),
        str(name.get("name", "")),
    )


def _refused(error: QmpError, path: Path, pid: int) -> HostError | ConflictError:
    stat = process.find_stat(pid)
    if stat is not None and stat.state in "tT":
        return HostError(f"this QEMU is stopped and answers nothing (process {pid})", where=str(path),
                         hint=f"kill -CONT {pid}")  # fmt: skip
    if "no answer" not in error.what:
        hint = "the path after `-qmp unix:` is wanted, not that of a monitor or a serial line"
        return HostError(f"this is no QMP: {error.what}", where=str(path), hint=hint)
    return _busy(path) if _is_connected(pid, {str(path), *_sockets(_words(pid) or [])}) else error


def _busy(path: Path) -> ConflictError:
    return ConflictError("somebody else is connected to this QMP socket, and QEMU talks to one at a time",
                         where=str(path), hint="end that program, or give QEMU a second `-qmp unix:...`")  # fmt: skip


def _is_connected(pid: int, names: Collection[str]) -> bool:
    """Whether it has taken somebody's connection to a socket that it called so (proc(5), /proc/PID/net/unix)."""
    rows = (line.split() for line in files.read_text(Path(f"/proc/{pid}/net/unix")).splitlines())
    return any(row[5] == _CONNECTED and row[7] in names for row in rows if len(row) > 7)


def _bridges(buses: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The PCIe ports that have a name (query-pci)."""
    for bus in buses:
        for device in bus["devices"]:
            if "pci_bridge" in device and device["qdev_id"]:
                yield str(device["qdev_id"])


def parse_network(text: str) -> Iterator[FoundNic]:
    """The NICs in the words of `info network`: each with its peer, or with the only other thing in its hub."""
    seen: set[str] = set()
    for group in _groups(text):
        nics = [one for one in group if one["type"] == "nic"]
        others = [one for one in group if one["type"] != "nic"]
        peer = others[0] if len(others) == 1 else None
        for nic in nics:
            if nic["name"] in seen:  # a queue more of the same
                continue
            seen.add(nic["name"])
            words = _NIC.match(nic["more"] or "")
            net = _NET.search(peer["more"] or "") if peer else None
            subnet = IPv4Network((net[1], _SLIRP_PREFIX), strict=False) if net else None
            yield FoundNic(nic["name"], peer["name"] if peer else "", words[1] if words else "?",
                           words[2] if words else "", peer["type"] if peer else "", subnet)  # fmt: skip


def _groups(text: str) -> Iterator[list[re.Match[str]]]:
    """What is connected with each other: a NIC and its peer, or all that is in a hub."""
    group: list[re.Match[str]] = []
    for line in text.splitlines():
        if not line.startswith(" \\"):
            yield group
            group = []
        if client := _CLIENT.search(line):
            group.append(client)
    yield group


def parse_usernet(text: str) -> Iterator[tuple[str, tuple[FoundForward, ...]]]:
    """The forwards of each user-mode network, by its name, in the words of `info usernet`."""
    parts = _STACK.split(text)
    for name, rows in zip(parts[1::2], parts[2::2], strict=True):
        found = (
            FoundForward(kind.lower(), IPv4Address(0) if host == "*" else IPv4Address(host), int(port),
                         IPv4Address(guest), int(inner))
            for kind, host, port, guest, inner in _FORWARD.findall(rows)
        )  # fmt: skip
        yield name, tuple(found)

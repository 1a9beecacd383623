"""The lab's relay seen from here: started in the background, given sockets to listen on, asked what it has."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from msgspec.json import decode as parse_json
from msgspec.json import encode

from qlan import names
from qlan.errors import ConflictError, Denied, HostError, QlanError
from qlan.host import files, process, taken
from qlan.host.machine import as_user
from qlan.host.namespace import open_inside
from qlan.relay.message import FDS_MAX, MESSAGE_MAX
from qlan.render.command import FIRST_FD, Publish, Serve, Withdraw
from qlan.render.layout import Layout
from qlan.values import asdict

# In the background of a shell that ends at once, as a machine is started; nsenter waits for no one then.
_RECORD = '(read -r stat </proc/self/stat && echo "$stat" >"$0" && exec "$@") &'
_TIME_LIMIT_S = 5.0
_READ_TIME_LIMIT_S = 2.0
_PORTS_AT_ONCE = FDS_MAX // 2  # one for DHCP has two sockets
_BACKLOG = 4096  # the kernel cuts it to net.core.somaxconn

T = TypeVar("T")


def start(serve: Serve, *, python: str) -> None:
    """Start it and wait until it answers; HostError with its own words if it does not.

    serve.enter: complete.  python: the interpreter that has qlan.
    """
    record, control = serve.folder / "process", serve.folder / "control"
    files.make_folder(serve.folder)
    record.unlink(missing_ok=True)
    # -P: the folder in which we were called is no place to import from
    program = [*as_user(serve.run_as), python, "-P", "-m", "qlan.relay", str(record)]
    argv = [*serve.enter, "sh", "-c", _RECORD, str(record), *program]
    log = os.open(serve.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        listener = _listen(control)
        with listener:
            process.spawn(argv, [(null, 0), (log, 1), (log, 2), (listener.fileno(), FIRST_FD)])
        ask(serve.folder, {"list": True})
    except (OSError, HostError) as error:
        words = (serve.folder / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        why = words[-1] if words else str(error)
        raise HostError(f"the relay for published ports does not start: {why}", where=str(serve.folder)) from error
    finally:
        os.close(log)
        os.close(null)


def publish(ports: Sequence[Publish], holder: Callable[[str], int] | None = None) -> None:
    """Listen on them, in their order, and hand the sockets over, or tell what changed.  holder: of a namespace, by its
    key.

    ConflictError names who has a port; Denied, HostError.  Then the relay has none of them.
    """
    for folder, group in _by_folder(ports):
        for changed in _parts([one for one in group if one.is_open]):
            ask(folder, {"change": [_spec(one) for one in changed]})
        new = [one for one in group if not one.is_open]
        listening: list[list[socket.socket]] = []
        try:
            for port in new:
                listening.append(_listen_there(port, holder(port.inside) if holder and port.inside else None))
            for some, sockets in zip(_parts(new), _parts(listening), strict=True):
                ask(folder, {"open": [_spec(one) for one in some]}, [one.fileno() for both in sockets for one in both])
        finally:
            for both in listening:
                for one in both:
                    one.close()


def _spec(port: Publish) -> dict[str, Any]:
    """A port as the relay is told it."""
    return {
        "key": port.key,
        "note": parse_json(port.note),
        "protocol": port.protocol,
        "address": port.target[0],
        "port": port.target[1],
        "only": port.only,
        "as_caller": port.as_caller and {**asdict(port.as_caller), "mark": names.ANSWER},
    }


def withdraw(ports: Sequence[Withdraw]) -> None:
    """Listen there no more; a relay that is gone has no port anyway."""
    for folder, group in _by_folder(ports):
        for some in _parts(group):
            with suppress(HostError):
                ask(folder, {"close": [one.key for one in some]})


def find(layout: Layout) -> int | None:
    """The relay's process, or None."""
    return process.find_recorded(layout.relay / "process", mark=layout.relay_mark)


def find_outlet(layout: Layout) -> int | None:
    """The outlet's process, or None."""
    return process.find_recorded(layout.outlet / "process", mark=layout.outlet_mark)


def ports(folder: Path) -> list[dict[str, Any]]:
    """What it listens on: `key`, `note`, `connections` of each, `link`, by which alone it hears (None: it is gone), and
    `keeps`: whether guests are called by callers' own addresses.

    HostError if it does not answer.
    """
    return ask(folder, {"list": True}, time_limit_s=_READ_TIME_LIMIT_S)


def ask(
    folder: Path, message: dict[str, Any], fds: Sequence[int] = (), *, time_limit_s: float = _TIME_LIMIT_S
) -> list[dict[str, Any]]:
    """One question to a relay; HostError if it refuses, or does not answer in time."""
    control = folder / "control"
    found: list[dict[str, Any]] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        channel.settimeout(time_limit_s)
        try:
            channel.connect(str(control))
            socket.send_fds(channel, [encode(message)], list(fds))
            more = True
            while more:
                answer = parse_json(channel.recv(MESSAGE_MAX) or b'{"error": "it ended"}')
                if "error" in answer:
                    raise HostError(f"the relay refuses: {answer['error']}", where=str(control))
                found += answer["ports"]
                more = answer["more"]
        except TimeoutError:
            raise HostError(f"the relay does not answer within {time_limit_s:.0f} s", where=str(control)) from None
        except (OSError, ValueError) as error:
            raise HostError(f"the relay does not answer: {error}", where=str(control)) from error
    return found


def _listen_there(port: Publish, pid: int | None) -> list[socket.socket]:
    """Where it is to listen: here, or in the network namespace of a process."""
    if pid is None:
        return listen(port)
    what = f"{port.protocol} port {port.listen[1]} of {port.listen[0]} in the lab's network"
    try:
        fds = open_inside(pid, lambda: [one.detach() for one in _sockets(port)])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConflictError(
                f"{what} is taken", hint="choose another port: `qlan exec -- ss -lnp` lists them"
            ) from None
        raise HostError(f"{what}: {os.strerror(error.errno or 0)}") from error
    return [socket.socket(fileno=fd) for fd in fds]


def _sockets(port: Publish) -> list[socket.socket]:
    """What a port listens on; for DHCP: where guests broadcast, and where the other server's answers come."""
    if port.protocol != "dhcp":
        return [_bound(port.protocol, *port.listen, link=port.link)]
    guests = _bound("dhcp", "", port.listen[1], link=port.link)
    try:
        return [guests, _bound("dhcp", *port.listen, link="")]
    except OSError:
        guests.close()
        raise


def listen(port: Publish) -> list[socket.socket]:
    """Its sockets in this network namespace, which listen (TCP) or are bound; ConflictError, Denied, HostError."""
    try:
        return _sockets(port)
    except OSError as error:
        raise explained(error, port.protocol, *port.listen) from error


def _bound(protocol: str, address: str, port: int, *, link: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol != "udp":  # for DHCP: beside the servers of other networks
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if protocol == "dhcp":
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if link:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
        one.bind((address, port))
        if protocol == "tcp":
            one.listen(_BACKLOG)
    except OSError:
        one.close()
        raise
    return one


def explained(error: OSError, protocol: str, address: str, port: int) -> QlanError:
    """Why a port cannot be had, and who has it."""
    what = f"{protocol} port {port} of {address}"
    if error.errno == errno.EADDRINUSE:
        owner = taken.find_owner("udp" if protocol == "dhcp" else protocol, address, port)
        hint = "choose another port, or `auto` for a free one"
        if protocol == "dhcp":
            hint = "let that server hear its own links alone (dnsmasq: `interface=` and `bind-interfaces`)"
        return ConflictError(f"{what} is taken by {owner or 'somebody else'}", hint=hint)
    if error.errno == errno.EACCES:
        hint = f"`sudo sysctl net.ipv4.ip_unprivileged_port_start={port}` lets everyone have it"
        return Denied(f"{what}: an ordinary process may not listen on a port as low", hint=hint)
    if error.errno == errno.EADDRNOTAVAIL:
        return HostError(f"{what}: this machine has no such address", hint="`ip -br address` lists those it has")
    return HostError(f"{what}: {error.strerror or error}")


def _listen(path: Path) -> socket.socket:
    """The control socket.  Only its owner may connect: a relay that runs as somebody else is asked by us alone."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(8)
    return listener


def _by_folder(commands: Sequence[Any]) -> Iterator[tuple[Path, list[Any]]]:
    found: dict[Path, list[Any]] = {}
    for one in commands:
        found.setdefault(one.folder, []).append(one)
    yield from found.items()


def _parts(items: Sequence[T]) -> list[Sequence[T]]:
    """As many as a message holds."""
    return [items[start : start + _PORTS_AT_ONCE] for start in range(0, len(items), _PORTS_AT_ONCE)]

"""What QEMU refuses of a netdev whose keys and types are right: keys that exclude or need each other.

One function a type, from that type's own source file in QEMU (net/tap.c, net/socket.c, ...).  What depends on the host
(is the bridge there, is the port free) is not decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from qlan.cmdline.check import backend_name, fault_at, is_open
from qlan.cmdline.model import Clause, Fault, Kind
from qlan.cmdline.schema import Rules, Version
from qlan.cmdline.usermode import check_user_mode
from qlan.cmdline.values import parse_bool, parse_ipv4, parse_number

_LOOSE_TAP_SINCE = (
    11,
    0,
)  # since then descriptors for vhost may come without descriptors for the TAP, and one for many
_DESCRIPTOR_QUEUES = 1024  # MAX_QUEUE_NUM, net/net.h


def check_backend(clause: Clause, rules: Rules) -> Iterator[Fault]:
    """The type's own rules; nothing for types that have none."""
    if any(is_open(clause, setting.value) for setting in clause.settings if setting.key not in ("hostfwd", "guestfwd")):
        return
    name = backend_name(clause) or ""
    if name == "user":
        yield from check_user_mode(clause, rules.version)
    elif name in _CHECKS:
        yield from _CHECKS[name](clause, rules.version)


def is_on(clause: Clause, key: str) -> bool:
    """A boolean option that is there and on."""
    text = clause.value(key)
    return text is not None and parse_bool(text)


def _excluded(clause: Clause, reason: str, *keys: str) -> Iterator[Fault]:
    for key in keys:
        if clause.value(key) is not None:
            yield fault_at(
                clause, clause.setting(key), f"{key}= does not go with {reason}=", f"{reason}= without {key}="
            )


def _tap(clause: Clause, version: Version) -> Iterator[Fault]:
    if clause.kind is Kind.NET and version < _LOOSE_TAP_SINCE:
        for key in ("queues", "fds", "vhostfds"):
            if clause.value(key) is not None:
                yield fault_at(clause, clause.setting(key), f"{key}= does not go with -net", "-nic or -netdev")
    shared = ("ifname", "script", "downscript", "vnet_hdr", "queues")
    if clause.value("fd") is not None:
        yield from _excluded(clause, "fd", *shared, "helper", "fds", "vhostfds")
    elif clause.value("fds") is not None:
        yield from _excluded(clause, "fds", *shared, "helper", *(["vhostfd"] if version < _LOOSE_TAP_SINCE else []))
    elif clause.value("helper") is not None:
        yield from _excluded(clause, "helper", *shared, "vhostfds")
    elif clause.value("vhostfds") is not None and version < _LOOSE_TAP_SINCE:
        yield fault_at(clause, clause.setting("vhostfds"), "vhostfds= needs fds=", "fds=A:B:...")
    if clause.value("vhostfds") is not None:
        wanted = len(fds.split(":")) if (fds := clause.value("fds")) else parse_number(clause.value("queues") or "1")
        if len((clause.value("vhostfds") or "").split(":")) != wanted:
            yield fault_at(clause, clause.setting("vhostfds"), "one descriptor a queue is needed", f"{wanted} of them")


def _socket(clause: Clause, _: Version) -> Iterator[Fault]:
    ways = [key for key in ("fd", "listen", "connect", "mcast", "udp") if clause.value(key) is not None]
    if len(ways) != 1:
        second = clause.setting(ways[1]) if ways else None
        yield fault_at(clause, second, "exactly one of listen=, connect=, mcast=, udp= and fd= is needed")
        return
    local = clause.setting("localaddr")
    if local and ways[0] not in ("mcast", "udp"):
        yield fault_at(clause, local, "localaddr= goes with mcast= or udp= only")
    if ways[0] == "udp" and not local:
        yield fault_at(clause, None, "udp= needs localaddr=", "localaddr=HOST:PORT")
    for key in ways if ways[0] != "fd" else []:
        yield from _check_endpoint(clause, key, multicast=key == "mcast")
    if ways[0] == "udp" and local:
        yield from _check_endpoint(clause, "localaddr")
    elif ways[0] == "mcast" and local:
        yield from _check_ipv4(clause, "localaddr", local.value)


def _check_endpoint(clause: Clause, key: str, multicast: bool = False) -> Iterator[Fault]:
    """`host:port`, host a name, an IPv4 address or nothing."""
    setting = clause.setting(key)
    text = clause.value(key) or ""
    host, colon, port = text.partition(":")
    if not colon:
        yield fault_at(clause, setting, f"{key}={text} has no port", "host:port" if key != "listen" else "[host]:port")
        return
    yield from _check_host_port(clause, key, host, port)
    try:
        if multicast and not parse_ipv4(host).is_multicast:
            yield fault_at(clause, setting, f"{host} is no multicast address", "224.0.0.0 to 239.255.255.255")
    except ValueError:
        return  # a name: the resolver decides


def _check_host_port(clause: Clause, key: str, host: str, port: str) -> Iterator[Fault]:
    if host[:1].isdecimal():
        yield from _check_ipv4(clause, key, host)
    try:
        parse_number(port)
    except ValueError:
        yield fault_at(clause, clause.setting(key), f"{port!r} is no port", "a number")


def _check_ipv4(clause: Clause, key: str, text: str) -> Iterator[Fault]:
    try:
        parse_ipv4(text)
    except ValueError:
        yield fault_at(clause, clause.setting(key), f"{text!r} is no IPv4 address", "an IPv4 address")


def _l2tpv3(clause: Clause, _: Version) -> Iterator[Fault]:
    offset = clause.value("offset")
    if offset is not None and parse_number(offset) > 256:
        yield fault_at(clause, clause.setting("offset"), f"offset={offset} is too large", "at most 256 bytes")
    if (clause.value("rxcookie") is None) != (clause.value("txcookie") is None):
        yield fault_at(clause, None, "rxcookie= and txcookie= need each other")
    if is_on(clause, "udp") and (clause.value("srcport") is None or clause.value("dstport") is None):
        yield fault_at(clause, clause.setting("udp"), "udp= needs srcport= and dstport=")


def _stream(clause: Clause, _: Version) -> Iterator[Fault]:
    ways = [key for key in ("reconnect", "reconnect-ms") if clause.value(key) is not None]
    if ways and is_on(clause, "server"):
        yield fault_at(clause, clause.setting(ways[0]), f"{ways[0]}= does not go with server=on")
    elif len(ways) > 1:
        yield fault_at(clause, clause.setting(ways[1]), "reconnect= and reconnect-ms= exclude each other")
    if clause.value("addr.type") == "vsock":
        yield fault_at(clause, clause.setting("addr.type"), "stream has no vsock", "inet, unix or fd")


def _dgram(clause: Clause, _: Version) -> Iterator[Fault]:
    local, remote = clause.value("local.type"), clause.value("remote.type")
    if remote == "inet":
        host = clause.value("remote.host") or ""
        yield from _check_host_port(clause, "remote.host", host, clause.value("remote.port") or "")
        if host[:1].isdecimal() and _is_multicast(host):
            if local not in (None, "inet", "fd"):
                yield fault_at(clause, clause.setting("local.type"), "multicast has local.type inet or fd only")
            return
    if local is None:
        yield fault_at(clause, None, "local= is missing", "local.type=inet,local.host=...,local.port=...")
    elif remote is None and local != "fd":
        yield fault_at(clause, clause.setting("local.type"), f"local.type={local} needs remote.type={local}")
    elif remote is not None and local == "fd":
        yield fault_at(clause, clause.setting("remote.type"), "a remote address does not go with local.type=fd")
    elif remote is not None and remote != local:
        yield fault_at(
            clause, clause.setting("remote.type"), "local.type and remote.type differ", f"remote.type={local}"
        )
    elif local == "inet":
        yield from _check_host_port(
            clause, "local.host", clause.value("local.host") or "", clause.value("local.port") or ""
        )
    elif local == "vsock":
        yield fault_at(clause, clause.setting("local.type"), "dgram has no vsock", "inet, unix or fd")


def _is_multicast(host: str) -> bool:
    try:
        return parse_ipv4(host).is_multicast
    except ValueError:
        return False


def _vhost_user(clause: Clause, _: Version) -> Iterator[Fault]:
    queues = clause.value("queues")
    if queues is not None and not 1 <= parse_number(queues) <= _DESCRIPTOR_QUEUES:
        yield fault_at(clause, clause.setting("queues"), f"queues={queues}", f"1 to {_DESCRIPTOR_QUEUES}")


def _vhost_vdpa(clause: Clause, _: Version) -> Iterator[Fault]:
    device, descriptor = clause.value("vhostdev"), clause.value("vhostfd")
    if device is None and descriptor is None:
        yield fault_at(clause, None, "vhostdev= or vhostfd= is needed", "vhostdev=/dev/vhost-vdpa-0")
    elif device is not None and descriptor is not None:
        yield fault_at(clause, clause.setting("vhostfd"), "vhostdev= and vhostfd= exclude each other")


_CHECKS: dict[str, Callable[[Clause, Version], Iterator[Fault]]] = {
    "tap": _tap,
    "socket": _socket,
    "l2tpv3": _l2tpv3,
    "stream": _stream,
    "dgram": _dgram,
    "vhost-user": _vhost_user,
    "vhost-vdpa": _vhost_vdpa,
}

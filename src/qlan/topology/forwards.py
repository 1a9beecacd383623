"""A forward, in our short form and in QEMU's.

    [tcp:|udp:][HOST-ADDRESS:]HOST-PORT:[GUEST-ADDRESS:]GUEST-PORT[/tcp|/udp]     2222:22  auto:22  udp:0.0.0.0:53:53
    [tcp|udp]:[HOST-ADDRESS]:HOST-PORT-[GUEST-ADDRESS]:GUEST-PORT                 tcp::2222-:22

Without an address the short form listens on loopback; QEMU's form keeps QEMU's meaning, every address of the machine
(slirp_hostfwd in QEMU's net/slirp.c).
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import cast

from qlan.errors import Mark
from qlan.topology.document import Mapping, Scalar
from qlan.topology.model import Forward, Protocol
from qlan.topology.reader import Reader
from qlan.topology.scalars import PORT_MAX, Unreadable, parse_address, parse_text, quoted
from qlan.topology.vocabulary import FORWARD, PROTOCOLS

LOOPBACK = IPv4Address("127.0.0.1")
ANY = IPv4Address("0.0.0.0")

_EXAMPLE = 'write it like "2222:22" or "udp:127.0.0.1:5353:53"'
_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_RANGE = re.compile(r"[0-9]+-[0-9]+", re.ASCII)


def parse_forward(text: str, mark: Mark | None = None) -> Forward:
    """One forward in either form; Unreadable says what is wrong and what to write."""
    parse_text(text)
    if " " in text:
        raise Unreadable(f"{quoted(text)} holds a space", f"write `{text.replace(' ', '')}`")
    if "[" in text or ":::" in text or text.startswith("::1"):
        raise Unreadable(f"{quoted(text)}: forwards from IPv6 addresses are not in this version", _EXAMPLE)
    return _parse_qemu(text, mark) if "-" in text else _parse_short(text, mark)


def parse_host_port(text: str) -> int | None:
    """A port of this machine; `auto` is None."""
    if text == "auto":
        return None
    if text == "0":
        raise Unreadable("host port 0 is no port", "write `auto` for a free one")
    return parse_port(text)


def parse_port(text: str) -> int:
    """A port number from 1 to 65535."""
    if not _DIGITS.fullmatch(text):
        if _RANGE.fullmatch(text):
            raise Unreadable(f"{quoted(text)}: ranges of ports are not in this version", "write one forward a port")
        raise Unreadable(f"{quoted(text)} is not a port number", f"write a number from 1 to {PORT_MAX}")
    if len(text) > 9 or not 0 < int(text) <= PORT_MAX:
        raise Unreadable(f"port {quoted(text)} is not from 1 to {PORT_MAX}")
    return int(text)


def read_forward(node: Mapping, title: str, reader: Reader) -> Forward | None:
    """A forward written as a mapping."""
    if len(node.pairs) == 1 and _DIGITS.fullmatch(node.pairs[0][0].text) and isinstance(node.pairs[0][1], Scalar):
        host, guest = node.pairs[0][0].text, node.pairs[0][1].text
        reader.problem(node.mark, f"{title}: a space after the colon of {host}:", f'write "{host}:{guest}"')
        return None
    fields = reader.fields(node, f"a forward in {title}", FORWARD)
    for key in ("host", "guest"):
        if not fields.has(key):
            reader.problem(node.mark, f"{fields.title} has no `{key}`", "write `{host: 8080, guest: 80}`")
    guest_port = fields.value("guest", parse_port)
    before = len(reader.problems)
    host_port = fields.value("host", parse_host_port)
    protocol = fields.choice("protocol") or "tcp"
    address = fields.value("address", parse_address) or LOOPBACK
    guest_address = fields.value("guest_address", parse_address)
    if guest_port is None or not fields.has("host") or len(reader.problems) > before:
        return None
    return Forward(cast("Protocol", protocol), address, host_port, guest_address, guest_port, node.mark)


def _parse_short(text: str, mark: Mark | None) -> Forward:
    body, slash, suffix = text.partition("/")
    parts = body.split(":")
    protocol = _protocol(suffix) if slash else None
    if len(parts) > 1 and re.fullmatch(r"[A-Za-z]+", parts[0], re.ASCII) and parts[0] not in ("auto", "localhost"):
        named = _leading_protocol(parts)
        if protocol and protocol != named:
            raise Unreadable(f"{quoted(text)} says {named} and {protocol}", "keep one of them")
        protocol = named
        parts = parts[1:]
    _check_parts(text, parts)
    host_address = _host_address(parts.pop(0)) if _is_address(parts[0]) else LOOPBACK
    host_port = parse_host_port(parts.pop(0)) if parts else None
    guest_address = parse_address(parts.pop(0)) if len(parts) == 2 else None
    if not parts:
        raise Unreadable(f"{quoted(text)} has no guest port", f'write "{text}:80", say')
    if len(parts) != 1:
        raise Unreadable(f"{quoted(text)} is not a forward", _EXAMPLE)
    return Forward(protocol or "tcp", host_address, host_port, guest_address, _guest_port(parts[0]), mark)


def _leading_protocol(parts: list[str]) -> Protocol:
    rest = ":".join(parts[1:])
    if parts[0] in PROTOCOLS or parts[0].lower() in (*PROTOCOLS, "sctp", "icmp") or len(parts) > 2:
        return _protocol(parts[0])
    raise Unreadable(f"{quoted(parts[0])} is not a port number", f"write a number, like 2222:{rest}")


def _check_parts(text: str, parts: list[str]) -> None:
    if len(parts) == 1:
        port = parts[0]
        hint = f'write "{port}:{port}" for the same port' if _DIGITS.fullmatch(port) else _EXAMPLE
        raise Unreadable(f"{quoted(text)} has no guest port", hint)
    if len(parts) == 2 and parts[1] == "":
        raise Unreadable(f"{quoted(text)} has no guest port", f'write "{parts[0]}:22", say')
    if len(parts) == 2 and parts[0] == "":
        raise Unreadable(f"{quoted(text)} has no host port", f'write "auto:{parts[1]}" for a free one')
    if "" in parts:
        full = [part for part in parts if part]
        hint = f'write "{":".join(full)}"' if len(full) >= 2 else _EXAMPLE
        raise Unreadable(f"{quoted(text)} has a colon too many", hint)
    if len(parts) > 4:
        raise Unreadable(f"{quoted(text)} has too many parts", _EXAMPLE)


def _parse_qemu(text: str, mark: Mark | None) -> Forward:
    host, _, guest = text.partition("-")
    _check_qemu(text, host, guest)
    protocol, address, port = host.split(":")
    guest_address, guest_port = guest.split(":")
    return Forward(
        _protocol(protocol) if protocol else "tcp",
        _host_address(address) if address else ANY,
        parse_host_port(port),
        parse_address(guest_address) if guest_address else None,
        _guest_port(guest_port),
        mark,
    )


def _check_qemu(text: str, host: str, guest: str) -> None:
    """QEMU's form has two colons before its one dash and one behind."""
    if "-" not in guest and host.count(":") == 2 and guest.count(":") == 1:
        return
    if host.startswith(("::", "tcp::", "udp::")) and _DIGITS.fullmatch(guest):
        raise Unreadable(f"{quoted(text)} has no colon before the guest port", f'write "{host}-:{guest}"')
    if any(_RANGE.fullmatch(part) for part in text.split("/", maxsplit=1)[0].split(":")) and ":" in text:
        raise Unreadable(f"{quoted(text)}: ranges of ports are not in this version", "write one forward a port")
    if _RANGE.fullmatch(text):
        raise Unreadable(f"{quoted(text)} has a dash where a colon is due", f'write "{host}:{guest}"')
    if host.count(":") == 1 and guest.count(":") == 1 and host.split(":", maxsplit=1)[0] in PROTOCOLS:
        protocol, _, port = host.partition(":")
        raise Unreadable(f"{quoted(text)} has one colon before the host port", f'write "{protocol}::{port}-{guest}"')
    if _DIGITS.fullmatch(host) and re.fullmatch(r":[0-9]+", guest, re.ASCII):
        raise Unreadable(f"{quoted(text)} is half of QEMU's form", f'write "{host}{guest}", or "tcp::{host}-{guest}"')
    raise Unreadable(f"{quoted(text)} has a dash that means nothing there", _EXAMPLE)


def _protocol(text: str) -> Protocol:
    if text in PROTOCOLS:
        return cast("Protocol", text)
    lower = text.lower()
    hint = f"write `{lower}`" if lower in PROTOCOLS else "only `tcp` and `udp` can be forwarded"
    raise Unreadable(f"{quoted(text)} is not a protocol here", hint)


def _is_address(text: str) -> bool:
    return text != "auto" and not _DIGITS.fullmatch(text)


def _host_address(text: str) -> IPv4Address:
    if text == "localhost":
        raise Unreadable("`localhost` is a name; an address is due", "write 127.0.0.1, or leave it out")
    return parse_address(text)


def _guest_port(text: str) -> int:
    if text == "auto":
        raise Unreadable("`auto` is for the host's port", "say the port that the guest listens on, like auto:22")
    return parse_port(text)

"""A forward, in our short form and in QEMU's.

    [tcp:|udp:][HOST-ADDRESS:]HOST-PORT:[GUEST-ADDRESS:]GUEST-PORT[/tcp|/udp]     2222:22  auto:22  udp:0.0.0.0:53:53
    [tcp|udp]:[HOST-ADDRESS]:HOST-PORT-[GUEST-ADDRESS]:GUEST-PORT                 tcp::2222-:22

In the short form an IPv6 address stands in brackets: [::1]:8080:80, [::]:8080:[fd00::5]:80.

In the short form both ports may be ranges of one length (8000-8010:9000-9010), which is so many forwards.

Without an address the short form listens on loopback; QEMU's form keeps QEMU's meaning, every address of the machine
(slirp_hostfwd in QEMU's net/slirp.c).
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import cast

from qlan.problems import Mark
from qlan.topology.document import Mapping, Scalar
from qlan.topology.model import Forward, Protocol
from qlan.topology.reader import Reader
from qlan.topology.scalars import PORT_MAX, Unreadable, parse_address, parse_address6, parse_text, quoted
from qlan.topology.vocabulary import FORWARD, PROTOCOLS
from qlan.values import replace

LOOPBACK = IPv4Address("127.0.0.1")
ANY = IPv4Address("0.0.0.0")

_BRACKETS = re.compile(r"(?<![^:])\[[0-9a-fA-F:.%\w]*\](?=:)", re.ASCII)  # a whole part
_BARE = re.compile(r"(?<!\w)(?=\w*[a-fA-F])[0-9a-fA-F]{1,4}::", re.ASCII)  # fd00::, and not udp::
_EXAMPLE = 'write it like "2222:22" or "udp:127.0.0.1:5353:53"'
_EXAMPLE6 = 'write it like "[::1]:8080:80"'
_RANGES = 'ranges stand in a text, on both sides: "8000-8010:8000-8010"'
_DIGITS = re.compile(r"[0-9]+", re.ASCII)
_RANGE = re.compile(r"[0-9]+-[0-9]+", re.ASCII)
_PORTS = re.compile(r"[0-9]+(-[0-9]+)?", re.ASCII)
RANGE_MAX = 1000


def parse_forwards(text: str, mark: Mark | None = None) -> tuple[Forward, ...]:
    """One forward, or as many as its ranges have ports (of the host, or `auto`; and of the guest)."""
    parse_text(text)
    body, slash, suffix = text.partition("/")
    parts = _split(body)
    hosts = [place for place, part in enumerate(parts[:-1]) if part == "auto" or _PORTS.fullmatch(part)]
    if not hosts or not any(_RANGE.fullmatch(parts[place]) for place in (hosts[0], -1)):
        return (parse_forward(text, mark),)
    pairs = _pairs(text, parts[hosts[0]], parts[-1])
    words = [*parts[: hosts[0]], pairs[0][0], *parts[hosts[0] + 1 : -1], pairs[0][1]]
    first = parse_forward(f"{':'.join(words)}{slash}{suffix}", mark)
    return (first, *(replace(first, host_port=parse_host_port(one), guest_port=int(other)) for one, other in pairs[1:]))


def _pairs(text: str, host: str, guest: str) -> list[tuple[str, str]]:
    """The ports of two ranges side by side; host may be `auto`."""
    inner = _ports_of(text, guest)
    if host == "auto":
        return [("auto", str(port)) for port in inner]
    outer = _ports_of(text, host)
    if len(outer) != len(inner):
        first = inner[0]
        hint = f'the guest\'s: "{first}-{first + len(outer) - 1}"' if len(outer) > 1 else "write a range on both sides"
        raise Unreadable(
            f"{quoted(text)}: {len(outer)} port{'s' if len(outer) > 1 else ''} cannot lead to {len(inner)}", hint
        )
    return [(str(one), str(other)) for one, other in zip(outer, inner, strict=True)]


def _ports_of(text: str, part: str) -> range:
    first, _, last = part.partition("-")
    ends = parse_port(first), parse_port(last or first)
    if ends[0] > ends[1]:
        raise Unreadable(f"{quoted(text)}: {part} runs backwards", f'write "{ends[1]}-{ends[0]}"')
    if ends[1] - ends[0] >= RANGE_MAX:
        raise Unreadable(f"{quoted(text)}: {part} is more than {RANGE_MAX} ports", "each one is opened by itself")
    return range(ends[0], ends[1] + 1)


def parse_forward(text: str, mark: Mark | None = None) -> Forward:
    """One forward in either form; Unreadable says what is wrong and what to write."""
    parse_text(text)
    if " " in text:
        raise Unreadable(f"{quoted(text)} holds a space", f"write `{text.replace(' ', '')}`")
    _check_brackets(text)
    return _parse_qemu(text, mark) if "-" in text else _parse_short(text, mark)


def parse_either(text: str) -> IPv4Address | IPv6Address:
    """An address of either family, without a zone and without brackets."""
    if ":" not in text:
        return parse_address(text)
    found = parse_address6(text)
    if found.ipv4_mapped:
        raise Unreadable(f"{text} is an IPv4 address in IPv6's clothes", f"write {found.ipv4_mapped}")
    if found.is_link_local:
        raise Unreadable(f"{text} is of one link alone, and does not say of which", "write an address that is routed")
    return found


def _split(body: str) -> list[str]:
    """At the colons that are not in brackets."""
    return re.split(r":(?![^\[]*\])", body)


def _check_brackets(text: str) -> None:
    """IPv6 addresses stand in brackets, and nothing else does; QEMU's form has none of them."""
    if re.sub(_BRACKETS, "", text) != text:
        if "-" in text:
            raise Unreadable(f"{quoted(text)}: QEMU's form has no IPv6 addresses", _EXAMPLE6)
        if "[" not in re.sub(_BRACKETS, "", text) and "]" not in re.sub(_BRACKETS, "", text):
            return
    if "[" in text or "]" in text:
        raise Unreadable(f"{quoted(text)} has a bracket that is not around an IPv6 address", _EXAMPLE6)
    if ":::" in text or text.startswith("::1") or _BARE.search(text):
        raise Unreadable(f"{quoted(text)}: an IPv6 address stands in brackets", _EXAMPLE6)


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
            raise Unreadable(f"{quoted(text)} is a range where one port is due", _RANGES)
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
    address = fields.value("address", parse_either) or LOOPBACK
    guest_address = fields.value("guest_address", parse_either)
    if guest_port is None or not fields.has("host") or len(reader.problems) > before:
        return None
    return Forward(cast("Protocol", protocol), address, host_port, guest_address, guest_port, node.mark)


def _parse_short(text: str, mark: Mark | None) -> Forward:
    body, slash, suffix = text.partition("/")
    parts = _split(body)
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
    guest_address = _address(parts.pop(0)) if len(parts) == 2 else None
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
        raise Unreadable(f"{quoted(text)} has a range where one port is due", _RANGES)
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


def _host_address(text: str) -> IPv4Address | IPv6Address:
    if text == "localhost":
        raise Unreadable("`localhost` is a name; an address is due", "write 127.0.0.1, or leave it out")
    return _address(text)


def _address(text: str) -> IPv4Address | IPv6Address:
    """In brackets: of IPv6."""
    return parse_either(text[1:-1]) if text.startswith("[") and ":" in text else parse_address(text)


def _guest_port(text: str) -> int:
    if text == "auto":
        raise Unreadable("`auto` is for the host's port", "say the port that the guest listens on, like auto:22")
    return parse_port(text)

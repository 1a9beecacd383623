"""What a network's server tells beside addresses: routes, time servers, DHCP options, names.

Every value ends up in a line of dnsmasq's configuration, which has no quoting: only plain words get there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import TypeVar

from qlan import names
from qlan.topology.document import Node, Scalar, Sequence
from qlan.topology.reader import Fields
from qlan.topology.scalars import Unreadable, parse_address, parse_address6, parse_domain, parse_subnet, quoted
from qlan.topology.vocabulary import SORTS

K = TypeVar("K")
V = TypeVar("V")

VALUE_MAX = 255  # one option's length is a byte
_VALUE = re.compile(r"[A-Za-z0-9._:/%@+=~?&-]+(?:,[A-Za-z0-9._:/%@+=~?&-]+)*", re.ASCII)
# `dnsmasq --help dhcp`, 2.90: those that a guest can make something of
NAMES = {
    "time-offset": 2, "log-server": 7, "lpr-server": 9, "domain-name": 15, "root-path": 17, "ip-forward-enable": 19,
    "default-ttl": 23, "tcp-ttl": 37, "tcp-keepalive": 38, "nis-domain": 40, "nis-server": 41, "netbios-ns": 44,
    "netbios-dd": 45, "netbios-nodetype": 46, "netbios-scope": 47, "x-windows-fs": 48, "x-windows-dm": 49, "T1": 58,
    "T2": 59, "vendor-class": 60, "tftp-server": 66, "bootfile-name": 67, "smtp-server": 69, "pop3-server": 70,
    "nntp-server": 71, "irc-server": 74, "posix-timezone": 100, "tzdb-timezone": 101, "ipv6-only": 108,
    "domain-search": 119, "sip-server": 120, "tftp-server-address": 150,
}  # fmt: skip
_OURS = {
    1: "the subnet says it", 3: "the kind says it", 6: "`dns:` says it", 26: "write `mtu:` at the network",
    42: "write `ntp:`", 50: "it is the guest's", 51: "write `lease:`", 52: "it is dnsmasq's", 53: "it is dnsmasq's",
    54: "it is dnsmasq's", 55: "it is the guest's", 57: "it is the guest's", 61: "it is the guest's",
    82: "it is a relay's", 121: "write `routes:`",
}  # fmt: skip
_NUMBERS = {"netmask": 1, "router": 3, "dns-server": 6, "mtu": 26, "ntp-server": 42, "classless-static-route": 121}


def read_routes(fields: Fields) -> tuple[tuple[IPv4Network, IPv4Address], ...]:
    """`routes:`, a way a subnet; 0.0.0.0/0 is the way to everything else."""
    return tuple(_pairs(fields, "routes", _parse_destination, parse_address))


def _parse_destination(text: str) -> IPv4Network:
    return IPv4Network(text) if text == "0.0.0.0/0" else parse_subnet(text)


def read_options(fields: Fields) -> tuple[tuple[str, str], ...]:
    """`options:`, by number or name; a list is one value with commas."""
    return tuple(_pairs(fields, "options", parse_option, parse_value, lists=True))


def read_records(fields: Fields) -> tuple[tuple[str, IPv4Address | IPv6Address], ...]:
    """`records:`, an address a name."""
    return tuple(_pairs(fields, "records", lambda text: parse_domain(text).lower(), _parse_either))


def parse_option(text: str) -> str:
    """`66`, `tftp-server` or `option:tftp-server` as dnsmasq wants it."""
    word = text.removeprefix("option:")
    number = int(word) if word.isdecimal() and len(word) <= 3 else _NUMBERS.get(word, NAMES.get(word))
    if number is None or not 1 <= number <= 254:
        guess = names.nearest(word, NAMES)
        hint = f"did you mean `{guess}`?" if guess else "write its number, or a name of `dnsmasq --help dhcp`"
        raise Unreadable(f"there is no DHCP option {quoted(text)}", hint)
    if number in _OURS:
        raise Unreadable(f"option {quoted(text)} is not to be set here", _OURS[number])
    return word if word.isdecimal() else f"option:{word}"


def parse_value(text: str) -> str:
    """One word, or several with commas."""
    if len(text) > VALUE_MAX or not _VALUE.fullmatch(text):
        raise Unreadable(f"{quoted(text)} cannot be an option's value", "write plain words; several as a list")
    return text


def _parse_either(text: str) -> IPv4Address | IPv6Address:
    return parse_address6(text) if ":" in text else parse_address(text)


def _pairs(
    fields: Fields, key: str, parse_key: Callable[[str], K], parse: Callable[[str], V], *, lists: bool = False
) -> list[tuple[K, V]]:
    """lists: a value may be a list, which is one with commas."""
    node = fields.node(key)
    found: list[tuple[K, V]] = []
    if node is None:
        return found
    reader, title = fields.reader, fields.called(key)
    for name, value in reader.pairs(node, title):
        left = reader.scalar(name, title, SORTS[key], parse_key)
        whole = _joined(value) if lists and isinstance(value, Sequence) else value
        right = reader.scalar(whole, f"{quoted(name.text)} of {title}", "a value", parse)
        if left is not None and right is not None:
            found.append((left, right))
    return found


def _joined(node: Sequence) -> Node:
    if not all(isinstance(one, Scalar) for one in node.items):
        return node
    return Scalar(",".join(one.text for one in node.items if isinstance(one, Scalar)), node.mark)

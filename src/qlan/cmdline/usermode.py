"""User-mode networking (`-netdev user`): the addresses its options add up to, and what QEMU refuses of them.

The order and the defaults are those of net/slirp.c: a network alone moves the host (.2), the name server (.3) and the
first lease (.15) with it; saying only one of ipv4= and ipv6= turns the other one off.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from qlan.cmdline.forwards import (
    BadRule,
    GuestForward,
    HostForward,
    parse_guest_forward,
    parse_host_forward,
)
from qlan.cmdline.model import Clause, Fault, Form
from qlan.cmdline.values import parse_bool, parse_ipv4, parse_ipv6, parse_number
from qlan.values import Value

_NAME_BYTES = 255


class UserMode(Value):
    """What the guest of a user-mode NIC sees.  dns: the forwarder's address, not the resolver behind it."""

    ipv4: bool
    ipv6: bool
    network: IPv4Network
    host: IPv4Address
    dns: IPv4Address
    dhcp_start: IPv4Address
    network6: IPv6Network
    host6: IPv6Address
    dns6: IPv6Address
    restrict: bool
    forwards: tuple[HostForward, ...]
    guest_forwards: tuple[GuestForward, ...]


class _Refused(ValueError):
    """key: whose value is at fault."""

    def __init__(self, key: str, what: str, expected: str = "") -> None:
        super().__init__(what)
        self.key = key
        self.expected = expected


def read_user_mode(clause: Clause, version: tuple[int, ...]) -> UserMode:
    """The whole meaning.  The clause must have no faults; ValueError otherwise."""
    ipv4, ipv6 = _families(clause)
    network = _network(clause)
    host, dns, dhcp = _addresses4(clause, network)
    network6, host6, dns6 = _addresses6(clause)
    forwards = tuple(parse_host_forward(rule, version) for rule in clause.values("hostfwd"))
    guest = tuple(parse_guest_forward(rule) for rule in clause.values("guestfwd"))
    return UserMode(
        ipv4, ipv6, network, host, dns, dhcp, network6, host6, dns6, _flag(clause, "restrict") or False, forwards, guest
    )


def check_user_mode(clause: Clause, version: tuple[int, ...]) -> Iterator[Fault]:
    """What QEMU refuses of a clause whose keys and types are right."""
    try:
        ipv4, ipv6 = _families(clause)
        _check_families(clause, ipv4, ipv6)
        network = _network(clause)
        _addresses4(clause, network)
        _address4(clause, "smbserver", 0)
        _addresses6(clause)
        _check_names(clause)
    except _Refused as error:
        setting = clause.setting(error.key)
        index = 0 if setting is None or clause.form is Form.JSON else setting.value_start
        yield Fault(clause.offset(index), f"-{clause.kind}: {error}", error.expected, code="user")
    yield from _check_forwards(clause, version)


def _check_forwards(clause: Clause, version: tuple[int, ...]) -> Iterator[Fault]:
    for setting in clause.settings:
        if setting.key not in ("hostfwd", "guestfwd") or (clause.argument.expands and "$" in setting.value):
            continue
        try:
            if setting.key == "hostfwd":
                parse_host_forward(setting.value, version)
            else:
                parse_guest_forward(setting.value)
        except BadRule as error:
            doubled = setting.value[: error.offset].count(",")
            index = 0 if clause.form is Form.JSON else setting.value_start + error.offset + doubled
            what = f"-{clause.kind}: {setting.key}={setting.value}: {error}"
            yield Fault(clause.offset(index), what, error.expected, error.suggestion, setting.key)


def _flag(clause: Clause, key: str) -> bool | None:
    text = clause.value(key)
    return None if text is None else parse_bool(text)


def _families(clause: Clause) -> tuple[bool, bool]:
    ipv4, ipv6 = _flag(clause, "ipv4"), _flag(clause, "ipv6")
    return (
        not ((ipv6 is True and ipv4 is None) or ipv4 is False),
        not ((ipv4 is True and ipv6 is None) or ipv6 is False),
    )


def _check_families(clause: Clause, ipv4: bool, ipv6: bool) -> None:
    for key in ("net", "ip", "host", "dns"):
        if not ipv4 and clause.value(key) is not None:
            raise _Refused(key, f"{key}= needs IPv4, which is off", "ipv4=on")
    for key in ("ipv6-net", "ipv6-prefix", "ipv6-host", "ipv6-dns"):
        if not ipv6 and clause.value(key) is not None:
            raise _Refused(key, f"{key}= needs IPv6, which is off", "ipv6=on")
    if not ipv4 and not ipv6:
        raise _Refused("ipv4", "IPv4 and IPv6 are both off", "one of them on")


def _network(clause: Clause) -> IPv4Network:
    key = "net" if clause.value("net") is not None else "ip"
    text = clause.value(key)
    if text is None:
        return IPv4Network("10.0.2.0/24")
    if key == "ip":
        text += "/24"
    address, slash, mask = text.partition("/")
    try:
        base = int(parse_ipv4(address[:19] if slash else address))
        width = _width(mask) if slash else _class_width(base)
        return IPv4Network((base & (0xFFFFFFFF << (32 - width)), width))
    except ValueError as error:
        raise _Refused(key, f"{text!r} is no network: {error}", "network/bits, like 10.0.2.0/24") from None


def _width(mask: str) -> int:
    try:
        width = int(mask or "0")
    except ValueError:
        netmask = f"{int(parse_ipv4(mask)):032b}"
        if "01" in netmask:
            raise ValueError("its mask has holes") from None
        return netmask.count("1")
    if not 4 <= width <= 32:
        raise ValueError("from 4 to 32 bits of network are possible")
    return width


def _class_width(base: int) -> int:
    """QEMU's guess where no mask is said: wider than most people expect."""
    if not base & 0x80000000:
        return 8
    if base & 0xFFF00000 == 0xAC100000:
        return 12
    if base & 0xC0000000 == 0x80000000:
        return 16
    if base & 0xFFFF0000 == 0xC0A80000:
        return 16
    if base & 0xFFFF0000 == 0xC6120000:
        return 15
    return 24 if base & 0xE0000000 == 0xE0000000 else 28


def _address4(clause: Clause, key: str, default: int) -> IPv4Address:
    text = clause.value(key)
    if text is None:
        return IPv4Address(default)
    try:
        return parse_ipv4(text)
    except ValueError as error:
        raise _Refused(key, f"{key}={text} is no IPv4 address", str(error)) from None


def _addresses4(clause: Clause, network: IPv4Network) -> tuple[IPv4Address, IPv4Address, IPv4Address]:
    """Host, name server, first lease."""
    base, room = int(network.network_address), int(network.hostmask)
    host = _address4(clause, "host", base | (0x0202 & room))
    if host not in network:
        raise _Refused("host", f"host={host} is not in {network}", f"an address of {network}")
    dns = _address4(clause, "dns", base | (0x0203 & room))
    if _flag(clause, "restrict") and dns not in network:
        raise _Refused("dns", f"dns={dns} is not in {network}, and restrict=on", f"an address of {network}")
    if dns == host:
        raise _Refused("dns", f"host and dns are both {host}", "two addresses")
    dhcp = _address4(clause, "dhcpstart", base | (0x020F & room))
    if dhcp not in network:
        raise _Refused("dhcpstart", f"dhcpstart={dhcp} is not in {network}", f"an address of {network}")
    if dhcp in (host, dns):
        raise _Refused("dhcpstart", f"the first lease {dhcp} is taken by host or dns", "an address of its own")
    return host, dns, dhcp


def _address6(clause: Clause, key: str, default: int) -> IPv6Address:
    text = clause.value(key)
    if text is None:
        return IPv6Address(default)
    try:
        return parse_ipv6(text)
    except ValueError as error:
        raise _Refused(key, f"{key}={text} is no IPv6 address", str(error)) from None


def _addresses6(clause: Clause) -> tuple[IPv6Network, IPv6Address, IPv6Address]:
    """Prefix, host, name server.  `ipv6-net` is short for prefix and length (net/net.c) and comes last."""
    prefix, width, key = clause.value("ipv6-prefix") or "fec0::", 64, "ipv6-prefix"
    if clause.value("ipv6-prefixlen") is not None:
        width = parse_number(clause.value("ipv6-prefixlen") or "") or 64
    short = clause.value("ipv6-net")
    if short is not None:
        key = "ipv6-net"
        prefix, slash, bits = short.partition("/")
        if slash and not (bits.isascii() and bits.isdecimal()):
            raise _Refused(key, f"{bits!r} is no number of bits", "prefix/bits, like fec0::/64")
        width = (int(bits) or 64) if slash else 64
    if not 0 <= width <= 126:
        raise _Refused(key if short else "ipv6-prefixlen", f"a prefix of {width} bits", "0 to 126 bits")
    try:
        base = int(parse_ipv6(prefix))
    except ValueError as error:
        raise _Refused(key, f"{prefix!r} is no IPv6 prefix", str(error)) from None
    network = IPv6Network((base >> (128 - width) << (128 - width), width))
    host = _address6(clause, "ipv6-host", base | 2)
    if clause.value("ipv6-host") is not None and host not in network:
        raise _Refused("ipv6-host", f"ipv6-host={host} is not in {network}", f"an address of {network}")
    dns = _address6(clause, "ipv6-dns", base | 3)
    if clause.value("ipv6-dns") is not None and _flag(clause, "restrict") and dns not in network:
        raise _Refused("ipv6-dns", f"ipv6-dns={dns} is not in {network}, and restrict=on", f"an address of {network}")
    return network, host, dns


def _check_names(clause: Clause) -> None:
    if clause.value("domainname") == "":
        raise _Refused("domainname", "domainname= is empty", "a domain name")
    for key in ("domainname", "hostname", "tftp-server-name"):
        if len((clause.value(key) or "").encode()) > _NAME_BYTES:
            raise _Refused(key, f"{key}= is longer than {_NAME_BYTES} bytes", f"at most {_NAME_BYTES} bytes")

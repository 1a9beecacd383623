"""Scalars as QEMU reads them: booleans, numbers, sizes, addresses.

QEMU reads them with C's strtol, strtoull and inet_aton, so `010` is eight, `0x10` sixteen and `10.2` the address
10.0.0.2; Python's own readers differ in each of these.  Every `parse_` raises ValueError that says what was expected.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

TRUE = ("on", "yes", "true", "y")
FALSE = ("off", "no", "false", "n")

LIMITS = {
    "int": (-(1 << 63), (1 << 63) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int16": (-(1 << 15), (1 << 15) - 1),
    "int8": (-(1 << 7), (1 << 7) - 1),
    "uint64": (0, (1 << 64) - 1),
    "uint32": (0, (1 << 32) - 1),
    "uint16": (0, (1 << 16) - 1),
    "uint8": (0, (1 << 8) - 1),
}

_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)", re.ASCII)
_SIZE = re.compile(
    r"[ \t\n\v\f\r]*\+?(?:(0[xX][0-9a-fA-F]+)|(\d+)(\.\d*)?([eE][+-]?\d+)?)([bBkKmMgGtTpPeE]?)", re.ASCII
)
_SIZE_SHIFT = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}
_MAC = re.compile(r"[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5}", re.ASCII)


def parse_bool(text: str) -> bool:
    """on, yes, true, y; off, no, false, n (qapi/qapi-util.c)."""
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise ValueError("on or off")


def parse_number(text: str) -> int:
    """strtoll with base 0: decimal, 0x hexadecimal, 0 octal; nothing may follow."""
    hit = _NUMBER.fullmatch(text)
    if not hit:
        raise ValueError("a number")
    digits = hit[2]
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10
    value = int(digits, base)
    return -value if hit[1] == "-" else value


def parse_integer(text: str, kind: str) -> int:
    """A number within the limits of `kind` (a key of LIMITS)."""
    low, high = LIMITS[kind]
    try:
        value = parse_number(text)
    except ValueError:
        raise ValueError(f"a number between {low} and {high}" if high < 1 << 32 else "a number") from None
    if not low <= value <= high or (low == 0 and "-" in text):
        raise ValueError(f"a number between {low} and {high}")
    return value


def parse_size(text: str) -> int:
    """Bytes, with k, M, G, T, P or E (powers of 1024) and perhaps a fraction: `1.5G` (util/cutils.c)."""
    hit = _SIZE.fullmatch(text)
    expected = "a size, like 1048576 or 1M"
    if not hit or hit[4]:
        raise ValueError(expected)
    if hit[1]:
        if hit[5]:
            raise ValueError(expected)
        value = int(hit[1], 16)
    else:
        shift = _SIZE_SHIFT[hit[5].lower()]
        if hit[3] and hit[3] != "." and shift == 0 and hit[3].strip(".0"):
            raise ValueError(expected)
        value = (int(hit[2]) << shift) + int(float("0" + (hit[3] or ".0") + "0") * (1 << shift))
    if value >= 1 << 64:
        raise ValueError("a size below 16E")
    return value


def parse_ipv4(text: str) -> IPv4Address:
    """inet_aton: one to four parts, each decimal, 0x or 0 octal; the last part fills what is left."""
    expected = "an IPv4 address"
    parts = re.split(r"[ \t\n\v\f\r]", text, maxsplit=1)[0].split(".")  # glibc ends at white space
    if len(parts) > 4:
        raise ValueError(expected)
    numbers = [parse_number(part) for part in parts if part[:1].isdecimal()]
    if len(numbers) != len(parts) or any(number > 255 for number in numbers[:-1]):
        raise ValueError(expected)
    if numbers[-1] >= 1 << 8 * (5 - len(numbers)):
        raise ValueError(expected)
    value = numbers[-1]
    for index, number in enumerate(numbers[:-1]):
        value |= number << (24 - 8 * index)
    return IPv4Address(value)


def parse_ipv6(text: str) -> IPv6Address:
    """inet_pton: no zone, no prefix length."""
    if "%" in text or "/" in text:
        raise ValueError("an IPv6 address")
    try:
        return IPv6Address(text)
    except ValueError:
        raise ValueError("an IPv6 address") from None


def parse_device_mac(text: str) -> str:
    """`mac=` of -device: six pairs of hex digits (hw/core/qdev-properties-system.c).  Any bit pattern is taken."""
    if not _MAC.fullmatch(text):
        raise ValueError("a MAC address, like 52:54:00:12:34:57")
    return text.lower().replace("-", ":")


def is_multicast_mac(mac: str) -> bool:
    """Whether the first byte is odd; False for what is no address."""
    return _MAC.fullmatch(mac) is not None and int(mac[:2], 16) & 1 == 1


def parse_nic_mac(text: str) -> str:
    """`mac=` of -nic and `macaddr=` of -net nic (net/net.c): six hex numbers, or one number for the last three bytes
    (the first three are 0 then).

    A multicast address is refused there.
    """
    expected = "a MAC address, like 52:54:00:12:34:57"
    try:
        number = parse_number(text or "0")  # strtol takes nothing for 0
    except ValueError:
        number = -1
    if 0 <= number <= 0xFFFFFF:
        octets = [0, 0, 0, number >> 16, number >> 8 & 255, number & 255]
    else:
        parts = re.split("[:-]", text)
        if len(parts) != 6 or not all(re.fullmatch(r"\s*(?:0[xX])?[0-9a-fA-F]+", part) for part in parts):
            raise ValueError(expected)
        octets = [int(part, 16) & 255 for part in parts]
    if octets[0] & 1:
        raise ValueError("a unicast MAC address: the first byte must be even")
    return ":".join(f"{octet:02x}" for octet in octets)


def parse_port(text: str, lowest: int = 0, lax: bool = False) -> int:
    """A port; 0 means "none" or "any" where it is allowed.  lax: whatever follows the digits is passed over."""
    try:
        hit = _NUMBER.match(text) if lax else None
        text = hit[0] if hit else text
        port = parse_number(text)
    except ValueError:
        port = -1
    if not lowest <= port <= 65535:
        raise ValueError(f"a port between {lowest} and 65535")
    return port

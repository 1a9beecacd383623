"""The text of one value -> the value: sizes, times, addresses, words; each error says what to write instead."""

from __future__ import annotations

import re
import shlex
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from qlan import names

PORT_MAX = 65535
PREFIX_MIN, PREFIX_MAX = 8, 30  # /31 and /32 leave no room for a host and a guest beside network and broadcast
LEASE_MIN_S, LEASE_MAX_S = 120, 365 * 86400  # dnsmasq raises shorter leases to two minutes without a word
VLAN_MAX = 4094  # 0 and 4095 are reserved (IEEE 802.1Q)
RATE_MIN_BPS, RATE_MAX_BPS = 8_000, 100_000_000_000  # below it a packet takes seconds
DELAY_MAX_US = 60_000_000
IPV6_MTU_MIN = 1280  # RFC 8200; below it the kernel takes IPv6 off the link
MTU_MIN, MTU_MAX = 576, 65521  # DHCP needs 576 (RFC 2131); a TAP carries 65535 less the Ethernet header

_SHOWN_MAX = 60
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_INTEGER = re.compile(r"[0-9]{1,18}", re.ASCII)
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([KMGT])(?:i?B)?", re.ASCII | re.IGNORECASE)
_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)((?:[kmgt]i?)?)(bit|bps)", re.ASCII | re.IGNORECASE)
_BARE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)
_DELAY = re.compile(rf"({_BARE.pattern}) ?(us|ms|s)", re.ASCII)
_SHARE = re.compile(rf"({_BARE.pattern}) ?%", re.ASCII)
_TIME = re.compile(r"([0-9]{1,9}) ?(s|m|h|d|w)", re.ASCII)
_DOTTED = re.compile(r"[0-9]+(?:\.[0-9]+){3}", re.ASCII)
_DOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*",
                     re.ASCII | re.IGNORECASE)  # fmt: skip
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
_BOOTFILE = re.compile(r"[A-Za-z0-9._/+:-]{1,127}", re.ASCII)  # BOOTP's field has 128 bytes with its NUL
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", re.ASCII)
_GUESTFWD = re.compile(r"tcp:([^:,]*):([0-9]+)-(.+)", re.ASCII)

_TRUE = {"true", "yes", "on"}
_FALSE = {"false", "no", "off"}
_UNITS = {"K": 10, "M": 20, "G": 30, "T": 40}
SECONDS_OF = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Unreadable(ValueError):
    """A text that is no such value.  what: why, without naming the key; hint: what to write instead."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


def quoted(text: str) -> str:
    """A user's text inside a message: one line, not too long, nothing that a terminal would obey."""
    if text.isprintable() and len(text) <= _SHOWN_MAX:  # nearly all, and each name of a big lab is asked for
        return f"`{text}`"
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    if len(shown) > _SHOWN_MAX:
        shown = shown[: _SHOWN_MAX - 3] + "..."
    return f"`{shown}`"


def parse_text(text: str) -> str:
    """Words for a line of their own: no control characters (they would start a new line in somebody's file)."""
    found = _CONTROL.search(text)
    if found:
        raise Unreadable(f"{quoted(text)} holds a control character (U+{ord(found[0]):04X})", "leave it out")
    if not text:
        raise Unreadable("there is nothing between the quotes", "write a value, or leave the key out")
    return text


def parse_word(text: str) -> str:
    """A word of QEMU's (a model, machine, format): letters, digits and `. _ + -`."""
    if not _WORD.fullmatch(text):
        raise Unreadable(f"{quoted(text)} is not a word of letters, digits and `. _ + -`")
    return text


def parse_flag(text: str) -> bool:
    """true or false; yes/no and on/off as well."""
    word = text.lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise Unreadable(f"{quoted(text)} is neither true nor false", "write `true` or `false`")


def parse_integer(text: str, low: int, high: int) -> int:
    """A decimal number from low to high."""
    if not _INTEGER.fullmatch(text):
        raise Unreadable(f"{quoted(text)} is not a whole number", f"write a number from {low} to {high}")
    if not low <= int(text) <= high:
        raise Unreadable(f"{text} is not from {low} to {high}")
    return int(text)


def parse_size(text: str) -> int:
    """`512M`, `1.5G` in bytes; K, M, G, T are powers of 1024, as in QEMU."""
    found = _SIZE.fullmatch(text)
    if not found:
        bare = _INTEGER.fullmatch(text)
        raise Unreadable(
            f"{quoted(text)} has no unit" if bare else f"{quoted(text)} is not a size",
            f"write `{text}M` or `{text}G`" if bare else "write it like `512M` or `1G`",
        )
    number, _, fraction = found[1].partition(".")
    scale: int = 1 << _UNITS[found[2].upper()]
    return int(number) * scale + int(fraction or 0) * scale // int(10 ** len(fraction))


def parse_vlan(text: str) -> int:
    """A VLAN's number."""
    return parse_integer(text, 1, VLAN_MAX)


def parse_vlans(text: str) -> tuple[int, int]:
    """`10`, or `20-30` with both ends."""
    first, dash, last = (part.strip() for part in text.partition("-"))
    ends = parse_vlan(first), parse_vlan(last if dash else first)
    if ends[0] > ends[1]:
        raise Unreadable(f"the range {quoted(text)} ends before it starts", f"write {last}-{first}")
    return ends


def parse_rate(text: str) -> int:
    """`10mbit`, `1.5gbit`, `500kbps` in bits a second, as tc(8) says them: k, m, g, t are powers of 1000, ki, mi, gi,
    ti of 1024; `bps` is bytes.  The kernel counts whole bytes.
    """
    found = _RATE.fullmatch(text)
    if not found:
        hint = (
            f"write `{text}mbit`, say"
            if _INTEGER.fullmatch(text) and int(text)
            else "write it like `10mbit`, `1gbit` or `500kbit`"
        )
        raise Unreadable(f"{quoted(text)} is not a rate", hint)
    unit = found[2].lower()
    scale = (1024 if unit.endswith("i") else 1000) ** ("", "k", "m", "g", "t").index(unit[:1])
    number, _, fraction = found[1].partition(".")
    scaled: int = int(number) * scale + int(fraction or 0) * scale // int(10 ** len(fraction))
    rate_bps = scaled * 8 if found[3].lower() == "bps" else scaled // 8 * 8
    if not RATE_MIN_BPS <= rate_bps <= RATE_MAX_BPS:
        raise Unreadable(f"a rate of {quoted(text)} is not from 8kbit to 100gbit")
    return rate_bps


def parse_delay(text: str) -> int:
    """`50ms`, `1.5s`, `200us` in microseconds: whole tens, and six digits, as tc(8) shows them again."""
    found = _DELAY.fullmatch(text)
    if not found:
        bare = _BARE.fullmatch(text)
        raise Unreadable(
            f"{quoted(text)} has no unit" if bare else f"{quoted(text)} is not a delay",
            f"write `{text}ms`, say" if bare else "write it like `50ms`, `1.5s` or `200us`",
        )
    delay_us = float(found[1]) * {"us": 1, "ms": 1000, "s": 1_000_000}[found[2]]
    if delay_us > DELAY_MAX_US:
        raise Unreadable(f"a delay of {quoted(text)} is more than a minute")
    return int(round(float(f"{delay_us:.6g}"), -1)) if delay_us > 10 else 10 * (delay_us > 0)


def parse_share(text: str) -> int:
    """`1%`, `0.1%` of all frames, in millionths."""
    found = _SHARE.fullmatch(text)
    if not found or float(found[1]) > 100:
        bare = _BARE.fullmatch(text)
        raise Unreadable(
            f"{quoted(text)} has no unit" if bare else f"{quoted(text)} is no share of the frames",
            f"write `{text}%`" if bare else "write it like `1%` or `0.1%`, at most `100%`",
        )
    return round(float(found[1]) * 10_000)


def parse_duration(text: str) -> int:
    """`30m`, `1h`, `2d` in seconds."""
    found = _TIME.fullmatch(text)
    if not found:
        bare = _INTEGER.fullmatch(text)
        raise Unreadable(
            f"{quoted(text)} has no unit" if bare else f"{quoted(text)} is not a time",
            f"write `{text}s` or `{text}m`" if bare else "write it like `30m`, `1h` or `2d`",
        )
    return int(found[1]) * SECONDS_OF[found[2]]


def parse_lease(text: str) -> int:
    """A lease time in seconds, within what dnsmasq keeps to."""
    lease_s = parse_duration(text)
    if not LEASE_MIN_S <= lease_s <= LEASE_MAX_S:
        raise Unreadable(f"a lease of {quoted(text)} is not from two minutes to a year", "write it like `1h`")
    return lease_s


def parse_address(text: str) -> IPv4Address:
    """One IPv4 address."""
    try:
        return IPv4Address(text)
    except ValueError:
        pass
    if ":" in text and _is_ipv6(text):
        raise Unreadable(f"{text} is an IPv6 address; here an IPv4 address is due", "write one like 10.10.10.5")
    if "/" in text:
        address = text.partition("/")[0]
        if _DOTTED.fullmatch(address):
            raise Unreadable(f"{quoted(text)} has a prefix length", f"write `{address}` alone")
    if _DOTTED.fullmatch(text):
        parts = text.split(".")
        if any(len(part) > 1 and part.startswith("0") for part in parts):
            clean = ".".join(part.lstrip("0") or "0" for part in parts)
            raise Unreadable(f"{text} has leading zeros", f"write {clean} if the numbers are decimal")
        raise Unreadable(f"{quoted(text)} is not an IPv4 address: a number is above 255")
    raise Unreadable(f"{quoted(text)} is not an IPv4 address", "write one like 10.10.10.5")


def parse_address6(text: str) -> IPv6Address:
    """One IPv6 address, without a zone."""
    if "%" not in text and _is_ipv6(text):
        return IPv6Address(text)
    if "/" in text and _is_ipv6(text.partition("/")[0]):
        raise Unreadable(f"{quoted(text)} has a prefix length", f"write `{text.partition('/')[0]}` alone")
    if _DOTTED.fullmatch(text):
        raise Unreadable(f"{text} is an IPv4 address; here an IPv6 address is due", "write one like fd00:1::5")
    raise Unreadable(f"{quoted(text)} is not an IPv6 address", "write one like fd00:1::5")


def parse_subnet(text: str) -> IPv4Network:
    """`10.10.10.0/24`: without host bits, from /8 to /30."""
    address, slash, prefix = text.partition("/")
    if not _DOTTED.fullmatch(address):
        raise Unreadable(f"{quoted(text)} is not an IPv4 subnet", "write one like 10.10.10.0/24")
    base = parse_address(address)
    if not slash:
        raise Unreadable(f"{text} has no prefix length", f"write `{IPv4Network(f'{text}/24', strict=False)}`")
    if not re.fullmatch(r"[0-9]{1,2}", prefix, re.ASCII) or int(prefix) > 32:
        raise Unreadable(f"{quoted(text)} has no prefix length from 0 to 32", _prefix_hint(text))
    subnet = IPv4Network(f"{base}/{int(prefix)}", strict=False)
    why = subnet_fault(subnet)
    if why:
        raise why
    if subnet.network_address != base:
        raise Unreadable(f"{text} has host bits set", f"write {subnet}")
    return subnet


def subnet_fault(subnet: IPv4Network) -> Unreadable | None:
    """Why guests cannot live in the subnet, or None."""
    if not PREFIX_MIN <= subnet.prefixlen <= PREFIX_MAX:
        size = "large" if subnet.prefixlen < PREFIX_MIN else "small"
        return Unreadable(
            f"{subnet} is too {size}: /{PREFIX_MIN} to /{PREFIX_MAX} is possible", "a /24 suits most labs"
        )
    for flag, words in (
        ("is_loopback", "is loopback"),
        ("is_multicast", "is for multicast"),
        ("is_reserved", "is reserved"),
    ):
        if getattr(subnet, flag):
            return Unreadable(f"{subnet} {words}: no guest can have an address in it", "write one like 10.10.10.0/24")
    if subnet.network_address in IPv4Network("0.0.0.0/8"):
        return Unreadable(f"{subnet} is reserved: no guest can have an address in it", "write one like 10.10.10.0/24")
    return None


def parse_range(text: str) -> tuple[IPv4Address, IPv4Address]:
    """`10.10.10.2-10.10.10.100`, both ends included."""
    first, dash, last = (part.strip() for part in text.partition("-"))
    if not dash or not first or not last:
        raise Unreadable(f"{quoted(text)} is not a range", "write it like 10.10.10.100-10.10.10.200")
    ends = parse_address(first), parse_address(last)
    if ends[0] > ends[1]:
        raise Unreadable(f"the range {quoted(text)} ends before it starts", f"write {last}-{first}")
    return ends


def parse_ipv6_prefix(text: str) -> IPv6Network:
    """`fd00:1::/64`, without host bits."""
    address, slash, prefix = text.partition("/")
    if not slash or not _is_ipv6(address) or not re.fullmatch(r"[0-9]{1,3}", prefix, re.ASCII) or "%" in address:
        raise Unreadable(f"{quoted(text)} is not an IPv6 prefix", "write one like fd00:1::/64")
    if int(prefix) > 126:
        raise Unreadable(f"/{int(prefix)} is too small: QEMU takes up to /126", "write one like fd00:1::/64")
    network = IPv6Network(f"{address}/{int(prefix)}", strict=False)
    if network.network_address != IPv6Address(address):
        raise Unreadable(f"{text} has host bits set", f"write {network}")
    return network


def parse_mac(text: str) -> str:
    """Any usual spelling of a NIC's MAC to `aa:bb:cc:dd:ee:ff`."""
    try:
        return names.parse_mac(text)
    except ValueError as error:
        if not re.fullmatch(r"[0-9A-Fa-f:.-]{1,40}", text, re.ASCII):
            raise Unreadable(
                f"{quoted(text)} is not a MAC address", "write six pairs like 52:54:00:12:34:57"
            ) from error
        raise Unreadable(str(error)) from error


def parse_domain(text: str) -> str:
    """A domain name: what a DHCP reply can carry and a resolver takes."""
    if not _DOMAIN.fullmatch(text):
        raise Unreadable(f"{quoted(text)} is not a domain name", "write labels of a-z, 0-9 and `-`, like lab.example")
    return text


def parse_hostname(text: str) -> str:
    """A name for a guest: one DNS label."""
    if not names.is_name(text):
        raise Unreadable(f"{quoted(text)} is not a host name", "write a-z, 0-9 and `-`, at most 32, like web-1")
    return text


def parse_interface(text: str) -> str:
    """The name of a network interface, as the kernel and every file we write it into take it."""
    if len(text) > names.INTERFACE_NAME_MAX:
        raise Unreadable(f"{quoted(text)} has {len(text)} letters; the kernel takes {names.INTERFACE_NAME_MAX}")
    if not _INTERFACE.fullmatch(text) or not names.fits_interface(text):
        raise Unreadable(f"{quoted(text)} is not an interface name", "write letters, digits and `- _ .`, like br-lan")
    return text


def parse_bootfile(text: str) -> str:
    """A file name as BOOTP carries it."""
    if not _BOOTFILE.fullmatch(text):
        raise Unreadable(f"{quoted(text)} is not a boot file's name", "write a path of plain letters, like pxelinux.0")
    return text


def parse_guestfwd(text: str) -> str:
    """QEMU's own words, `tcp:10.0.2.100:1234-cmd:netcat 10.1.1.1 80` or `tcp:10.0.2.100:1234-CHARDEV`."""
    parse_text(text)
    found = _GUESTFWD.fullmatch(text)
    if not found:
        raise Unreadable(f"{quoted(text)} is not QEMU's guestfwd", "write it like tcp:10.0.2.100:1234-cmd:cat")
    parse_address(found[1])
    parse_integer(found[2], 1, PORT_MAX)
    return text


def parse_words(text: str) -> tuple[str, ...]:
    """A line split into words as a shell does it (quotes, backslashes), with nothing expanded."""
    if "\0" in text:
        raise Unreadable(f"{quoted(text)} holds a NUL character", "leave it out")
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise Unreadable(f"{quoted(text)} cannot be split into words: quotes are not closed") from error


def _prefix_hint(text: str) -> str:
    try:
        return f"write {IPv4Network(text, strict=False)}"  # with a netmask
    except ValueError:
        return "write one like 10.10.10.0/24"


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True

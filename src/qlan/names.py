"""Names: interface names that fit the kernel, MAC addresses that are ours, ids that are safe in every file we write.

A name that passes `is_name` needs no quoting in a shell, an `ip -batch` line, a dnsmasq file, a QEMU option or a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

try:  # hashlib's own; by way of hashlib it takes OpenSSL along, 4 ms of every verb
    from _blake2 import blake2s
except ImportError:
    from hashlib import blake2s

MARK = "qlan"  # the first word of the alias of a link of ours
QDISC_HANDLE = 0x716C  # "ql": the number of a queueing discipline of ours; the next two too, in and over another
NETEM_HANDLE = QDISC_HANDLE + 1
BUCKET_IN_NETEM = QDISC_HANDLE + 2
MODEL_ALIASES = {"virtio": "virtio-net-pci", "ne2k": "ne2k_pci", "usb": "usb-net"}  # as people say them -> as QEMU does
INTERFACE_NAME_MAX = 15  # IFNAMSIZ - 1, linux/if.h
LINK_GROUPS = 0x716C_0000, 0x716C_FFFF  # the link groups of labs: "ql" and 16 bits
GOING = 0x0001_0000  # what is added to the group of a lab's links that go, so that they go together
ANSWER = 0x0001_0000  # the mark of what guests answer to callers whose address the relay has taken
NAME_MAX = 32  # labs, networks, guests: so that paths of sockets stay under sockaddr_un's 108 bytes

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}", re.ASCII)


def device_name(model: str) -> str:
    """QEMU's device for a model as users say it (`virtio` is `virtio-net-pci`)."""
    return MODEL_ALIASES.get(model, model)


def bracketed(address: object) -> str:
    """An address before a colon: of IPv6 in brackets."""
    return f"[{address}]" if ":" in str(address) else str(address)


def endpoint(address: object, port: object) -> str:
    """`127.0.0.1:80`, `[::1]:80`."""
    return f"{bracketed(address)}:{port}"


def is_name(text: str) -> bool:
    """Whether text is a DNS label (RFC 1123: a-z 0-9 -, not at the ends) of at most NAME_MAX letters."""
    return len(text) <= NAME_MAX and _NAME.fullmatch(text) is not None


def digest(*salt: str, size: int) -> bytes:
    """So many bytes, the same for the same words (RFC 7693's BLAKE2s of them)."""
    return digest_of("\0".join(salt).encode(), size=size)


def digest_of(data: bytes, *, size: int) -> bytes:
    """The same of any data."""
    return blake2s(data, digest_size=size).digest()


def interface_name(stem: str, salt: str) -> str:
    """A kernel interface name that says where it belongs and is unique on the machine.

    stem: what a reader should recognise (a name, perhaps with a number).  salt: what makes it unique (lab and key).
    """
    tail = "-" + digest(salt, size=3).hex()[:5]
    return stem[: INTERFACE_NAME_MAX - len(tail)].rstrip("-.") + tail


def fits_interface(name: str) -> bool:
    """Whether the kernel takes the name as it is (dev_valid_name in net/core/dev.c)."""
    return 0 < len(name) <= INTERFACE_NAME_MAX and name not in (".", "..", "lo", "all", "default") and "/" not in name


def derived_mac(*salt: str) -> str:
    """The same words give the same MAC: unicast, locally administered (0x52), 40 bits of hash."""
    return ":".join(f"{byte:02x}" for byte in (0x52, *digest(*salt, size=5)))


def parse_mac(text: str) -> str:
    """Any usual spelling to `aa:bb:cc:dd:ee:ff`; ValueError says why it cannot be a NIC's address."""
    mac = text.strip().lower().replace("-", ":")
    if not _MAC.fullmatch(mac):
        raise ValueError(f"{text!r} is not a MAC address: six pairs of hex digits, like 52:54:00:12:34:57")
    if int(mac[:2], 16) & 1:
        raise ValueError(f"{mac} is a multicast address: a NIC's first byte must be even (52:... will do)")
    if mac == "00:00:00:00:00:00":
        raise ValueError("00:00:00:00:00:00 is no NIC's address")
    return mac


def interface_id(mac: str) -> int:
    """The lower 64 bits of the IPv6 address that a NIC makes of its MAC (RFC 4291, appendix A)."""
    first, second, third, *rest = (int(byte, 16) for byte in mac.split(":"))
    return int.from_bytes(bytes([first ^ 2, second, third, 0xFF, 0xFE, *rest]))


def link_group(lab: str) -> int:
    """The link group (`ip link ... group N`) of a lab's interfaces: 0x716c ("ql") and 16 bits of the lab's name."""
    import zlib  # 16 bits cannot be unique anyway

    return LINK_GROUPS[0] | zlib.crc32(lab.encode()) & 0xFFFF


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or ""."""
    import difflib

    found = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else ""


def user_gateway(host: IPv4Address | None, subnet: IPv4Network | None) -> IPv4Address:
    """The host as a guest of user-mode networking knows it: as said, else the second address (slirp's net/slirp.c)."""
    return host or (subnet or IPv4Network("10.0.2.0/24")).network_address + 2

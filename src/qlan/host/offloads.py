"""What a link takes unfinished, for whom it hands it to to finish: what `ethtool -k` shows (linux/ethtool.h)."""

from __future__ import annotations

import fcntl
import socket
import struct
from array import array
from collections.abc import Iterable, Mapping
from contextlib import suppress

from qlan.host.namespace import open_inside

_SIOCETHTOOL = 0x8946
_GSTRINGS, _GSSET_INFO, _GFEATURES, _SS_FEATURES = 0x1B, 0x37, 0x3A, 4
_STRING_BYTES = 32
# The kernel's names of what a guest's driver can agree to (drivers/net/tun.c, set_offload), in the usual terms.
WORDS = {
    "tx-checksum-ip-generic": "checksum",
    "tx-tcp-segmentation": "TSO",
    "tx-tcp6-segmentation": "TSO6",
    "tx-udp-segmentation": "USO",
}


def read(pid: int | None, links: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """By link of the namespaces of a process (None: here): those of WORDS that are on.  OSError.

    One that is gone is not among them.
    """
    found: dict[str, tuple[str, ...]] = {}
    [fd] = open_inside(pid, lambda: [socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC).detach()])
    with socket.socket(fileno=fd) as asked:  # it stays one of the namespace in which it was made
        for link in links:
            with suppress(OSError):
                on = _active(asked, link)
                found[link] = tuple(word for name, word in WORDS.items() if name in on)
    return found


def _active(asked: socket.socket, link: str) -> set[str]:
    count = struct.unpack_from("I", _ask(asked, link, struct.pack("IIQI", _GSSET_INFO, 0, 1 << _SS_FEATURES, 0)), 16)[0]
    head = struct.pack("III", _GSTRINGS, _SS_FEATURES, count)
    strings = _ask(asked, link, head + bytes(count * _STRING_BYTES))[len(head) :]
    blocks = -(-count // 32)
    bits = _ask(asked, link, struct.pack("II", _GFEATURES, blocks) + bytes(blocks * 16))
    active = [struct.unpack_from("I", bits, 8 + block * 16 + 8)[0] for block in range(blocks)]  # the third of four
    names = [strings[start : start + _STRING_BYTES] for start in range(0, len(strings), _STRING_BYTES)]
    return {name.rstrip(b"\0").decode() for bit, name in enumerate(names) if active[bit // 32] >> bit % 32 & 1}


def _ask(asked: socket.socket, link: str, question: bytes) -> bytes:
    """What the kernel makes of it in its place."""
    answer = array("B", question)
    fcntl.ioctl(asked, _SIOCETHTOOL, struct.pack("16sP", link.encode(), answer.buffer_info()[0]))
    return answer.tobytes()

"""Callers' own addresses: towards a guest the relay's socket has its caller's (IP_TRANSPARENT, ip(7)).

What the guest answers is sent to the caller, and would be routed on to him.  The network's table marks it (`mark`), and
a rule leads what is marked to a table of routes in which every address is one of this namespace's own: so it comes to
the relay's socket.  All of it is in the lab's namespace, in which the relay has the rights that this takes.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

IDLE_S = 120.0  # of UDP: RFC 4787, REQ-5: not less than two minutes
_TRANSPARENT = {socket.AF_INET: (socket.IPPROTO_IP, 19), socket.AF_INET6: (socket.IPPROTO_IPV6, 75)}  # linux/in*.h
_PORT_LATER = (socket.IPPROTO_IP, 24)  # IP_BIND_ADDRESS_NO_PORT, for both: the port is picked in connect
_NEW_ROUTE, _NEW_RULE = 24, 32  # linux/rtnetlink.h
_FLAGS = 0x1 | 0x4 | 0x200 | 0x400  # NLM_F_REQUEST, _ACK, _EXCL, _CREATE
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_WORD = struct.Struct("=HHI")  # struct nlattr with a number
_RULE_TO_TABLE = struct.pack("=6xB4x", 1)  # struct fib_rule_hdr after its family: FR_ACT_TO_TBL
_LOCAL_ROUTE = struct.pack("=4xBBB4x", 4, 254, 2)  # struct rtmsg likewise: RTPROT_STATIC, RT_SCOPE_HOST, RTN_LOCAL
_FRA_PRIORITY, _FRA_MARK, _FRA_TABLE, _FRA_MASK = 6, 10, 15, 16
_BEFORE_MAIN = 32000  # said, or the kernel would not know a second one for the same
_RTA_OIF, _RTA_TABLE = 4, 15
_LOOPBACK = 1  # the number of `lo` in every namespace
_UNANSWERED = Path("/proc/sys/net/netfilter/nf_conntrack_udp_timeout")  # of this namespace: which datagrams are answers


class Kept:
    """Whose address is kept: everybody's but of some networks (`10.1.0.0/24`), which a guest answers elsewhere."""

    def __init__(self, but: Iterable[str]) -> None:
        self._but = [_range(text) for text in but]

    def __contains__(self, address: str) -> bool:
        number, bits = _number(address)
        return not any(bits == its_bits and number >> shift == prefix for prefix, shift, its_bits in self._but)


def lead_home(family: int, mark: int) -> bool:
    """Have what is marked come to this namespace's sockets, whoever it is for; False if that is not to be had here.

    Answers to datagrams are known as such for IDLE_S, as long as the relay waits for them, and not for half a minute.
    """
    rule = [(_FRA_PRIORITY, _BEFORE_MAIN), (_FRA_MARK, mark), (_FRA_MASK, mark), (_FRA_TABLE, mark)]
    route = [(_RTA_OIF, _LOOPBACK), (_RTA_TABLE, mark)]
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
            for kind, rest, words in ((_NEW_ROUTE, _LOCAL_ROUTE, route), (_NEW_RULE, _RULE_TO_TABLE, rule)):
                body = bytes([family]) + rest + b"".join(_WORD.pack(_WORD.size, *word) for word in words)
                kernel.send(_HEADER.pack(_HEADER.size + len(body), kind, _FLAGS, 1, 0) + body)
                (code,) = struct.unpack_from("=i", kernel.recv(4096), _HEADER.size)  # struct nlmsgerr
                if code not in (0, -errno.EEXIST):
                    return False
        with suppress(OSError):
            _UNANSWERED.write_text(str(int(IDLE_S)), encoding="ascii")
    except OSError:
        return False
    return True


def take_address(one: socket.socket, caller: tuple[str, int], *, port: bool) -> bool:
    """Give a socket its caller's address, and his port if it is free; False: it has neither.  port: whether to try."""
    address, number = caller[:2]
    try:
        one.setsockopt(*_TRANSPARENT[one.family], 1)
        if port:
            if one.type == socket.SOCK_STREAM:  # he may call several guests from one port; for datagrams that is taken
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                one.bind((address, number))
                return True
        one.setsockopt(*_PORT_LATER, 1)
        one.bind((address, 0))
    except OSError:
        return False
    return True


def _range(text: str) -> tuple[int, int, int]:
    """The first bits of a network as a number, how many bits are behind them, and how many an address has."""
    address, _, length = text.partition("/")
    number, bits = _number(address)
    shift = bits - int(length)
    return number >> shift, shift, bits


def _number(address: str) -> tuple[int, int]:
    """An address and how many bits such a one has.  ValueError, OSError: it is none."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address.partition("%")[0])
    return int.from_bytes(packed, "big"), 8 * len(packed)

"""Callers' own addresses: towards a guest the relay's socket has its caller's (IP_TRANSPARENT, ip(7)).

What the guest answers is sent to the caller, and would be routed on to him.  So the socket marks what it sends
(SO_MARK), the network's table remembers the mark with the connection and marks the guest's answers in it
(render/packet.py), and a rule leads what has the mark and comes by the network's bridge to a table of routes in which
every address is one of this namespace's own.  All of it is in the lab's namespace, where the relay has the rights.
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
_OF_SERVERS = (67, 68, 546, 547)  # of DHCP: they hear on all addresses, and could not start beside such a socket
_NEW_ROUTE, _NEW_RULE = 24, 32  # linux/rtnetlink.h
_RULE_TO_TABLE = struct.pack("=6xB4x", 1)  # struct fib_rule_hdr after its family: FR_ACT_TO_TBL
_LOCAL_ROUTE = struct.pack("=4xBBB4x", 4, 254, 2)  # struct rtmsg likewise: RTPROT_STATIC, RT_SCOPE_HOST, RTN_LOCAL
_FRA_IIFNAME, _FRA_PRIORITY, _FRA_MARK, _FRA_TABLE, _FRA_MASK = 3, 6, 10, 15, 16
_BEFORE_MAIN = 32000  # said, or the kernel would not know a second one for the same
_RTA_OIF, _RTA_TABLE = 4, 15
_LOOPBACK = 1  # the number of `lo` in every namespace
_NETFILTER = 12  # NETLINK_NETFILTER
_FORGET = (1 << 8) | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE
_CTA_TUPLE, _CTA_MARK, _CTA_MASK = 1, 8, 21
_CTA_IP, _CTA_PROTO = 1, 2
_CTA_IPS = {socket.AF_INET: (1, 2), socket.AF_INET6: (3, 4)}  # source and target
_CTA_NUMBER, _CTA_PORTS = 1, (2, 3)
_NESTED = 0x8000
_REQUEST, _EXCLUSIVE = 0x1 | 0x4, 0x200 | 0x400  # NLM_F_REQUEST and _ACK; NLM_F_EXCL and _CREATE
_UNANSWERED = Path("/proc/sys/net/netfilter/nf_conntrack_udp_timeout")  # of this namespace: which datagrams are answers


class Kept:
    """Whose address is kept: everybody's but of some networks (`10.1.0.0/24`), which a guest answers elsewhere.

    mark: what the sockets have that take it.
    """

    def __init__(self, but: Iterable[str], mark: int) -> None:
        self.mark = mark
        self._but = [_range(text) for text in but]

    def __contains__(self, address: str) -> bool:
        number, bits = _number(address)
        return not any(bits == its_bits and number >> shift == prefix for prefix, shift, its_bits in self._but)

    def take(self, one: socket.socket, caller: tuple[str, int], *, port: bool) -> bool:
        """Give a socket its caller's address, and his port if it is free; False: neither.  port: whether to try it."""
        address, number = caller[:2]
        try:
            one.setsockopt(*_TRANSPARENT[one.family], 1)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, self.mark)
            is_tcp = one.type == socket.SOCK_STREAM
            if port and (is_tcp or number not in _OF_SERVERS):
                if is_tcp:  # he may call several guests from one port; of datagrams each socket gets all
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with suppress(OSError):
                    one.bind((address, number))
                    return True
            one.setsockopt(*_PORT_LATER, 1)
            one.bind((address, 0))
        except OSError:
            return False
        return True


class Homeward:
    """The way of guests' answers to the relay's sockets, in this namespace."""

    def __init__(self) -> None:
        self._led: dict[tuple[int, str], bool] = {}

    def leads(self, family: int, link: str, mark: int) -> bool:
        """Have what is marked and comes by the link come to sockets here, whoever it is for; False: not to be had.

        Answers to datagrams are known as such for IDLE_S, as long as the relay waits for them, and not for half a
        minute.  What a relay before has left is forgotten: nobody hears it.
        """
        if not self._led:
            with suppress(OSError):
                _UNANSWERED.write_text(str(int(IDLE_S)), encoding="ascii")
                _ask(_NETFILTER, _FORGET, _REQUEST, bytes(4) + _big(_CTA_MARK, mark) + _big(_CTA_MASK, mark))
        if (family, link) not in self._led:
            self._led[family, link] = _lead(family, link, mark)
        return self._led[family, link]


def _lead(family: int, link: str, mark: int) -> bool:
    named = _attribute(_FRA_IIFNAME, link.encode() + b"\0")
    numbers = ((_FRA_PRIORITY, _BEFORE_MAIN), (_FRA_MARK, mark), (_FRA_MASK, mark), (_FRA_TABLE, mark))
    rule = bytes([family]) + _RULE_TO_TABLE + named + b"".join(_number_of(*one) for one in numbers)
    route = bytes([family]) + _LOCAL_ROUTE + _number_of(_RTA_OIF, _LOOPBACK) + _number_of(_RTA_TABLE, mark)
    try:
        for kind, body in ((_NEW_ROUTE, route), (_NEW_RULE, rule)):
            if _ask(socket.NETLINK_ROUTE, kind, _REQUEST | _EXCLUSIVE, body) not in (0, errno.EEXIST):
                return False
    except OSError:
        return False
    return True


def forget(one: socket.socket) -> None:
    """A connected socket of UDP that goes: what the guest still sends to its caller is not for us any more."""
    with suppress(OSError):
        ends = [end[:2] for end in (one.getsockname(), one.getpeername())]
        ips = zip(_CTA_IPS[one.family], (socket.inet_pton(one.family, address) for address, _ in ends), strict=True)
        ports = zip(_CTA_PORTS, (struct.pack(">H", port) for _, port in ends), strict=True)
        proto = _attribute(_CTA_NUMBER, bytes([socket.IPPROTO_UDP]))
        inner = _attribute(_CTA_IP | _NESTED, b"".join(_attribute(*each) for each in ips))
        inner += _attribute(_CTA_PROTO | _NESTED, proto + b"".join(_attribute(*each) for each in ports))
        _ask(_NETFILTER, _FORGET, _REQUEST, bytes([one.family, 0, 0, 0]) + _attribute(_CTA_TUPLE | _NESTED, inner))


def _ask(protocol: int, kind: int, flags: int, body: bytes) -> int:
    """Have the kernel do something (netlink(7)); the error's number, 0: it is done.  OSError: nobody can be asked."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as kernel:
        kernel.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        (code,) = struct.unpack_from("=i", kernel.recv(4096), 16)  # struct nlmsgerr
    return -int(code)


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _number_of(kind: int, number: int) -> bytes:
    return _attribute(kind, struct.pack("=I", number))


def _big(kind: int, number: int) -> bytes:
    return _attribute(kind, struct.pack(">I", number))


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

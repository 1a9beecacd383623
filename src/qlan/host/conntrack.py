"""The kernel's table of connections: those that it leads to a guest, counted and forgotten (ctnetlink).

By netlink itself, nfnetlink_conntrack.h of the kernel: conntrack(8) is not installed everywhere, and can say neither a
subnet nor a port on both sides in one go.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from qlan.errors import Denied, HostError
from qlan.render.command import Disconnect
from qlan.values import Value

_NETLINK_NETFILTER = 12
_GET, _DELETE = (1 << 8) | 1, (1 << 8) | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET and _DELETE
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_TUPLE_ORIGINAL, _TUPLE_REPLY, _STATUS, _PROTOINFO, _ID = 1, 2, 3, 4, 12  # CTA_*
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_IP_SOURCES, _IP_TARGETS = (1, 3), (2, 4)  # CTA_IP_V4_SRC and V6, _DST
_PROTO_NUMBER, _PROTO_SOURCE_PORT, _PROTO_TARGET_PORT = 1, 2, 3
_INFO_TCP, _TCP_STATE, _LAST_ACK = 1, 1, 6  # what follows that state is over
_LED = 0x20  # IPS_DST_NAT
_NESTED, _TYPE = 0x8000, 0x3FFF
_PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp"}
_NOT_THERE = 2  # ENOENT

Address = IPv4Address | IPv6Address
Attributes = dict[int, bytes]


class Led(Value):
    """A connection that the kernel leads elsewhere.  host: what the caller asked for; guest: who answers.

    is_open: not one of TCP that has ended, and is only remembered.
    """

    protocol: str
    host: Address
    host_port: int
    guest: Address
    guest_port: int
    is_open: bool
    _family: int
    _name: bytes  # its tuple and id, as the kernel says them

    def is_of(self, one: Disconnect) -> bool:
        """Whether it goes through such a port."""
        return (
            self.protocol == one.protocol
            and one.host_port in (0, self.host_port)
            and one.guest_port in (0, self.guest_port)
            and one.host_address in ("", str(self.host))
            and self.guest in ip_network(one.guest)
        )


def read() -> list[Led]:
    """All that are led, in this network namespace; none where the kernel has no such table.  HostError."""
    found = []
    with _channel() as channel:
        for family, attributes in _ask(channel, _message(_GET, _REQUEST | _DUMP, socket.AF_UNSPEC, b"")):
            if one := _parse(family, attributes):
                found.append(one)
    return found


def disconnect(commands: Sequence[Disconnect]) -> None:
    """Forget those of these ports; what has ended meanwhile is fine."""
    doomed = [one for one in read() if any(one.is_of(command) for command in commands)]
    with _channel() as channel:
        for one in doomed:
            for _ in _ask(channel, _message(_DELETE, _REQUEST | _ACK, one._family, one._name)):
                pass


def _channel() -> socket.socket:
    channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    channel.settimeout(10)
    channel.bind((0, 0))
    return channel


def _message(kind: int, flags: int, family: int, attributes: bytes) -> bytes:
    body = struct.pack("=BBH", family, 0, 0) + attributes  # nfgenmsg
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def _ask(channel: socket.socket, message: bytes) -> Iterator[tuple[int, Attributes]]:
    """The answers, each its family and attributes, until the kernel says that it was all."""
    channel.send(message)
    while True:
        data = channel.recv(1 << 17)
        while len(data) >= 16:
            length, kind = struct.unpack_from("=IH", data)
            if kind == _DONE:
                return
            if kind == _ERROR:
                _check(-struct.unpack_from("=i", data, 16)[0])
                return
            yield data[16], _attributes(data[20:length])
            data = data[(length + 3) & ~3 :]


def _check(code: int) -> None:
    if code in (0, _NOT_THERE):
        return
    what = f"the kernel does not tell which connections it leads: {os.strerror(code)}"
    raise Denied(what, hint="as root") if code == 1 else HostError(what)


def _attributes(data: bytes) -> Attributes:
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            break
        found[kind & _TYPE] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


def _parse(family: int, attributes: Attributes) -> Led | None:
    (status,) = struct.unpack(">I", attributes.get(_STATUS, bytes(4)))
    if not status & _LED:
        return None
    asked, answers = (_attributes(attributes[one]) for one in (_TUPLE_ORIGINAL, _TUPLE_REPLY))
    protocol = _PROTOCOLS.get(_attributes(asked[_TUPLE_PROTO])[_PROTO_NUMBER][0])
    if protocol is None:
        return None
    name = struct.pack("=HH", 4 + len(attributes[_TUPLE_ORIGINAL]), _TUPLE_ORIGINAL | _NESTED)
    name += attributes[_TUPLE_ORIGINAL] + struct.pack("=HH", 8, _ID) + attributes[_ID]
    return Led(
        protocol,
        *(_address(asked, _IP_TARGETS), _port(asked, _PROTO_TARGET_PORT)),
        *(_address(answers, _IP_SOURCES), _port(answers, _PROTO_SOURCE_PORT)),
        _is_open(attributes),
        family,
        name,
    )


def _is_open(attributes: Attributes) -> bool:
    tcp = _attributes(attributes.get(_PROTOINFO, b"")).get(_INFO_TCP)
    return tcp is None or _attributes(tcp)[_TCP_STATE][0] < _LAST_ACK


def _address(tuple_: Attributes, kinds: tuple[int, int]) -> Address:
    inner = _attributes(tuple_[_TUPLE_IP])
    return ip_address(next(inner[kind] for kind in kinds if kind in inner))


def _port(tuple_: Attributes, kind: int) -> int:
    return int.from_bytes(_attributes(tuple_[_TUPLE_PROTO])[kind], "big")


if __name__ == "__main__":  # for the scripts of `qlan plan --script`: PROTOCOL GUEST GUEST-PORT HOST-ADDRESS HOST-PORT
    _, _said, _guest, _inner, _host, _outer = sys.argv
    disconnect([Disconnect(_said, _guest, int(_inner), _host, int(_outer))])

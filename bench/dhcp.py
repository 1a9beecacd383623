"""A DHCP client that is many guests at once: frames on a packet socket (RFC 2131, RFC 2132), one MAC a guest."""

from __future__ import annotations

import random
import select
import socket
import struct
import time
from dataclasses import dataclass, field

from qlan.host.dhcp_probe import checksum, options

_ETH_IP = 0x0800
_BROADCAST = b"\xff" * 6
_COOKIE = b"\x63\x82\x53\x63"
_DISCOVER, _OFFER, _REQUEST, _ACK = 1, 2, 3, 5
_TYPE, _ADDRESS, _SERVER, _END = 53, 50, 54, 255
_BOOTP = struct.Struct("!4BIHH4s4s4s4s16s64s128s")
_FIRST_OPTION = _BOOTP.size + len(_COOKIE)
_HEADERS = 14 + 20 + 8
_ALL_ASK_IN_S = 0.05


@dataclass(slots=True)
class Guests:
    """Guests that nobody has seen before, on one link.  leased: seconds from the first DISCOVER to each one's ACK."""

    link: str
    count: int
    leased: dict[int, float] = field(default_factory=dict)
    macs: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for _ in range(self.count):
            self.macs[random.getrandbits(32)] = b"\x52\x54" + random.randbytes(4)

    def lease(self, wanted: int, time_limit_s: float, again_s: float = 4.0) -> float:
        """How long until `wanted` of them have an address; those without ask again as clients do.  TimeoutError."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_IP)) as wire:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            wire.bind((self.link, _ETH_IP))
            start = time.perf_counter()
            round_, waiting = start, list(self.macs)
            while len(self.leased) < wanted:
                now = time.perf_counter()
                if now - start > time_limit_s:
                    raise TimeoutError(f"{len(self.leased)} of {wanted} have an address after {time_limit_s:g} s")
                if not waiting and now - round_ >= again_s:
                    round_, waiting = now, [number for number in self.macs if number not in self.leased]
                # All of them in 50 ms, one after the other.
                while waiting and (now - round_) / _ALL_ASK_IN_S >= 1 - len(waiting) / self.count:
                    wire.send(self._frame(waiting.pop(), _DISCOVER))
                if select.select([wire], [], [], _ALL_ASK_IN_S / self.count)[0]:
                    self._answer(wire, wire.recv(2048), start)
            return max(self.leased.values())

    def _answer(self, wire: socket.socket, frame: bytes, start: float) -> None:
        if len(frame) < _HEADERS + _FIRST_OPTION or frame[23] != socket.IPPROTO_UDP or frame[36:38] != b"\0\x44":
            return
        message = frame[_HEADERS:]
        number, given = int.from_bytes(message[4:8], "big"), message[16:20]
        told = options(message[_FIRST_OPTION:])
        kind = told.get(_TYPE, b"\0")[0]
        if number not in self.macs:
            return
        if kind == _OFFER:
            wire.send(self._frame(number, _REQUEST, ((_ADDRESS, given), (_SERVER, told.get(_SERVER, b"")))))
        elif kind == _ACK:
            self.leased.setdefault(number, time.perf_counter() - start)

    def _frame(self, number: int, kind: int, more: tuple[tuple[int, bytes], ...] = ()) -> bytes:
        mac, none = self.macs[number], b"\0" * 4
        bootp = _BOOTP.pack(1, 1, 6, 0, number, 0, 0x8000, none, none, none, none, mac, b"", b"")
        said = b"".join(bytes((code, len(value))) + value for code, value in ((_TYPE, bytes((kind,))), *more))
        message = (bootp + _COOKIE + said + bytes((_END,))).ljust(300, b"\0")
        udp = struct.pack("!4H", 68, 67, 8 + len(message), 0)
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(message), 0, 0, 64, 17, 0, none, b"\xff" * 4)
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        return _BROADCAST + mac + struct.pack("!H", _ETH_IP) + head + udp + message

"""Captured packets as bytes of files: pcapng out (draft-ietf-opsawg-pcapng), pcap in (as filter-dump writes it)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from qlan.values import Value

SNAP_BYTES = 262144  # the longest packet that is kept whole, tcpdump's own default

_SECTION, _INTERFACE, _PACKET, _BYTE_ORDER = 0x0A0D0D0A, 1, 6, 0x1A2B3C4D
_ETHERNET = 1  # LINKTYPE_ETHERNET
_END, _IF_NAME, _IF_TSRESOL, _EPB_FLAGS, _USER_APPLICATION = 0, 2, 9, 2, 4
_NANOSECONDS = b"\x09"
_PCAP_HEAD, _PCAP_RECORD = 24, 16
_PCAP_MAGIC = 0xA1B2C3D4  # microseconds


class Packet(Value):
    """One frame.  length: on the wire, data may be cut.  to_guest: its direction, None: not known."""

    interface: int
    time_ns: int
    length: int
    data: bytes
    to_guest: bool | None = None


def head(interfaces: Sequence[str]) -> bytes:
    """The start of a file; a packet's `interface` is the place of its name here."""
    section = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1) + _option(_USER_APPLICATION, b"qlan") + _option(_END, b"")
    blocks = [_block(_SECTION, section)]
    for name in interfaces:
        options = _option(_IF_NAME, name.encode()) + _option(_IF_TSRESOL, _NANOSECONDS) + _option(_END, b"")
        blocks.append(_block(_INTERFACE, struct.pack("<HHI", _ETHERNET, 0, SNAP_BYTES) + options))
    return b"".join(blocks)


def block(packet: Packet) -> bytes:
    """An Enhanced Packet Block.  Its direction is the guest's: inbound is what the guest receives."""
    size = len(packet.data)
    fixed = struct.pack(
        "<IIIII", packet.interface, packet.time_ns >> 32, packet.time_ns & 0xFFFFFFFF, size, packet.length
    )
    options = b""
    if packet.to_guest is not None:
        options = _option(_EPB_FLAGS, struct.pack("<I", 1 if packet.to_guest else 2)) + _option(_END, b"")
    return _block(_PACKET, fixed + packet.data + b"\0" * (-size % 4) + options)


class PcapReader:
    """Takes the bytes of a growing pcap file (little-endian, microseconds, as QEMU writes it) piece by piece."""

    def __init__(self, interface: int) -> None:
        self._interface = interface
        self._left = b""
        self._begun = False

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that are whole now.  ValueError: that is no such file."""
        data = self._left + data
        at = 0
        if not self._begun and len(data) >= _PCAP_HEAD:
            if struct.unpack_from("<I", data)[0] != _PCAP_MAGIC:
                raise ValueError("not a pcap file")
            at, self._begun = _PCAP_HEAD, True
        while self._begun and len(data) - at >= _PCAP_RECORD:
            seconds, micros, size, length = struct.unpack_from("<IIII", data, at)
            if len(data) - at < _PCAP_RECORD + size:
                break
            frame = data[at + _PCAP_RECORD : at + _PCAP_RECORD + size]
            yield Packet(self._interface, seconds * 1_000_000_000 + micros * 1000, length, frame)
            at += _PCAP_RECORD + size
        self._left = data[at:]


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)

"""Every frame of a link, by a ring that the kernel fills and we empty: packet(7), Documentation/networking/packet_mmap.

The ring is a descriptor of ours: it ends with us, whatever ends us, and nothing is left behind.  It may be opened in
any of the lab's namespaces; a program inside is not needed.
"""

from __future__ import annotations

import ctypes
import mmap
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

from qlan.bpf import Instruction
from qlan.errors import HostError
from qlan.host.namespace import open_inside
from qlan.pcapng import Packet

_SOL_PACKET, _ETH_P_ALL, _SO_ATTACH_FILTER = 263, 3, 26
_ADD_MEMBERSHIP, _RX_RING, _STATISTICS, _VERSION = 1, 5, 6, 10  # linux/if_packet.h
_V3, _MR_PROMISC, _OUTGOING = 2, 1, 4
_BLOCK_BYTES, _BLOCKS, _RETIRE_MS = 1 << 20, 16, 50  # a block is given to us when it is full, or after this time
_OURS, _VLAN_VALID, _TPID_VALID = 1, 1 << 4, 1 << 6  # TP_STATUS_*
_TPID_8021Q = 0x8100
_STATUS_AT, _COUNT_AT = 8, 12  # struct tpacket_block_desc
_HEADER = struct.Struct("=IIIIIIHHIIHH")  # struct tpacket3_hdr, without its padding
_TYPE_AT = 48 + 10  # sll_pkttype of the sockaddr_ll behind it


class Ring:
    """All frames of one link.  holder: a process in the link's network namespace, None: our own."""

    def __init__(self, holder: int | None, link: str, program: Sequence[Instruction], number: int) -> None:
        def opener() -> list[int]:
            return [_open(link).detach()]

        try:
            [fd] = open_inside(holder, opener)
        except OSError as error:
            raise HostError(f"cannot listen on {link}: {error.strerror}", hint="is it there? `qlan status`") from error
        self._socket = socket.socket(fileno=fd)
        self._number = number
        self._next = 0
        self._gone = False
        self.dropped = 0
        if program:
            _attach(self._socket, program)
        request = struct.pack("=7I", _BLOCK_BYTES, _BLOCKS, _BLOCK_BYTES, _BLOCKS, _RETIRE_MS, 0, 0)
        self._socket.setsockopt(_SOL_PACKET, _RX_RING, request)
        self._ring = mmap.mmap(fd, _BLOCK_BYTES * _BLOCKS)
        self._socket.bind((link, _ETH_P_ALL))

    def fileno(self) -> int:
        """For poll(2): readable when there are frames, or when the link went."""
        return self._socket.fileno()

    @property
    def is_gone(self) -> bool:
        """Whether the link was removed or set down; the kernel says it once."""
        self._gone = self._gone or self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
        return self._gone

    def read(self) -> Iterator[Packet]:
        """The frames that are there now."""
        while True:
            start = self._next * _BLOCK_BYTES
            status, count, first = struct.unpack_from("=III", self._ring, start + _STATUS_AT)
            if not status & _OURS:
                return
            at = start + first
            for _ in range(count):
                after, packet = self._packet(at)
                yield packet
                at += after
            struct.pack_into("=I", self._ring, start + _STATUS_AT, 0)
            self._next = (self._next + 1) % _BLOCKS

    def last(self) -> Iterator[Packet]:
        """What came until now, and what is in a block that is not full yet."""
        yield from self.read()
        time.sleep(3 * _RETIRE_MS / 1000)
        yield from self.read()

    def count_dropped(self) -> int:
        """Frames that found no room in the ring."""
        with suppress(OSError):
            _, drops, _ = struct.unpack("=3I", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 12))
            self.dropped += drops
        return self.dropped

    def close(self) -> None:
        """Listen no more."""
        self._ring.close()
        self._socket.close()

    def _packet(self, at: int) -> tuple[int, Packet]:
        """Where the next one is, and this one; the kernel takes a VLAN's tag out of the frame, here it goes back in."""
        after, seconds, nanos, size, length, status, mac, _, _, tci, tpid, _ = _HEADER.unpack_from(self._ring, at)
        data = self._ring[at + mac : at + mac + size]
        if status & _VLAN_VALID:
            tag = struct.pack("!HH", tpid if status & _TPID_VALID else _TPID_8021Q, tci)
            data, length = data[:12] + tag + data[12:], length + 4
        outgoing = self._ring[at + _TYPE_AT] == _OUTGOING
        return after, Packet(self._number, seconds * 1_000_000_000 + nanos, length, data, outgoing)


def _open(link: str) -> socket.socket:
    """Of no protocol until it is bound: else it would hear every link for a moment."""
    found = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    found.setsockopt(_SOL_PACKET, _VERSION, _V3)
    index = socket.if_nametoindex(link)
    found.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, struct.pack("=iHH8s", index, _MR_PROMISC, 0, b""))
    return found


def _attach(one: socket.socket, program: Sequence[Instruction]) -> None:
    """A classic BPF program, as `tcpdump -ddd` prints it (socket(7), SO_ATTACH_FILTER)."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code)))

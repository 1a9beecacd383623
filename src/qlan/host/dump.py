"""Every frame of a NIC that has no link of its own: QEMU's filter-dump object, added and removed over QMP.

QEMU writes with its own hands, in its main loop: into a pipe, a slow reader would stop the guest.  So it writes into a
file, which is read as it grows, and what was read is cut out of it again (fallocate(2), FALLOC_FL_PUNCH_HOLE).

Its times are those of the guest's clock on top of when the filter was made (net/dump.c): right one by one, wrong by as
long as the guest runs.  When the first frame is read, the distance to the true time is taken.
"""

from __future__ import annotations

import ctypes
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from qlan.bpf import Instruction, accepts
from qlan.errors import QmpError
from qlan.host import process
from qlan.host.present import find_machine
from qlan.pcapng import SNAP_BYTES, Packet, PcapReader
from qlan.qmp.monitor import execute
from qlan.render.layout import Layout
from qlan.values import replace

_NAME = re.compile(r"qlan-capture-(\d+)-\d+")
_CHUNK, _CUT_AT_BYTES = 1 << 20, 1 << 24
_CLOCK_STOOD_NS = 1_000_000_000
_HEADERS = (0, 12, 10)  # none, with num_buffers, without (struct virtio_net_hdr in linux/virtio_net.h)
_BROADCAST = b"\xff" * 6
_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01  # linux/falloc.h


class Dump:
    """All frames of one netdev that the program keeps.  source: the netdev's id, and the number its packets get.
    tap_mac: the NIC's, if its netdev is a TAP of somebody else's.

    QmpError.
    """

    def __init__(
        self,
        layout: Layout,
        guest: str,
        source: tuple[str, int],
        program: Sequence[Instruction] = (),
        tap_mac: str = "",
    ) -> None:
        netdev, number = source
        self._monitor, folder = layout.qmp(guest), layout.qemu_own(guest)
        self._layout, self._guest = layout, guest
        self._name = f"qlan-capture-{os.getpid()}-{number}"
        self._path = folder / f"{self._name}.pcap"
        self._reader = PcapReader(number)
        self._program = program
        self._bare = Bare(tap_mac) if tap_mac else None
        self._cut = 0
        self._offset_ns = 0
        self.dropped = 0
        _remove_forgotten(self._monitor, folder)
        arguments = {"qom-type": "filter-dump", "id": self._name, "netdev": netdev, "file": str(self._path),
                     "maxlen": SNAP_BYTES}  # fmt: skip
        try:
            execute(self._monitor, [("object-add", arguments)])
            self._file = self._path.open("r+b", buffering=0)
        except BaseException:
            self._remove()
            raise

    @property
    def is_gone(self) -> bool:
        """Whether the guest has ended."""
        return find_machine(self._layout, self._guest) is None

    def read(self) -> Iterator[Packet]:
        """The frames that are there now."""
        while data := self._file.read(_CHUNK):
            packets = list(self._reader.feed(data))
            self._set_clock(packets)
            for packet in map(self._bare, packets) if self._bare else packets:
                if accepts(self._program, packet.data, packet.length):
                    yield replace(packet, time_ns=packet.time_ns + self._offset_ns)
        at = self._file.tell()
        if at - self._cut > _CUT_AT_BYTES:
            _punch(self._file.fileno(), self._cut, at - self._cut)
            self._cut = at

    def last(self) -> Iterator[Packet]:
        """What came until now; QEMU hears no more."""
        self._remove()
        yield from self.read()

    def count_dropped(self) -> int:
        """QEMU waits until a frame is written."""
        return 0

    def close(self) -> None:
        """Take the filter out of QEMU, and the file away."""
        self._remove()
        self._file.close()

    def _set_clock(self, packets: Sequence[Packet]) -> None:
        """Anew when a guest that was paused goes on."""
        if packets:
            distance = time.time_ns() - packets[-1].time_ns
            if abs(distance - self._offset_ns) > _CLOCK_STOOD_NS:
                self._offset_ns = distance

    def _remove(self) -> None:
        if self._name:
            with suppress(QmpError):  # the guest has ended, and its filter with it
                execute(self._monitor, [("object-del", {"id": self._name})])
            self._path.unlink(missing_ok=True)
            self._name = ""


class Bare:
    """Takes the virtio-net header off frames.  QEMU before 8.0 writes it where a TAP has one, of a length that is the
    guest's driver's choice and nowhere to be asked; so it is told from where the NIC's own MAC stands.
    """

    def __init__(self, mac: str) -> None:
        self._mac = bytes.fromhex(mac.replace(":", ""))
        self._size = 0  # as the last frame that told

    def __call__(self, packet: Packet) -> Packet:
        """The frame alone."""
        data = packet.data
        own = [size for size in _HEADERS if self._mac in (data[size : size + 6], data[size + 6 : size + 12])]
        to_all = [size for size in _HEADERS if data[size : size + 6] == _BROADCAST]
        self._size = next(iter([*own, *to_all]), self._size)
        return replace(packet, data=data[self._size :], length=packet.length - self._size) if self._size else packet


def _remove_forgotten(monitor: Path, folder: Path) -> None:
    """Filters whose capture was killed."""
    [objects] = execute(monitor, [("qom-list", {"path": "/objects"})])
    for name in (one["name"] for one in objects):
        found = _NAME.fullmatch(name)
        if found and process.find_stat(int(found[1])) is None:
            execute(monitor, [("object-del", {"id": name})])
            (folder / f"{name}.pcap").unlink(missing_ok=True)


def _punch(fd: int, start: int, size: int) -> None:
    """Give the disk space back; a file system that cannot do it keeps it until the end."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    libc.fallocate(fd, _PUNCH_HOLE_KEEP_SIZE, start, size)

"""Captured frames as files, read by a program that is not ours."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from qlan.pcapng import Packet, PcapReader, block, head

from .test_bpf import FRAMES, TCPDUMP, needs_tcpdump


@needs_tcpdump
def test_tcpdump_reads_what_we_write(tmp_path: Path) -> None:
    file = tmp_path / "x.pcapng"
    packets = [Packet(1, 1_700_000_000_123_456_789 + number, len(frame) + 4, frame, bool(number % 2))
               for number, frame in enumerate(FRAMES)]  # fmt: skip
    file.write_bytes(head(["web/0", "a name of some length"]) + b"".join(map(block, packets)))
    assert TCPDUMP
    done = subprocess.run([TCPDUMP, "-r", str(file), "-w", "-", "--nano"], capture_output=True, check=True)
    lengths, data = [], done.stdout[24:]
    while data:
        seconds, nanos, size, length = struct.unpack_from("<IIII", data)
        assert (seconds, nanos) == (1_700_000_000, 123_456_789 + len(lengths))
        lengths.append((size, length, data[16 : 16 + size]))
        data = data[16 + size :]
    assert lengths == [(len(frame), len(frame) + 4, frame) for frame in FRAMES]


def test_blocks_are_whole_and_of_four_bytes() -> None:
    data = head(["web/0"]) + b"".join(block(Packet(0, 5, 3, bytes(size))) for size in range(9))
    kinds, at = [], 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        assert size % 4 == 0
        assert struct.unpack_from("<I", data, at + size - 4) == (size,)
        kinds.append(kind)
        at += size
    assert kinds == [0x0A0D0D0A, 1, *[6] * 9]


@pytest.mark.parametrize("step", [1, 7, 24, 1000])
def test_a_pcap_file_that_grows(step: int) -> None:
    frames = [b"", b"abc", bytes(100)]
    records = [struct.pack("<IIII", 3, number, len(frame), 200) + frame for number, frame in enumerate(frames)]
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65536, 1) + b"".join(records)
    reader = PcapReader(2)
    found = [packet for start in range(0, len(data), step) for packet in reader.feed(data[start : start + step])]
    assert found == [Packet(2, 3_000_000_000 + 1000 * number, 200, frame) for number, frame in enumerate(frames)]


def test_what_is_no_pcap_file() -> None:
    with pytest.raises(ValueError, match="not a pcap file"):
        list(PcapReader(0).feed(bytes(24)))

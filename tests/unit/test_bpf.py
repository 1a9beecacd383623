"""Our BPF machine against libpcap's: the same filter on the same frames, by tcpdump."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from qlan import bpf, capturing, pcapng

TCPDUMP = shutil.which("tcpdump", path="/usr/bin:/usr/sbin:/sbin:/bin")
needs_tcpdump = pytest.mark.skipif(TCPDUMP is None, reason="tcpdump is not here: scripts/setup installs it")

WEB, DB = b"\x52\x54\0\0\0\1", b"\x52\x54\0\0\0\2"


def ethernet(kind: int, body: bytes, to: bytes = DB) -> bytes:
    return to + WEB + struct.pack("!H", kind) + body


def ip(protocol: int, body: bytes, *, fragment: int = 0, options: bytes = b"") -> bytes:
    head = struct.pack("!BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(body), 7, fragment, 64,
                       protocol, 0, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))  # fmt: skip
    return ethernet(0x0800, head + options + body)


def ports(source: int, to: int, rest: bytes = b"") -> bytes:
    return struct.pack("!HH", source, to) + rest


FRAMES = [
    ethernet(0x0806, struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + WEB + bytes([10, 0, 0, 1]) + bytes(10), b"\xff" * 6),
    ip(1, b"\x08\0" + bytes(40)),
    ip(6, ports(40000, 80, struct.pack("!IIBBHHH", 1, 0, 0x50, 0x02, 64, 0, 0))),
    ip(6, ports(80, 40000, struct.pack("!IIBBHHH", 1, 0, 0x50, 0x12, 64, 0, 0)), options=b"\1\1\1\0"),
    ip(17, ports(68, 67, bytes(300))),
    ip(17, ports(1, 53, bytes(30)), fragment=0x2010),
    ethernet(0x86DD, struct.pack("!IHBB", 6 << 28, 8, 58, 255) + bytes(15) + b"\1" + bytes(15) + b"\2" + bytes(8)),
    ethernet(0x8100, struct.pack("!HH", 10, 0x0800) + ip(1, bytes(30))[14:]),
    ethernet(0x88CC, bytes(50), b"\x01\x80\xc2\0\0\x0e"),
    b"short",
]
EXPRESSIONS = [
    "", "arp", "icmp", "ip", "ip6", "tcp port 80", "src port 80", "dst port 80", "port 53 or port 67", "not ip",
    "host 10.0.0.1", "src host 10.0.0.2", "net 10.0.0.0/24", "ether host 52:54:00:00:00:01", "ether broadcast",
    "ether multicast", "vlan 10", "vlan and icmp", "greater 100", "less 60", "len == 54",
    "tcp[tcpflags] & tcp-syn != 0",
    "tcp[tcpflags] == tcp-syn", "ip[2:2] - 20 > 100", "ip[8] * 2 == 128", "ip[8] / 2 == 32", "ip[8] % 10 == 4",
    "ip[8] << 2 == 256 or ip[8] >> 6 == 2", "ip[6:2] & 0x1fff != 0", "ether[0] ^ 0xff == 0", "-ip[8] < 0",
    "portrange 60-90", "ether proto 0x88cc", "icmp6 or udp", "ip[0] & 0xf > 5 and tcp port 80",
]  # fmt: skip


@needs_tcpdump
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_as_libpcap_does(expression: str, tmp_path: Path) -> None:
    program = capturing.compiled(expression)
    ours = [number for number, frame in enumerate(FRAMES) if bpf.accepts(program, frame, len(frame))]
    file = tmp_path / "frames.pcapng"
    packets = [pcapng.Packet(0, number * 10**9, len(frame), frame) for number, frame in enumerate(FRAMES)]
    file.write_bytes(pcapng.head(["x"]) + b"".join(map(pcapng.block, packets)))
    assert TCPDUMP
    words = [TCPDUMP, "-nn", "-tt", "-r", str(file), "--", *([expression] if expression else [])]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line[0].isdigit()]  # others are of a frame's bytes
    assert ours == [int(line.split(".")[0]) for line in lines]


def test_a_program_that_divides_by_zero_keeps_nothing() -> None:
    assert not bpf.accepts([(0x34, 0, 0, 0), (0x06, 0, 0, 1)], b"x", 1)
    assert bpf.accepts([(0x06, 0, 0, 1)], b"x", 1)
    assert not bpf.accepts([(0x06, 0, 0, 0)], b"x", 1)


def test_memory_and_registers() -> None:
    """A = 5, M[3] = A, X = M[3], A = X + X (by TXA), return A - 10."""
    program = [(0x00, 0, 0, 5), (0x02, 0, 0, 3), (0x61, 0, 0, 3), (0x87, 0, 0, 0), (0x0C, 0, 0, 0), (0x14, 0, 0, 10),
               (0x16, 0, 0, 0)]  # fmt: skip
    assert not bpf.accepts(program, b"", 0)
    assert bpf.accepts([*program[:5], (0x14, 0, 0, 9), program[6]], b"", 0)

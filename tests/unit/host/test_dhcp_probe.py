"""A DHCPDISCOVER as others read it, and who offers something; a real server answers in tests/guest/test_public.py."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from qlan.host.dhcp_probe import discover, offered

MAC, XID = bytes.fromhex("525400123456"), b"\x01\x02\x03\x04"


def reply(xid: bytes = XID, op: int = 2, options: bytes = b"\x35\x01\x02\x36\x04\x0a\x00\x00\x01\xff") -> bytes:
    """What a server at 10.0.0.9 sends by way of 52:54:00:99:99:99."""
    bootp = bytearray(discover(MAC, xid)[42 : 42 + 240])
    bootp[0] = op
    packet = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, 17, 0, IPv4Address("10.0.0.9").packed, b"\xff" * 4)
    return b"\xff" * 6 + bytes.fromhex("525400999999") + b"\x08\x00" + packet + bytes(8) + bytes(bootp) + options


def test_the_question_is_a_broadcast_with_a_right_checksum() -> None:
    frame = discover(MAC, XID)
    assert frame[:12] == b"\xff" * 6 + MAC
    total = sum(struct.unpack("!10H", frame[14:34]))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
    assert struct.unpack("!HH", frame[34:38]) == (68, 67)
    assert len(frame) == 14 + 20 + 8 + 300
    assert frame[42 + 10 : 42 + 12] == b"\x80\x00", "answer by broadcast"
    assert offered(frame, XID) == "", "our own question is no offer"


def test_who_answers() -> None:
    assert offered(reply(), XID) == "10.0.0.1 (52:54:00:99:99:99)"
    assert offered(reply(options=b"\x35\x01\x02\xff"), XID) == "10.0.0.9 (52:54:00:99:99:99)", "without an identifier"
    assert offered(reply(options=b"\x00\x35\x01\x02\x36\x04\x0a"), XID).startswith("10.0.0.9"), "cut off"
    assert offered(reply(), b"\x09\x09\x09\x09") == ""
    assert offered(reply(op=1), XID) == ""
    assert offered(reply()[:100], XID) == ""
    assert offered(b"", XID) == ""

"""Whether a DHCP server answers on a link: a DHCPDISCOVER (RFC 2131) that nobody follows up, and who offers something.

The offer is asked for by broadcast, so that it is heard whatever the NIC's own address is.  A server may first look for
three seconds whether an address is free (dnsmasq does): that long an answer is waited for.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from ipaddress import IPv4Address
from pathlib import Path

from qlan.host import files

TIME_LIMIT_S, _AGAIN_S = 4.5, 1.5
_ALL, _IPV4 = 0x0003, 0x0800  # linux/if_ether.h
_COOKIE, _BROADCAST = b"\x63\x82\x53\x63", 0x8000
_PAD, _END, _SERVER_ID = 0, 255, 54  # RFC 2132


def find_server(link: str, mac: str) -> str:
    """The first that answers, as `10.0.0.1 (52:54:00:12:34:56)`; "" if none does.  HostError."""
    xid = os.urandom(4)
    frame = discover(bytes.fromhex(mac.replace(":", "")), xid)
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL)) as channel:
            channel.bind((link, _ALL))
            return _asked(channel, frame, xid)
    except OSError as error:
        raise files.explained(error, Path("/sys/class/net") / link) from error


def discover(mac: bytes, xid: bytes) -> bytes:
    """The whole frame."""
    bootp = struct.pack("!BBBB4sHH16x6s10x192x4s", 1, 1, 6, 0, xid, 0, _BROADCAST, mac, _COOKIE)
    bootp += b"\x35\x01\x01\x37\x03\x01\x03\x06\xff"  # DISCOVER; asks for netmask, routers, DNS servers
    bootp = bootp.ljust(300, b"\0")  # RFC 1542: the least that relays and servers take
    udp = struct.pack("!HHHH", 68, 67, 8 + len(bootp), 0) + bootp
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0x10, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return b"\xff" * 6 + mac + struct.pack("!H", _IPV4) + head + udp


def offered(frame: bytes, xid: bytes) -> str:
    """Who offers something to this request, in words; "" if it is another frame."""
    ip = frame[14:]
    if frame[12:14] != struct.pack("!H", _IPV4) or len(ip) < 20 or ip[0] >> 4 != 4 or ip[9] != 17:
        return ""
    bootp = ip[(ip[0] & 15) * 4 + 8 :]
    if len(bootp) < 240 or bootp[0] != 2 or bootp[4:8] != xid or bootp[236:240] != _COOKIE:
        return ""
    server = options(bootp[240:]).get(_SERVER_ID, b"")
    return f"{IPv4Address(server if len(server) == 4 else ip[12:16])} ({frame[6:12].hex(':')})"


def _asked(channel: socket.socket, frame: bytes, xid: bytes) -> str:
    deadline = time.monotonic() + TIME_LIMIT_S
    again = 0.0
    while (now := time.monotonic()) < deadline:
        if now >= again:
            channel.send(frame)
            again = now + _AGAIN_S
        channel.settimeout(max(0.01, min(again, deadline) - now))
        try:
            found = offered(channel.recv(2048), xid)
        except TimeoutError:
            continue
        if found:
            return found
    return ""


def options(data: bytes) -> dict[int, bytes]:
    """The options behind the cookie, by number."""
    found: dict[int, bytes] = {}
    while len(data) > 1 and data[0] != _END:
        if data[0] == _PAD:
            data = data[1:]
            continue
        found[data[0]], data = data[2 : 2 + data[1]], data[2 + data[1] :]
    return found


def checksum(head: bytes) -> int:
    """That of an IPv4 header, which has 0 in its place."""
    total: int = sum(struct.unpack(f"!{len(head) // 2}H", head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF

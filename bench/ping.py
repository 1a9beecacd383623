"""Until a guest answers a ping for the first time: `python3 ping.py LINK MAC ADDRESS OWN` prints when, by the clock.

A frame every few milliseconds on a packet socket, addressed to the MAC that the guest will have: the kernel's own ping
would wait for its ARP, which asks once a second.  Runs by itself in the namespace of the link, so it imports nothing of
this project.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import time

_EVERY_S = 0.005
_ETH_IP = 0x0800
_ID = 0x716C


def main() -> int:
    link, mac, address, own = sys.argv[1:]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_IP)) as wire:
        source = _wait_for(wire, link)
        frame = _frame(bytes.fromhex(mac.replace(":", "")), source, socket.inet_aton(own), socket.inet_aton(address))
        deadline = time.monotonic() + 120
        while (now := time.monotonic()) < deadline:
            try:
                wire.send(frame)
                while select.select([wire], [], [], max(0.0, now + _EVERY_S - time.monotonic()))[0]:
                    if _is_answer(wire.recv(2048), socket.inet_aton(address)):
                        print(time.monotonic())
                        return 0
            except OSError:  # ENETDOWN: the link is not up yet
                time.sleep(_EVERY_S)
    return 1


def _wait_for(wire: socket.socket, link: str) -> bytes:
    """The link's MAC, as soon as there is one of that name."""
    for _ in range(20000):
        try:
            wire.bind((link, _ETH_IP))
            return bytes(wire.getsockname()[4])
        except OSError:
            time.sleep(0.001)
    raise SystemExit(f"there is no {link}")


def _frame(target: bytes, source: bytes, own: bytes, address: bytes) -> bytes:
    message = struct.pack("!BBHHH", 8, 0, 0, _ID, 1) + bytes(32)
    message = message[:2] + struct.pack("!H", _checksum(message)) + message[4:]
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(message), 0, 0, 64, 1, 0, own, address)
    head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    return target + source + struct.pack("!H", _ETH_IP) + head + message


def _is_answer(frame: bytes, address: bytes) -> bool:
    return frame[23] == 1 and frame[26:30] == address and frame[34] == 0 and frame[38:40] == struct.pack("!H", _ID)


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


if __name__ == "__main__":
    sys.exit(main())

"""What a connection takes: `python3 connect.py ADDRESS PORT COUNT` makes them in a row and prints the median.

Each is opened, answered a byte by an echo server, and closed.  Runs by itself in the caller's namespace.
"""

from __future__ import annotations

import socket
import statistics
import sys
import time


def main() -> int:
    address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    print(statistics.median([_once(address, port) for _ in range(count + 2)][2:]))
    return 0


def _once(address: str, port: int) -> float:
    start = time.perf_counter()
    with socket.create_connection((address, port), timeout=10) as connection:
        connection.sendall(b"?")
        if connection.recv(1) != b"?":
            raise SystemExit(f"nobody answers behind {address}:{port}")
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())

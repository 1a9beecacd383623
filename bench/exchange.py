"""What a request and its answer take: `python3 exchange.py COUNT` says its port, is called by a guest, and prints it.

The guest connects `cat` to us and so gives back each byte: the guest opens the connection, as behind any NAT, and what
is measured is from here to there and back.  Runs by itself in the namespace that is called.
"""

from __future__ import annotations

import socket
import statistics
import sys
import time


def main() -> int:
    count = int(sys.argv[1])
    with socket.create_server(("", 0)) as server:
        server.settimeout(30)
        print(server.getsockname()[1], flush=True)
        connection, _ = server.accept()
    with connection:
        connection.settimeout(10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        times = [_once(connection) for _ in range(count + 5)][5:]
    print(statistics.median(times))
    return 0


def _once(connection: socket.socket) -> float:
    start = time.perf_counter()
    connection.sendall(b"?")
    if connection.recv(1) != b"?":
        raise SystemExit("the guest hung up")
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())

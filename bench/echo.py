"""An echo server at a port of its own namespace: `python3 echo.py ADDRESS PORT`; says a line when it listens."""

from __future__ import annotations

import socket
import sys


def main() -> None:
    with socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=128) as server:
        print(flush=True)
        while True:
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(4096):
                    connection.sendall(data)


if __name__ == "__main__":
    main()

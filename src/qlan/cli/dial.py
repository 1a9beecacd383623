"""Connect to an address inside a lab's network and hand the connection to ssh (ssh_config(5), ProxyUseFdpass).

ssh starts it as its ProxyCommand: `python3 -m qlan.cli.dial LAB ADDRESS PORT`.  After that the packets take no detour:
the socket was made inside, and ssh itself, with the user's own keys and settings, speaks on it outside.
"""

from __future__ import annotations

import errno
import os
import socket
import sys

from qlan.errors import QlanError
from qlan.host.namespace import holder, open_inside
from qlan.lab import Lab

_TIME_LIMIT_S = 15.0


def main(words: list[str]) -> int:
    """Send the connected socket over standard output."""
    name, address, port = words
    try:
        lab = Lab.named(name)
        inside = holder(lab.layout, "namespace/realm")
        [fd] = open_inside(inside, lambda: [_connect(address, int(port))])
    except (QlanError, OSError) as error:
        sys.stderr.write(f"qlan: error: {address} port {port} in lab {name}: {error}\n")
        return 1
    with socket.socket(fileno=sys.stdout.fileno()) as channel:
        socket.send_fds(channel, [b"\0"], [fd])
    return 0


def _connect(address: str, port: int) -> int:
    try:
        connection = socket.create_connection((address, port), timeout=_TIME_LIMIT_S)
    except TimeoutError:
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None
    connection.settimeout(None)
    return connection.detach()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

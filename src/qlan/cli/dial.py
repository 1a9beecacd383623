"""Connect to an address inside a lab's network and hand the connection to ssh (ssh_config(5), ProxyUseFdpass).

ssh starts it as its ProxyCommand: `python3 -m qlan.cli.dial LAB ADDRESS PORT`, or `LAB GUEST`.
After that the packets take no detour: the socket was made inside, and ssh itself, with the user's own keys and
settings, speaks on it outside.
"""

from __future__ import annotations

import errno
import os
import socket
import sys

from qlan.cli.ssh import find_way
from qlan.errors import QlanError
from qlan.host.namespace import holder, open_inside
from qlan.lab import Lab

_TIME_LIMIT_S = 15.0


def main(words: list[str]) -> int:
    """Send the connected socket over standard output."""
    name, target = words[0], words[1]
    try:
        lab = Lab.named(name)
        address, port, is_inside = _way(lab, words)
        inside = holder(lab.layout, "namespace/realm") if is_inside else None
        [fd] = open_inside(inside, lambda: [_connect(address, port)])
    except (QlanError, OSError) as error:
        sys.stderr.write(f"qlan: error: {target} in lab {name}: {error}\n")
        return 1
    with socket.socket(fileno=sys.stdout.fileno()) as channel:
        socket.send_fds(channel, [b"\0"], [fd])
    return 0


def _way(lab: Lab, words: list[str]) -> tuple[str, int, bool]:
    """Where to connect to: as named, or the SSH server of GUEST.LAB."""
    if len(words) > 2:
        return words[1], int(words[2]), True
    guest = words[1].removesuffix(f".{lab.name}")
    lab.check_guest(guest)
    way = find_way(lab, guest)
    return way.address, way.port, way.inside


def _connect(address: str, port: int) -> int:
    try:
        connection = socket.create_connection((address, port), timeout=_TIME_LIMIT_S)
    except TimeoutError:
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None
    connection.settimeout(None)
    return connection.detach()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

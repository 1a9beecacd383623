"""Connect to an address inside a lab's network and hand the connection to ssh (ssh_config(5), ProxyUseFdpass).

ssh starts it as its ProxyCommand: `python3 -m qlan.cli.dial LAB ADDRESS PORT GUEST`, or `LAB GUEST`.
After that the packets take no detour: the socket was made inside, and ssh itself, with the user's own keys and
settings, speaks on it outside.
"""

from __future__ import annotations

import errno
import os
import socket
import sys

from qlan.cli.ssh import Way, find_way
from qlan.errors import HostError, QlanError
from qlan.host.namespace import holder, open_inside
from qlan.lab import Lab

_TIME_LIMIT_S = 15.0


def main(words: list[str]) -> int:
    """Send the connected socket over standard output."""
    name, target = words[0], words[1]
    try:
        fd = _dialled(Lab.named(name), words)
    except _Unanswered as error:
        from qlan.cli.complaint import as_text

        sys.stderr.write(f"{as_text(error)}\n")
        return 1
    except (QlanError, OSError) as error:
        sys.stderr.write(f"qlan: error: {target} in lab {name}: {error}\n")
        return 1
    with socket.socket(fileno=sys.stdout.fileno()) as channel:
        socket.send_fds(channel, [b"\0"], [fd])
    return 0


class _Unanswered(HostError):
    """Nobody answers at the guest's address."""


def _dialled(lab: Lab, words: list[str]) -> int:
    way, guest = _way(lab, words)
    inside = holder(lab.layout, "namespace/realm") if way.inside else None
    try:
        [fd] = open_inside(inside, lambda: [_connect(way.address, way.port)])
    except OSError as error:
        if error.filename:  # of the way there: entering the lab's network
            raise
        raise _unanswered(error, way, f"{lab.name}/{guest}") from error
    return fd


def _unanswered(error: OSError, way: Way, guest: str) -> _Unanswered:
    if error.errno == errno.ECONNREFUSED:
        what = f"connection refused by {way.address} (guest `{guest}`): nothing listens on port {way.port} there"
        return _Unanswered(what, hint=f"start its SSH server: qlan console {guest}")
    return _Unanswered(f"no answer from port {way.port} of {way.address} (guest `{guest}`): {error.strerror}",
                       hint=f"see whether it has booted, and its address: qlan console {guest}")  # fmt: skip


def _way(lab: Lab, words: list[str]) -> tuple[Way, str]:
    """Where to connect to: as named, or the SSH server of GUEST.LAB."""
    if len(words) > 2:
        return Way(words[1], int(words[2]), inside=True), words[3]
    guest = words[1].removesuffix(f".{lab.name}")
    lab.check_guest(guest)
    return find_way(lab, guest), guest


def _connect(address: str, port: int) -> int:
    try:
        connection = socket.create_connection((address, port), timeout=_TIME_LIMIT_S)
    except TimeoutError:
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None
    connection.settimeout(None)
    return connection.detach()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The ends of wires: two UDP sockets on the loopback of a namespace, each connected to the other.

An end lives as long as its QEMU holds it, whatever becomes of the namespace's holder; so it is looked for in the
namespace itself: /proc/PID/net/udp lists the sockets of the one that process PID is in.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from qlan.errors import ConflictError, HostError
from qlan.host.namespace import open_inside

_ADDRESS, _PORTS = "127.0.0.1", (10000, 10001)  # there is nothing else in the namespace
_BUFFER_BYTES = 1 << 20  # the kernel's limit (net.core.rmem_max) may lower it; a burst of frames must not get lost
_ESTABLISHED = "01"


def open_ends(pid: int, ends: Sequence[int]) -> list[int]:
    """A descriptor an end, in the network namespace of a process.  ConflictError: an end is in use; HostError."""
    try:
        return open_inside(pid, lambda: [_open(end) for end in ends])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConflictError("this end of the wire is in use: an older QEMU still holds it") from error
        raise HostError(f"cannot make the end of a wire: {os.strerror(error.errno or 0)}") from error


def read_ends(pid: int) -> set[int]:
    """Which ends there are in the network namespace of a process."""
    try:
        table = Path(f"/proc/{pid}/net/udp").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return set()
    ports = {int(row.split()[1].partition(":")[2], 16) for row in table if row.split()[3] == _ESTABLISHED}
    return {end for end, port in enumerate(_PORTS) if port in ports}


def _open(end: int) -> int:
    import socket  # `qlan status` only reads

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        one.bind((_ADDRESS, _PORTS[end]))
        one.connect((_ADDRESS, _PORTS[1 - end]))
        return one.detach()

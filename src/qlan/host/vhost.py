"""vhost-net: the kernel itself moves a virtio NIC's packets between TAP and guest (drivers/vhost/net.c in Linux).

A descriptor of the device serves one NIC.  QEMU gets it opened, so it need not be allowed to open it.
"""

from __future__ import annotations

import os

from qlan.errors import HostError

DEVICE = "/dev/vhost-net"


def why_not() -> str:
    """Why it cannot be opened, or "".  Where its module is not loaded yet, this loads it."""
    try:
        os.close(_open())
    except OSError as error:
        return f"{DEVICE}: {os.strerror(error.errno or 0)}"
    return ""


def open_vhosts(count: int) -> list[int]:
    """So many descriptors.  HostError."""
    found: list[int] = []
    try:
        found += (_open() for _ in range(count))
    except OSError as error:
        for fd in found:
            os.close(fd)
        raise HostError(f"cannot open it: {os.strerror(error.errno or 0)}", where=DEVICE, hint="`qlan up` again does "
                        "without it, where it is not there any more") from error  # fmt: skip
    return found


def _open() -> int:
    return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)

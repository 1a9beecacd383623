"""macvtaps as descriptors: /dev/tapN of a link, N its interface index (drivers/net/tap.c in Linux).

N counts for each network namespace and /dev is one for all, and in a container nobody makes the files: so the device's
numbers are read from a sysfs that shows this namespace, and the file is made where nobody else sees it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from qlan.errors import HostError
from qlan.host.namespace import open_inside

_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x00020000, 0x4000, 0x40000  # linux/sched.h, linux/mount.h
_PLACE, _SYSFS = "/sys", "/sys/sysfs"


def open_macvtaps(names: Sequence[str]) -> list[int]:
    """A descriptor a link of this network namespace, with the virtio-net header.  HostError."""
    if not names:
        return []
    try:
        return open_inside(os.getpid(), lambda: _open_all(names))
    except OSError as error:
        where = f"macvtap {', '.join(names)}"
        raise HostError(f"cannot open it: {os.strerror(error.errno or 0)}", where=where) from error


def _open_all(names: Sequence[str]) -> list[int]:
    """In a child: what is mounted here is its own, and goes with it."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    _succeed(libc.unshare(_CLONE_NEWNS))
    _succeed(libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
    # A folder of our own first: the kernel refuses a sysfs on top of the same one (EBUSY).
    _succeed(libc.mount(b"tmpfs", _PLACE.encode(), b"tmpfs", 0, None))
    Path(_SYSFS).mkdir()
    _succeed(libc.mount(b"sysfs", _SYSFS.encode(), b"sysfs", 0, None))
    return [_open(place, *_numbers(name)) for place, name in enumerate(names)]


def _succeed(status: int) -> None:
    import ctypes

    if status != 0:
        raise OSError(ctypes.get_errno(), "mount", _PLACE)


def _numbers(name: str) -> tuple[int, int]:
    index = Path(f"{_SYSFS}/class/net/{name}/ifindex").read_text(encoding="ascii").strip()
    major, _, minor = Path(f"{_SYSFS}/class/net/{name}/tap{index}/dev").read_text(encoding="ascii").partition(":")
    return int(major), int(minor)


def _open(place: int, major: int, minor: int) -> int:
    path = f"{_PLACE}/tap{place}"
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(major, minor))
    return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)

"""TAPs as descriptors: /dev/net/tun and TUNSETIFF (linux/if_tun.h), not persistent, with the virtio-net header."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from qlan.errors import ConflictError, Denied, HostError, QlanError
from qlan.host import link
from qlan.host.namespace import open_inside
from qlan.host.run import run

_TUN = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR, _IFF_TUN_EXCL = 0x0002, 0x1000, 0x4000, 0x8000
_WORTH_IT = 3  # TAPs; starting a program takes a while, too
_IFREQ = struct.Struct("16sH22x")


def open_taps(pid: int | None, names: Sequence[str]) -> list[int]:
    """One descriptor a name, in the network namespace of a process (None: ours).

    Denied, ConflictError (a link of that name is there), HostError.
    """
    _allow_descriptors(len(names))
    try:
        return open_inside(pid, lambda: _open_all(names))
    except OSError as error:
        raise _explained(error) from error


def remove_taps(names: Sequence[str], lab: str, *, enter: Sequence[str]) -> None:
    """Several at once, before their descriptors are closed, which is a removal one by one.

    What is few or gone is left as it is.  enter: the words that lead to them.
    """
    if len(names) >= _WORTH_IT:
        with suppress(QlanError):  # the descriptors take along what is left
            run([*enter, "ip", "-force", "-batch", "-"], stdin="\n".join([*link.removal(names, lab), ""]))


def _allow_descriptors(count: int) -> None:
    """Room for so many more, and for a guest's sockets beside each: the limit is 1024 where nobody raised it.

    No more than that: some programs that we start (dnsmasq) close every number up to the limit when they start.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = len([*Path("/proc/self/fd").iterdir()]) + 3 * count + 64
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _open_all(names: Sequence[str]) -> list[int]:
    """All or none: putting the host back needs descriptors too."""
    found: list[int] = []
    try:
        for name in names:
            found.append(_open(name))
    except OSError:
        for fd in found:
            os.close(fd)
        raise
    return found


def names_of(pid: int) -> list[str]:
    """The interfaces of the TAPs that a process holds, in the order of its descriptors (`iff:` in /proc/PID/fdinfo)."""
    found: dict[str, None] = {}
    try:
        for path in sorted(Path(f"/proc/{pid}/fdinfo").iterdir(), key=lambda path: int(path.name)):
            with suppress(OSError):
                lines = [line for line in path.read_text(encoding="ascii").splitlines() if line.startswith("iff:")]
                found |= dict.fromkeys(line.removeprefix("iff:").strip() for line in lines)
    except OSError:
        return []
    return list(found)


def held(taps: Mapping[int, Sequence[tuple[str, str]]]) -> list[tuple[str, str]]:
    """Of TAPs, namespaces and names by process, those that the processes hold: another link may have got a name since.

    None, if they are few.
    """
    if sum(map(len, taps.values())) < _WORTH_IT:
        return []
    return [tap for pid, some in taps.items() for names in [set(names_of(pid))] for tap in some if tap[1] in names]


def _open(name: str) -> int:
    fd = os.open(_TUN, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR | _IFF_TUN_EXCL
    try:
        fcntl.ioctl(fd, _TUNSETIFF, _IFREQ.pack(name.encode(), flags))
    except OSError as error:
        os.close(fd)
        raise OSError(error.errno, error.strerror, name) from None
    return fd


def _explained(error: OSError) -> HostError | ConflictError:
    where = f"TAP {error.filename}" if error.filename != _TUN else _TUN
    if error.errno in (errno.EACCES, errno.EPERM) and not os.access(_TUN, os.R_OK | os.W_OK):
        mode = Path(_TUN).stat().st_mode & 0o777
        return Denied(
            f"{_TUN} is not open to this user (mode {mode:04o})",
            where=where,
            hint=f"sudo chmod 0666 {_TUN}   (as udev's default rule has it)",
        )
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return Denied("this kernel has no TUN/TAP driver loaded", where=where, hint="sudo modprobe tun")
    if error.errno in (errno.EBUSY, errno.EEXIST, errno.EINVAL):
        return ConflictError(
            f"there is already a link of this name ({error.strerror})",
            where=where,
            hint="`ip link show` tells what it is; qlan touches only what it made",
        )
    if error.errno == errno.EMFILE:
        return HostError(
            "more files would be open than this user may have",
            where=where,
            hint="a lab needs about three a NIC while it starts: raise the hard limit (`ulimit -Hn`, limits.conf(5))",
        )
    return HostError(f"cannot open it: {error.strerror}", where=where)

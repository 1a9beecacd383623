"""Entering the namespaces of a lab: by id for commands, and by setns(2) for what must be opened by ourselves."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qlan.errors import Denied, HostError
from qlan.host import process
from qlan.render.enter import enter
from qlan.render.layout import Layout
from qlan.resources.model import HOST

if TYPE_CHECKING:
    import socket

_CLONE_NEWNET, _CLONE_NEWUSER = 0x40000000, 0x10000000  # linux/sched.h


def find_holder(layout: Layout, key: str) -> int | None:
    """The process that holds a namespace (by its key), or None."""
    name = key.partition("/")[2]
    found = process.find_recorded(layout.namespace(name))
    if found is None and layout.run.exists() and not process.is_record(layout.namespace(name)):
        waiting = process.find_marked(layout.holder_mark(name))
        found = process.find_child(waiting) if waiting is not None else None
    return found


def holder(layout: Layout, key: str) -> int:
    """The process that holds a namespace; HostError if it is gone."""
    assert key != HOST
    pid = find_holder(layout, key)
    if pid is None:
        raise HostError(f"{key} of lab {layout.lab} is not there any more", hint="`qlan up` makes it again")
    return pid


def inside(layout: Layout, key: str) -> list[str]:
    """The words that run what follows them in a rootless lab's namespace, counted among our own processes."""
    pid = str(holder(layout, key))
    return [word.replace(f"@{key}@", pid) for word in enter(key, rootless=True) if word != "--pid"]


def open_inside(pid: int | None, opener: Callable[[], list[int]]) -> list[int]:
    """Descriptors that `opener` opens inside the namespaces of a process (None: here).

    A child enters it and sends them back (SCM_RIGHTS): entering a user namespace cannot be undone, and only a process
    with one thread may do it.  OSError of the opener comes back as OSError.
    """
    if pid is None:
        return opener()
    import socket

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with process.uninterrupted():  # the child stays so: it ends in a moment, and it is the parent that is told
        child = os.fork()
        if child == 0:
            _child(pid, theirs, opener)
    theirs.close()
    try:
        return _received(ours, pid)
    finally:
        ours.close()
        os.waitpid(child, 0)


_FDS_AT_ONCE = 250  # SCM_MAX_FD is 253, net/scm.h


def _child(pid: int, channel: socket.socket, opener: Callable[[], list[int]]) -> None:
    import socket

    status = 1
    try:
        _enter(pid)
        fds = opener()
        for start in range(0, len(fds), _FDS_AT_ONCE):
            socket.send_fds(channel, [b"fds"], fds[start : start + _FDS_AT_ONCE])
        channel.send(b"done")
        status = 0
    except OSError as error:
        channel.send(f"{error.errno} {error.filename or ''}".encode())
    finally:
        os._exit(status)  # and nothing before it that may fail: the child would come back as a second qlan


def _received(channel: socket.socket, pid: int) -> list[int]:
    import socket

    fds: list[int] = []
    while True:
        message, more, _, _ = socket.recv_fds(channel, 1024, _FDS_AT_ONCE + 3)
        for fd in more:  # recv_fds takes flags and ignores them: MSG_CMSG_CLOEXEC would not come through
            os.set_inheritable(fd, False)
        fds += more
        if message == b"done":
            return fds
        if message != b"fds":
            for fd in fds:
                os.close(fd)
            number, _, name = message.decode().partition(" ")
            if not number:
                raise HostError(f"the helper that entered the namespaces of process {pid} died")
            raise OSError(int(number), os.strerror(int(number)), name)


def _enter(pid: int) -> None:
    """Into the user namespace first (that gives the right to enter the other), where it is not ours already."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    for name, flag in (("user", _CLONE_NEWUSER), ("net", _CLONE_NEWNET)):
        path = Path(f"/proc/{pid}/ns/{name}")
        if path.readlink() == Path(f"/proc/self/ns/{name}").readlink():
            continue
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if libc.setns(fd, flag) != 0:
            raise OSError(ctypes.get_errno(), "setns", str(path))
        os.close(fd)


def explain_denied(stderr: str) -> Denied:
    """Why the kernel did not let an ordinary user make a namespace, and the line that permits it."""
    limit = _read("/proc/sys/user/max_user_namespaces")
    if _read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return Denied(
            "AppArmor forbids user namespaces to ordinary programs on this machine",
            hint="sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0   (or: sudo qlan up --realm host)",
        )
    if _read("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return Denied(
            "this kernel forbids user namespaces to ordinary users",
            hint="sudo sysctl -w kernel.unprivileged_userns_clone=1   (or: sudo qlan up --realm host)",
        )
    if limit == "0":
        return Denied(
            "the number of user namespaces is limited to none",
            hint="sudo sysctl -w user.max_user_namespaces=15000   (or: sudo qlan up --realm host)",
        )
    return Denied(
        f"the kernel refused a user and network namespace: {stderr.strip() or 'no reason given'}",
        hint="inside a container it needs --security-opt seccomp=unconfined or --privileged; "
        "as root: qlan up --realm host",
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""

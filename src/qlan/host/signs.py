"""Signs that something of a lab has changed: netlink's own word from each namespace, and the end of processes.

Nothing is asked and nothing is read while all is quiet.  What a message says does not matter here: it is a reason to
read the lab again.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from qlan.host.namespace import open_inside

if TYPE_CHECKING:
    import socket

_RTNETLINK_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400  # links, IPv4 addresses and routes, IPv6's; linux/rtnetlink.h
_NETLINK_NETFILTER, _SOL_NETLINK, _ADD_MEMBERSHIP, _NFTABLES = 12, 270, 1, 7  # linux/netlink.h, nfnetlink.h
_QUIET_S, _BURST_S = 0.03, 0.5  # a change is many messages: wait for the last of them, but not for ever


class Signs:
    """holders: processes that hold the namespaces to listen in (None: this machine's own); pids: whose end counts.

    others: descriptors that are a sign when they can be read, which is left to their owner.
    """

    def __init__(self, holders: Iterable[int | None], pids: Iterable[int], others: Iterable[int] = ()) -> None:
        self._poller = select.poll()
        self._netlink: set[int] = set()
        self._pidfds: set[int] = set()
        self._others = tuple(others)
        try:
            for holder in holders:
                self._netlink.update(open_inside(holder, _open_monitors))
            for pid in pids:
                with suppress(ProcessLookupError):  # the next reading tells
                    self._pidfds.add(os.pidfd_open(pid))
        except BaseException:
            self.close()
            raise
        for fd in (*self._netlink, *self._pidfds):
            self._poller.register(fd, select.POLLIN)

    def __enter__(self) -> Signs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Listen no more."""
        for fd in self._netlink | self._pidfds:
            os.close(fd)
        self._netlink.clear()
        self._pidfds.clear()

    def wait(self, time_limit_s: float) -> bool:
        """Whether there was a sign within the time, or since the last call; a burst of them is one."""
        for fd in self._others:
            self._poller.register(fd, select.POLLIN)
        found = self._poller.poll(time_limit_s * 1000)
        deadline = time.monotonic() + _BURST_S
        ready = found
        while ready and time.monotonic() < deadline:
            for fd, _ in ready:
                self._take(fd)
            ready = self._poller.poll(_QUIET_S * 1000)
        return bool(found)

    def _take(self, fd: int) -> None:
        if fd not in self._netlink:
            self._poller.unregister(fd)  # it stays readable
            return
        with suppress(OSError):  # ENOBUFS: there was more than fits, a sign all the same
            while os.read(fd, 1 << 16):
                continue


def _open_monitors() -> list[int]:
    import socket

    route = _netlink(socket.NETLINK_ROUTE)
    route.bind((0, _RTNETLINK_GROUPS))
    found = [route.detach()]
    with suppress(OSError):  # a kernel without nftables, or no right to hear of them
        tables = _netlink(_NETLINK_NETFILTER)
        tables.bind((0, 0))  # one without a port of its own hears nothing
        tables.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _NFTABLES)
        found.append(tables.detach())
    return found


def _netlink(family: int) -> socket.socket:
    import socket

    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, family)

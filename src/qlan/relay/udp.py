"""UDP through the relay: a socket of its own for each caller, so that answers find their way; dropped when idle.

On a socket that listens on all addresses an answer must come from the address that was asked (IP_PKTINFO, ip(7)).
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from qlan.relay.callers import IDLE_S, forget
from qlan.relay.loop import READ

if TYPE_CHECKING:
    from qlan.relay.loop import Loop
    from qlan.relay.port import Port

_CALLERS_MAX = 4096  # of a port; the one that was silent longest makes room
_AT_ONCE = 64
_BYTES = 65535
_SHED = 16
_ANCILLARY = socket.CMSG_SPACE(20)
_PKTINFO = (8, 50)  # IP_PKTINFO, IPV6_PKTINFO: socket(7) knows them, Python's module only the second

_Caller = tuple[tuple[str, int], bytes]  # its address, and the address it asked (as the kernel said it)


class Listener:
    """A bound port, and the callers that have asked lately."""

    def __init__(self, port: Port, bound: socket.socket, loop: Loop) -> None:
        self.port = port
        self.bound = bound
        self._loop = loop
        self._callers: dict[_Caller, _Flow] = {}  # the one that was heard longest ago is first
        self._is_open = True
        bound.setblocking(False)
        self._level, self._option = (
            (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO) if bound.family == socket.AF_INET6 else
            (socket.IPPROTO_IP, _PKTINFO[0])
        )  # fmt: skip
        bound.setsockopt(self._level, self._option, 1)
        loop.add(bound.fileno(), READ, self._ready)
        self._sweep()

    def close(self) -> None:
        """The port and all that goes through it: datagrams have no end that could be waited for."""
        self._is_open = False
        self._loop.remove(self.bound.fileno())
        self.bound.close()
        self.forget_callers()

    def forget_callers(self) -> None:
        """Who goes on is a new one."""
        for caller in list(self._callers):
            self._drop(caller)

    def answer(self, caller: _Caller, data: bytes) -> None:
        """What a guest said, to who asked."""
        address, asked = caller
        kind = _PKTINFO[self._level == socket.IPPROTO_IPV6]
        with suppress(OSError):  # lost, as datagrams may be
            self.bound.sendmsg([data], [(self._level, kind, asked)] if asked else [], 0, address)

    def touch(self, caller: _Caller) -> None:
        """It was heard of now."""
        flow = self._callers.pop(caller)
        flow.heard = self._loop.now
        self._callers[caller] = flow

    def drop(self, caller: _Caller) -> None:
        """The guest refuses."""
        self._drop(caller)

    def _ready(self, events: int) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, ancillary, _, address = self.bound.recvmsg(_BYTES, _ANCILLARY)
            except OSError:  # nothing more, or an ICMP error about an answer of ours
                return
            if self.port.only not in ("", address[0]):
                continue
            caller = (address, self._asked(ancillary))
            if flow := self._flow(caller):
                flow.send(data)

    def _asked(self, ancillary: list[tuple[int, int, bytes]]) -> bytes:
        for level, kind, data in ancillary:
            if level == self._level and kind in _PKTINFO:
                # ipi_ifindex 0 (routing decides), ipi_spec_dst: the source of the answer; in6_pktinfo has it first
                return bytes(4) + data[4:8] + bytes(4) if len(data) == 12 else data[:16] + bytes(4)
        return b""

    def _flow(self, caller: _Caller) -> _Flow | None:
        if caller in self._callers:
            self.touch(caller)
            return self._callers[caller]
        for _ in range(2):
            if len(self._callers) >= _CALLERS_MAX:
                self._drop(next(iter(self._callers)))
            try:
                self._callers[caller] = _Flow(self, caller, self._loop)
            except OSError:  # out of descriptors: those who are silent make room
                for silent in list(self._callers)[:_SHED]:
                    self._drop(silent)
            else:
                self.port.connections += 1
                return self._callers[caller]
        return None

    def _drop(self, caller: _Caller) -> None:
        if flow := self._callers.pop(caller, None):
            self.port.connections -= 1
            flow.close()

    def _sweep(self) -> None:
        if not self._is_open:
            return
        for caller, flow in list(self._callers.items()):
            if self._loop.now - flow.heard < IDLE_S:
                break
            self._drop(caller)
        self._loop.after(IDLE_S / 4, self._sweep)


class _Flow:
    """One caller's way to the guest."""

    def __init__(self, listener: Listener, caller: _Caller, loop: Loop) -> None:
        self.heard = loop.now
        self._listener = listener
        self._caller = caller
        self._loop = loop
        port, address = listener.port, caller[0]
        self._socket = socket.socket(port.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._is_kept = (
                port.kept is not None and address[0] in port.kept and port.kept.take(self._socket, address, port=True)
            )
            self._socket.connect(port.target)
            loop.add(self._socket.fileno(), READ, self._ready)
        except OSError:
            self._socket.close()
            raise

    def send(self, data: bytes) -> None:
        with suppress(OSError):
            self._socket.send(data)

    def close(self) -> None:
        self._loop.remove(self._socket.fileno())
        if self._is_kept:
            forget(self._socket)
        self._socket.close()

    def _ready(self, events: int) -> None:
        for _ in range(_AT_ONCE):
            try:
                data = self._socket.recv(_BYTES)
            except BlockingIOError:
                break
            except OSError:  # the guest's ICMP: nobody listens there
                self._listener.drop(self._caller)
                return
            self._listener.answer(self._caller, data)
        self._listener.touch(self._caller)

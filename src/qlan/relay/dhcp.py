"""DHCP through the relay: what guests ask goes to a server elsewhere, its answers come back (RFC 1542, RFC 2131).

Two sockets a network.  One hears port 67 of the network's link, which is where guests broadcast.  The other has the
host's address on the network, by which the server knows where an answer belongs (giaddr): the kernel prefers it to any
socket that is bound to no address, so answers come here whichever link they come by and whoever else serves DHCP on
this machine.  To the guests answers are broadcast: they have no address yet.
"""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from qlan.relay.loop import READ

if TYPE_CHECKING:
    from qlan.relay.loop import Loop
    from qlan.relay.port import Port

_CLIENT_PORT = 68
_REQUEST, _REPLY = 1, 2
_LEAST = 236  # bytes: BOOTP's fields without the options
_HOPS = 3
_XID, _GIADDR, _CHADDR = slice(4, 8), slice(24, 28), slice(28, 44)
_NOBODY = bytes(4)
_BYTES = 65535
_AT_ONCE = 64
_TOLD_MAX = 16
_WAITS_S = 60.0  # a guest asks anew every 64 s at most, with another number (RFC 2131, 4.1)
_WAITING_MAX = 8192


class Listener:
    """The two sockets of a network."""

    def __init__(self, port: Port, guests: socket.socket, server: socket.socket, loop: Loop) -> None:
        self.port = port
        self.bound = guests
        self._server = server
        self._own = socket.inet_aton(server.getsockname()[0])
        self._waiting: dict[bytes, float] = {}  # whose request was passed on, and when; who waits longest is first
        self._loop = loop
        self._told: set[str] = set()
        for one, ready in ((guests, self._asked), (server, self._answered)):
            one.setblocking(False)
            loop.add(one.fileno(), READ, ready)

    def close(self) -> None:
        """Nobody is asked any more."""
        for one in (self.bound, self._server):
            self._loop.remove(one.fileno())
            one.close()

    def _asked(self, events: int) -> None:
        for _ in range(_AT_ONCE):
            try:
                data = self.bound.recv(_BYTES)
            except OSError:
                return
            if request := passed_on(data, self._own):
                self._remember(asker(data))
                with suppress(OSError):  # lost, as datagrams may be: the guest asks again
                    self._server.sendto(request, self.port.target)

    def _answered(self, events: int) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, (sender, _) = self._server.recvfrom(_BYTES)
            except OSError:
                return
            if not is_answer(data, self._own):
                continue
            if sender != self.port.target[0]:
                self._tell(sender)
                continue
            if self._waiting.get(asker(data), -_WAITS_S) + _WAITS_S < self._loop.now:
                continue  # a guest of another network, who pretends to be the server, would give out addresses here
            with suppress(OSError):
                self.bound.sendto(data, ("255.255.255.255", _CLIENT_PORT))

    def _remember(self, who: bytes) -> None:
        self._waiting.pop(who, None)
        if len(self._waiting) >= _WAITING_MAX:
            del self._waiting[next(iter(self._waiting))]
        self._waiting[who] = self._loop.now

    def _tell(self, sender: str) -> None:
        if sender not in self._told and len(self._told) < _TOLD_MAX:
            self._told.add(sender)
            words = f"{self.port.key}: an answer from {sender} was dropped: {self.port.target[0]} is asked\n"
            with suppress(OSError):  # a full disk
                sys.stderr.write(words)
                sys.stderr.flush()


def passed_on(data: bytes, own: bytes) -> bytes | None:
    """A guest's request as the server gets it; None: it is none, or says that another relay passed it on.

    A guest that says so could have the addresses of any network that the server knows.  own: our address, 4 bytes.
    """
    if len(data) < _LEAST or data[0] != _REQUEST or data[_GIADDR] != _NOBODY:
        return None
    request = bytearray(data)
    request[_HOPS] = 1
    request[_GIADDR] = own
    return bytes(request)


def asker(data: bytes) -> bytes:
    """The number of an exchange and the hardware address of who began it."""
    return data[_XID] + data[_CHADDR]


def is_answer(data: bytes, own: bytes) -> bool:
    """Whether it is a server's answer to what we passed on."""
    return len(data) >= _LEAST and data[0] == _REPLY and data[_GIADDR] == own

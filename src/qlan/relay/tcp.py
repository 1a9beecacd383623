"""TCP through the relay: accept outside, connect inside, splice(2) both ways.

The bytes go from socket to pipe to socket within the kernel.  A direction has a pipe only while bytes are under way, so
a thousand idle connections hold two descriptors each and no memory of ours; a slow reader holds one pipe's content back
and nobody else.  An end of file is passed on as one (half-close), a reset as a reset.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from qlan.relay.loop import BROKEN, ERROR, ONCE, READ, WRITE

if TYPE_CHECKING:
    from qlan.relay.loop import Loop
    from qlan.relay.port import Port

_PIPE_BYTES = 256 << 10
_FREE_PIPES_MAX = 16
_ACCEPTS_AT_ONCE = 64
_SYNS = 4  # that a silent guest is sent before the caller is told, after half a minute (tcp(7))
_PAUSE_S = 0.1  # out of descriptors: how long to let callers wait in the backlog
_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: close sends RST
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class Pipes:
    """Empty pipes, kept for the next one who needs one.

    Some are there from the start: where connections take all descriptors that there are, they can still move on.
    """

    def __init__(self) -> None:
        self._free: list[tuple[int, int]] = []
        for pipe in [self.take() for _ in range(_FREE_PIPES_MAX)]:
            self.give(pipe, is_empty=True)

    def take(self) -> tuple[int, int]:
        """An empty pipe; OSError if there are no descriptors left."""
        if self._free:
            return self._free.pop()
        pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with suppress(OSError):  # beyond the user's share of pipe memory it stays small
            fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return pipe

    def give(self, pipe: tuple[int, int], *, is_empty: bool) -> None:
        """Take it back."""
        if is_empty and len(self._free) < _FREE_PIPES_MAX:
            self._free.append(pipe)
        else:
            os.close(pipe[0])
            os.close(pipe[1])


class Listener:
    """A port that is listened on; each caller becomes a Connection."""

    def __init__(self, port: Port, listening: socket.socket, loop: Loop, pipes: Pipes) -> None:
        self.port = port
        self.bound = listening
        self._loop = loop
        self._pipes = pipes
        self._is_open = True
        listening.setblocking(False)
        loop.add(listening.fileno(), READ, self._ready)

    def close(self) -> None:
        """No new callers; connections go on."""
        self._is_open = False
        self._loop.remove(self.bound.fileno())
        self.bound.close()

    def _ready(self, events: int) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                self._accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _FULL:
                    self._pause()
                    return
                # else this caller hung up meanwhile (accept(2)), or there is no way to the guest: the next one

    def _accept(self) -> None:
        """The guest's socket first: a caller for whom there is none waits in the backlog."""
        guest = _towards(self.port)
        try:
            client, caller = self.bound.accept()
        except OSError:
            guest.close()
            raise
        try:
            if self.port.only not in ("", caller[0]):
                raise PermissionError
            client.setblocking(False)
            _set_up(client)
            guest = _called(guest, self.port, caller)
        except OSError:
            guest.close()
            reset(client)
            raise
        Connection(self.port, client, guest, self._loop, self._pipes)

    def _pause(self) -> None:
        self._loop.remove(self.bound.fileno())
        self._loop.after(_PAUSE_S, self._resume)

    def _resume(self) -> None:
        if self._is_open:
            self._loop.add(self.bound.fileno(), READ, self._ready)


def _towards(port: Port) -> socket.socket:
    """A socket for the guest."""
    return socket.socket(port.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


def _set_up(one: socket.socket) -> None:
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _called(guest: socket.socket, port: Port, caller: tuple[str, int]) -> socket.socket:
    """The guest called, by the caller's address where that is to be, and by his port unless it is in use."""
    if port.kept is not None and caller[0] in port.kept:
        for with_port in (True, False):
            with suppress(OSError):  # he has such a connection to this guest already, which is not forgotten yet
                if port.kept.take(guest, caller, port=with_port):
                    _call(guest, port)
                    return guest
            guest.close()
            guest = _towards(port)
    _call(guest, port)
    return guest


def _call(guest: socket.socket, port: Port) -> None:
    """Begin to connect."""
    _set_up(guest)
    guest.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, _SYNS)
    code = guest.connect_ex(port.target)
    if code not in (0, errno.EINPROGRESS):
        raise OSError(code, os.strerror(code))


class Connection:
    """A caller and the guest."""

    def __init__(self, port: Port, client: socket.socket, guest: socket.socket, loop: Loop, pipes: Pipes) -> None:
        self._port = port
        self._loop = loop
        self._sockets = (client, guest)
        self._ways = (_Way(client, guest, pipes), _Way(guest, client, pipes))
        self._asked = {client.fileno(): 0, guest.fileno(): WRITE}
        self._is_open = True
        self._is_paused = False
        port.connections += 1
        loop.add(client.fileno(), 0, self._client_waits)  # it is only listened to for a reset until the guest answers
        loop.add(guest.fileno(), WRITE, self._connected)

    def _client_waits(self, events: int) -> None:
        if events & BROKEN:
            self._end(by_reset=True)

    def _connected(self, events: int) -> None:
        client, guest = self._sockets
        if guest.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._end(by_reset=True)
            return
        for one in (client, guest):
            fd = one.fileno()
            self._loop.remove(fd)
            self._loop.add(fd, READ, self._ready)
            self._asked[fd] = READ
        self._move()

    def _ready(self, events: int) -> None:
        if events & ERROR:
            self._end(by_reset=True)
        else:
            self._move()

    def _move(self) -> None:
        if not self._is_open:
            return
        try:
            for way in self._ways:
                way.move()
        except OSError:
            self._end(by_reset=True)
            return
        if all(way.is_done for way in self._ways):
            self._end(by_reset=False)
            return
        if any(way.starves for way in self._ways) and not self._is_paused:
            self._is_paused = True
            self._loop.after(_PAUSE_S, self._try_again)
        self._ask()

    def _try_again(self) -> None:
        self._is_paused = False
        self._move()

    def _ask(self) -> None:
        """Who is to be waited for: a way that holds bytes waits for its reader, an empty one for its writer."""
        there, back = self._ways
        for one, outwards, inwards in ((self._sockets[0], there, back), (self._sockets[1], back, there)):
            wanted = (READ if outwards.wants_to_read else 0) | (WRITE if inwards.wants_to_write else 0)
            events = wanted or ONCE  # else a hang-up that must wait would be told again and again
            fd = one.fileno()
            if self._asked[fd] != events:
                self._asked[fd] = events
                self._loop.change(fd, events)

    def _end(self, *, by_reset: bool) -> None:
        self._is_open = False
        self._port.connections -= 1
        for one in self._sockets:
            self._loop.remove(one.fileno())
            if by_reset:
                reset(one)
            else:
                one.close()
        for way in self._ways:
            way.close()


class _Way:
    """One direction."""

    def __init__(self, source: socket.socket, target: socket.socket, pipes: Pipes) -> None:
        self._source = source
        self._target = target
        self._pipes = pipes
        self._pipe: tuple[int, int] | None = None
        self._held = 0
        self._is_at_end = False
        self.is_done = False
        self.starves = False  # there was no descriptor for a pipe

    @property
    def wants_to_read(self) -> bool:
        return not (self._held or self._is_at_end or self.starves)

    @property
    def wants_to_write(self) -> bool:
        return self._held > 0

    def move(self) -> None:
        """As much as both sides take now; OSError when one of them broke."""
        if self.is_done:
            return
        self.starves = False
        if self.wants_to_read:
            self._read()
        if self._held:
            self._write()
        if self._is_at_end and not self._held:
            self.is_done = True
            with suppress(OSError):  # it may have closed for good already
                self._target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        if self._pipe:
            self._pipes.give(self._pipe, is_empty=not self._held)
            self._pipe = None

    def _read(self) -> None:
        try:
            pipe = self._pipe = self._pipe or self._pipes.take()
        except OSError:
            self.starves = True
            return
        try:
            count = os.splice(self._source.fileno(), pipe[1], _PIPE_BYTES, flags=_FLAGS)
        except BlockingIOError:
            self.close()
            return
        self._held = count
        if count == 0:
            self._is_at_end = True
            self.close()

    def _write(self) -> None:
        assert self._pipe
        with suppress(BlockingIOError):
            while self._held:
                self._held -= os.splice(self._pipe[0], self._target.fileno(), self._held, flags=_FLAGS)
        if not self._held:
            self.close()


def reset(one: socket.socket) -> None:
    """Close it so that the other side sees a reset: what it sent or waits for is lost."""
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    one.close()

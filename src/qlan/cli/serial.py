"""A guest's serial line: one user at a time, and bytes both ways between it and this terminal.

QEMU talks to one client of the socket; a second one would wait in the socket's queue without a word.  Who has it is
seen in two ways: qlan's own consoles hold a lock beside the socket, and any program at all shows as a connected peer in
/proc/net/unix.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType

from qlan.errors import ConflictError, HostError

DETACH = b"\x1d"  # Ctrl-], as in telnet and virsh
SILENCE_S = 1.0  # after the end of input
_FIRST_WORD_S = 5.0  # a busy guest may be slow even to echo
_LISTENING = "00010000"  # __SO_ACCEPTCON in the flags of /proc/net/unix
_LEAVING_S = 0.5  # in which QEMU notices that its last client is gone
_POLL_S = 0.02
_CHUNK = 65536


class Line:
    """The connected socket, while in the `with` block.  ConflictError, HostError."""

    def __init__(self, path: Path, guest: str) -> None:
        self._path = path
        self._guest = guest
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._lock = -1

    def __enter__(self) -> Line:
        try:
            self._take()
            self.socket.connect(str(self._path))
        except OSError as error:
            self._close()
            raise HostError(f"cannot reach its serial line: {error.strerror}", where=str(self._path)) from error
        except ConflictError:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
                 ) -> None:  # fmt: skip
        self._close()

    def _take(self) -> None:
        self._lock = os.open(self._path.with_name("console.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = os.pread(self._lock, 100, 0).decode(errors="replace").strip()
            raise self._busy(f"another `qlan console` ({who})") from None
        deadline = time.monotonic() + _LEAVING_S
        while is_connected(self._path):
            if time.monotonic() > deadline:
                raise self._busy("another program")
            time.sleep(_POLL_S)
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"process {os.getpid()}\n".encode(), 0)

    def _busy(self, who: str) -> ConflictError:
        hint = f"detach there (Ctrl-]); `qlan log --serial -f {self._guest}` only looks on"
        what = f"busy: {who} is attached to the console of `{self._guest}`"
        return ConflictError(what, where=str(self._path), hint=hint)

    def _close(self) -> None:
        self.socket.close()
        if self._lock >= 0:
            os.close(self._lock)


def is_connected(path: Path, table: Path = Path("/proc/net/unix")) -> bool:
    """Whether some program is connected to a socket that listens at path (unix(7), proc(5))."""
    with suppress(OSError):
        for row in table.read_text(encoding="utf-8", errors="replace").splitlines():
            words = row.split(maxsplit=7)
            if len(words) == 8 and words[7] == str(path) and words[3] != _LISTENING:
                return True
    return False


def talk(line: socket.socket, source: int, target: int, *, silence_s: float = SILENCE_S) -> bool:
    """Copy both ways until DETACH or the end; True if the other side ended.

    source: a terminal (set to raw, and back whatever happens) or a pipe (its end detaches, once the line has answered
    and was silent for silence_s).
    """
    with _raw(source):
        return _Talk(line, source, target, silence_s).run()


class _Talk:
    """What is going on both ways.  Our side is read only when the guest has taken what was read before: a guest that
    waits for us to take its answer would otherwise wait for ever."""

    def __init__(self, line: socket.socket, source: int, target: int, silence_s: float) -> None:
        self._line, self._source, self._target, self._silence_s = line, source, target, silence_s
        self._keys = os.isatty(source)
        self._pending = b""
        self._is_open = True  # the source
        self._wait_s: float | None = None
        line.setblocking(False)

    def run(self) -> bool:
        """True if the other side ended, False if ours did."""
        while True:
            readers = [self._line.fileno(), *([self._source] if self._is_open and not self._pending else [])]
            writers = [self._line.fileno()] if self._pending else []
            readable, writable, _ = select.select(readers, writers, [], self._wait_s)
            if not readable and not writable:
                return False
            if self._line.fileno() in readable:
                if not self._receive():
                    return True
            elif writable:
                self._send()
            elif not self._take():
                return False

    def _receive(self) -> bool:
        """False at the end."""
        try:
            data = self._line.recv(_CHUNK)
        except ConnectionResetError:
            return False
        _write(self._target, data)
        if self._wait_s is not None:
            self._wait_s = self._silence_s
        return bool(data)

    def _send(self) -> None:
        try:
            self._pending = self._pending[self._line.send(self._pending) :]
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self._pending = b""  # its end comes by the other way
        self._mark_end()

    def _take(self) -> bool:
        """False if the user detaches."""
        data = os.read(self._source, _CHUNK)
        self._pending, detach, _ = data.partition(DETACH) if self._keys else (data, b"", b"")
        self._is_open = bool(data)
        self._mark_end()
        if detach:
            with suppress(OSError):
                self._line.send(self._pending)
        return not detach

    def _mark_end(self) -> None:
        if not self._is_open and not self._pending and self._wait_s is None:
            self._wait_s = max(self._silence_s, _FIRST_WORD_S)


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]


@contextmanager
def _raw(source: int) -> Iterator[None]:
    """The terminal passes every key on; restored at the end, by signals too."""
    if not os.isatty(source):
        yield
        return
    before = termios.tcgetattr(source)
    old = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        tty.setraw(source, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(source, termios.TCSAFLUSH, before)
        for number, handler in old.items():
            signal.signal(number, handler)


def _leave(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)

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
_SILENCE_S = 1.0  # after the end of input
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


def talk(line: socket.socket, source: int, target: int) -> bool:
    """Copy both ways until DETACH or the end; True if the other side ended.

    source: a terminal (set to raw, and back whatever happens) or a pipe (its end detaches once the line is silent).
    """
    with _raw(source):
        return _copy(line, source, target)


def _copy(line: socket.socket, source: int, target: int) -> bool:
    poller = select.poll()
    poller.register(line, select.POLLIN)
    poller.register(source, select.POLLIN)
    wait_ms: float | None = None
    while True:
        ready = {fd for fd, _ in poller.poll(wait_ms)}
        if not ready:
            return False
        if line.fileno() in ready:
            with suppress(ConnectionResetError):
                if data := line.recv(_CHUNK):
                    _write(target, data)
                    continue
            return True
        data = os.read(source, _CHUNK)
        before, detach, _ = data.partition(DETACH) if os.isatty(source) else (data, b"", b"")
        with suppress(BrokenPipeError):  # its end comes by the other way
            line.sendall(before)
        if detach:
            return False
        if not data:
            poller.unregister(source)
            wait_ms = _SILENCE_S * 1000


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

"""A guest's root shell, driven over the unix socket of its serial console.

The console is a QEMU chardev `socket,server=on,wait=off`: it has no history. What the guest wrote before we connected,
`QLAN-GUEST READY` and the prompt included, is in the chardev's `logfile=` and never on the socket; what we send before
the shell is there may be lost too. So nothing here waits for the prompt. Each command is framed by two lines that are
unique to it, and all that comes before the first is ignored: echoes, banners, answers to an earlier question.

The prompt, the line editor and the echo are off while a driver is connected (`stty -echo` turns off both), and on again
after `close`. One client at a time: QEMU lets a second one wait in the socket's backlog, and `connect` then times out.
"""

from __future__ import annotations

import codecs
import contextlib
import itertools
import re
import select
import shlex
import socket
import time
import uuid
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path
from types import TracebackType
from typing import Self

# The tty's line buffer takes 4096 bytes and drops the rest of a line without a word (N_TTY_BUF_SIZE).
LINE_BYTES = 4000
TRANSCRIPT_SHOWN = 4000
HELLO_S = 0.3
# A guest that panicked reads nothing: sooner or later its serial port takes no more.
SEND_S = 20.0


class GuestError(Exception):
    """The guest did not do what was asked; the message ends with the last part of the console's transcript."""


@dataclass(frozen=True)
class Done:
    status: int
    output: str


class GuestShell:
    """The shell behind the console socket `path`. Connects with the first command, or by `connect`."""

    def __init__(self, path: Path, *, boot_timeout_s: float = 240) -> None:
        self.path = path
        self.boot_timeout_s = boot_timeout_s
        self.transcript = ""
        self._socket: socket.socket | None = None
        self._pending = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._numbers = itertools.count(1)
        self._tag = uuid.uuid4().hex[:8]

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def run(self, command: str, *, timeout_s: float = 30) -> str:
        """The output (standard and error) of `command`, in which quotes and several lines are fine.

        Raises GuestError if its exit status is not 0 or it takes longer than `timeout_s`. It reads /dev/null, and it
        runs in the one shell of this console: `cd` and variables stay.
        """
        done = self.try_run(command, timeout_s=timeout_s)
        if done.status != 0:
            raise GuestError(f"exit status {done.status} from: {command}{self._shown()}")
        return done.output

    def try_run(self, command: str, *, timeout_s: float = 30) -> Done:
        """As `run`, but any exit status will do (2 for what the shell cannot parse)."""
        if self._socket is None:
            self.connect()
        if any(len(line.encode()) > LINE_BYTES for line in command.splitlines()):
            raise ValueError(f"a line of more than {LINE_BYTES} bytes does not pass a tty")
        mark = f"{self._tag}-{next(self._numbers)}"
        # The end is a line of its own: after a syntax error the shell drops the rest of the line that has it.
        end = f"printf '\\nend %s %s\\n' {mark} $?\n"
        framed = re.compile(rf"^begin {mark}\n(.*)\nend {mark} (\d+)\n", re.DOTALL | re.MULTILINE)
        try:
            # PS1: a shell that ended has a successor, which would prompt
            self._send(
                f"PS1= PS2=; {{ printf '\\nbegin %s\\n' {mark}; eval {shlex.quote(command)}\n}} </dev/null\n{end}"
            )
            found = self._read_until(framed, time.monotonic() + timeout_s)
        except TimeoutError:
            with contextlib.suppress(TimeoutError):
                self._send("\x03")
            raise GuestError(f"no end after {timeout_s:g} s of: {command}{self._shown()}") from None
        return Done(int(found[2]), found[1].replace(end, ""))  # a shell that edits lines may have shown what it read

    def wait_for(self, command: str, *, timeout_s: float = 30) -> str:
        """Run `command` again and again until its exit status is 0; its last output. Raises GuestError at the end."""
        deadline = time.monotonic() + timeout_s
        while True:
            done = self.try_run(command, timeout_s=timeout_s)
            if done.status == 0:
                return done.output
            if time.monotonic() > deadline:
                raise GuestError(
                    f"after {timeout_s:g} s still exit status {done.status} from: {command}\n{done.output}"
                )
            time.sleep(0.1)

    def wait_for_lease(self, iface: str = "eth0", *, timeout_s: float = 30) -> IPv4Interface:
        """The address that `iface` got by DHCP."""
        record = self.wait_for(f"cat /run/lease/{iface}", timeout_s=timeout_s)
        return IPv4Interface(record.split()[0].removeprefix("address="))

    def connect(self) -> None:
        """Connect and wait for the shell; the guest may still be booting, QEMU may still have to make the socket."""
        deadline = time.monotonic() + self.boot_timeout_s
        self._socket = self._open_socket(deadline)
        for number in itertools.count():
            mark = f"{self._tag}-hello-{number}"
            try:
                # ^C, so that half a line that someone left there is not run with ours.
                self._send(f"\x03\nPS1= PS2=; stty -echo; printf '\\nhello %s\\n' {mark}\n")
                self._read_until(
                    re.compile(rf"^hello {mark}\n", re.MULTILINE), min(deadline, time.monotonic() + HELLO_S)
                )
                return
            except TimeoutError:
                if time.monotonic() > deadline:
                    self.close()
                    raise GuestError(f"no shell on {self.path} in {self.boot_timeout_s:g} s{self._shown()}") from None

    def close(self) -> None:
        """Give the console back as it was; harmless when there is no connection, or no guest any more."""
        if self._socket is None:
            return
        with contextlib.suppress(OSError):  # the guest may have gone first
            self._socket.sendall(b"\x03\nPS1='qlan-guest# ' PS2='> '; stty echo\n")
        self._socket.close()
        self._socket = None

    def _open_socket(self, deadline: float) -> socket.socket:
        while True:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(str(self.path))
                connection.settimeout(SEND_S)
                return connection
            except (FileNotFoundError, ConnectionRefusedError) as error:
                connection.close()
                if time.monotonic() > deadline:
                    raise GuestError(f"no console socket {self.path}: {error}") from None
                time.sleep(0.05)

    def _send(self, text: str) -> None:
        assert self._socket is not None
        try:
            self._socket.sendall(text.encode())
        except TimeoutError:
            raise  # nobody reads yet: its firmware is still at work
        except OSError as error:
            raise GuestError(f"the console {self.path} is gone: {error}{self._shown()}") from None

    def _read_until(self, wanted: re.Pattern[str], deadline: float) -> re.Match[str]:
        """Read until `wanted` is in what came since the last match. Raises TimeoutError."""
        assert self._socket is not None
        while not (found := wanted.search(self._pending)):
            ready, _, _ = select.select([self._socket], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            data = self._socket.recv(65536)
            if not data:
                raise GuestError(f"the console {self.path} was closed by QEMU{self._shown()}")
            # A \r may come alone at the end of a read; no guest tool means one without a \n.
            text = self._decoder.decode(data).replace("\r", "")
            self.transcript += text
            self._pending += text
        self._pending = self._pending[found.end() :]
        return found

    def _shown(self) -> str:
        return f"\n--- the console {self.path} said last:\n{self.transcript[-TRANSCRIPT_SHOWN:]}"

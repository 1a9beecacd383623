"""Hearing what a QEMU says by itself, on a monitor that is for nothing else.

Its events are lines of JSON (qemu-qmp-ref, "QMP events"), and they come only to who has said `qmp_capabilities`.  QEMU
talks to one at a time: a second listener waits in the socket's queue, and hears from when the first one leaves.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_CAPABLE = b'{"execute": "qmp_capabilities"}\n'
_CLOCK = "RTC_CHANGE"  # a guest that corrects its clock: nobody wants to read that every eleven minutes


class Ear:
    """At the socket `path`; never waits.  OSError: nobody listens there, or too many wait already."""

    def __init__(self, path: Path) -> None:
        self.open = True
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._rest = b""
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """For poll: there is something to hear."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hear no more."""
        self.open = False
        self._socket.close()

    def heard(self) -> list[Mapping[str, Any]]:
        """The events since the last time: `event`, `data`, `timestamp`.  Closed when QEMU has ended."""
        lines = (self._rest + self._read()).split(b"\n")
        self._rest = lines.pop()
        found = []
        for line in lines:
            said = json.loads(line)
            if "QMP" in said:
                with suppress(OSError):  # it ended just now: the next reading tells
                    self._socket.sendall(_CAPABLE)
            elif "event" in said and said["event"] != _CLOCK:
                found.append(said)
        return found

    def _read(self) -> bytes:
        found = b""
        try:
            while self.open:
                piece = self._socket.recv(1 << 16)
                found += piece
                if not piece:
                    self.close()
        except BlockingIOError:
            return found
        except OSError:
            self.close()
        return found

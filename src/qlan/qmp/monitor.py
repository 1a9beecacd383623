"""One conversation with a QEMU: connect, a few commands, leave.

QMP is a line of JSON each way (docs/interop/qmp-spec in QEMU): a greeting, `qmp_capabilities`, then answers in the
order of the commands, with events between them.  QEMU talks to one at a time; the next one who connects hears nothing.

Who comes right after another may hear what was meant for that one, ahead of the greeting too: QEMU forgets who was
there only when the next one connects (CHR_EVENT_CLOSED in monitor/qmp.c).  So the greeting is waited for, and an answer
is ours if it has our command's `id`.
"""

from __future__ import annotations

import itertools
import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.json import decode, encode

from qlan.errors import NotInTime, QmpError
from qlan.values import Value

_UNDER_WAY = "already in the process of unplug"  # qdev_unplug in softmmu/qdev-monitor.c
_DELETED, _REFUSED = "DEVICE_DELETED", "DEVICE_UNPLUG_GUEST_ERROR"


class Call(Value):
    """A command.  absent_is_fine: what it is about may not be there.  fd: a descriptor that goes with it (`getfd`).

    gone: a device; the call has an answer only when the guest let go of it, for which it has unplug_s seconds.
    """

    name: str
    arguments: dict[str, Any]
    absent_is_fine: bool = False
    fd: int | None = None
    gone: str = ""
    unplug_s: float = 10.0


class Refused(QmpError):
    """QEMU answered with an error; `what` holds its words."""


def execute(path: Path, commands: Sequence[tuple[str, dict[str, Any]]], *, time_limit_s: float = 10.0) -> list[Any]:
    """What QEMU answers to each command, in order (QEMU's QMP reference has the shapes).

    QmpError if it refuses one, does not answer within time_limit_s, or if nobody listens at path.
    """
    return converse(path, [Call(name, arguments) for name, arguments in commands], time_limit_s=time_limit_s)


def converse(path: Path, calls: Sequence[Call], *, time_limit_s: float = 10.0) -> list[Any]:
    """The same for calls with more to them.  Refused, QmpError, NotInTime (a guest does not let go)."""
    try:
        with _Monitor(path, time_limit_s) as monitor:
            return [_answer(monitor, call, time_limit_s) for call in calls]
    except (TimeoutError, BlockingIOError) as error:  # the latter: its queue is full
        hint = "another program may be connected to it (QEMU talks to one at a time), or QEMU hangs"
        raise QmpError(f"no answer within {time_limit_s:.0f} s", where=str(path), hint=hint) from error
    except (OSError, ValueError) as error:
        raise QmpError(f"cannot talk to QEMU: {error}", where=str(path)) from error


class _Monitor:
    """A socket on which QEMU serves QMP.  TimeoutError, other OSErrors, ValueError: what came is no QMP."""

    def __init__(self, path: Path, time_limit_s: float) -> None:
        self.path = path
        self.events: list[Mapping[str, Any]] = []  # that came and were not asked for yet
        self._ids = itertools.count(1)
        self._rest = b""
        self._deadline = time.monotonic() + time_limit_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(time_limit_s)
            self._socket.connect(str(path))
            self._be_greeted()
            self.ask("qmp_capabilities", {}, time_limit_s)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> _Monitor:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(
        self, name: str, arguments: Mapping[str, Any], time_limit_s: float, fd: int | None = None
    ) -> Mapping[str, Any]:
        """An answer: it has `return`, or `error`."""
        self.wait(time_limit_s)
        if fd is not None:
            socket.send_fds(self._socket, [b" "], [fd])
        own = f"qlan-{os.getpid()}-{next(self._ids)}"
        self._socket.sendall(encode({"execute": name, "arguments": arguments, "id": own}) + b"\n")
        while True:
            said = self.hear()
            if said.get("id") == own:
                return said
            if "event" in said:
                self.events.append(said)

    def _be_greeted(self) -> None:
        while "QMP" not in (said := self.hear()):
            if not said.keys() & {"event", "return", "error"}:
                raise ValueError("it does not greet as QMP does")

    def wait(self, time_limit_s: float) -> None:
        """For what comes from now on there is so much time."""
        self._deadline = time.monotonic() + time_limit_s

    def hear(self) -> Mapping[str, Any]:
        """The next line."""
        while b"\n" not in self._rest:
            self._socket.settimeout(max(0.001, self._deadline - time.monotonic()))
            piece = self._socket.recv(1 << 16)
            if not piece:
                raise ConnectionError("it ended the connection")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        said = decode(line)
        if not isinstance(said, dict):
            raise ValueError("it does not speak QMP")
        return said


def _answer(monitor: _Monitor, call: Call, time_limit_s: float) -> Any:
    monitor.events.clear()
    said = monitor.ask(call.name, call.arguments, time_limit_s, call.fd)
    if error := said.get("error"):
        words = str(error["desc"])
        if call.absent_is_fine and error["class"] == "DeviceNotFound":
            return None
        if not (call.gone and _UNDER_WAY in words):
            raise Refused(f"QEMU refuses `{call.name}`: {words}", where=str(monitor.path))
    if call.gone:
        _let_go(monitor, call)
    return said.get("return")


def _let_go(monitor: _Monitor, call: Call) -> None:
    """Wait until the guest let go of a device."""
    monitor.wait(call.unplug_s)
    try:
        while True:
            event = monitor.events.pop(0) if monitor.events else monitor.hear()
            name = event.get("event")
            if name in (_DELETED, _REFUSED) and event.get("data", {}).get("device") == call.gone:
                break
    except TimeoutError:
        raise NotInTime(f"the guest does not let go of {call.gone} within {call.unplug_s:.0f} s") from None
    if name == _REFUSED:
        raise NotInTime(f"the guest refuses to let go of {call.gone}")

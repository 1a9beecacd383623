"""What a QEMU may say that is not meant for who is connected now."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from qlan.errors import QmpError
from qlan.qmp.monitor import execute

GREETING = {"QMP": {"version": {}, "capabilities": []}}
EVENT = {"event": "NETDEV_STREAM_DISCONNECTED", "data": {"netdev-id": "net0"}, "timestamp": {"seconds": 1}}
OTHERS = [{"return": {"of": "another"}}, {"error": {"class": "GenericError", "desc": "another's"}, "id": "qlan-1-2"}]


@contextmanager
def speaker(folder: Path, first: Sequence[Any], between: Sequence[Any]) -> Iterator[Path]:
    """A socket at which one says `first`, and answers each command with its name, after `between`."""
    path = folder / "qmp"

    def say(to: socket.socket, what: Any) -> None:
        to.sendall(json.dumps(what).encode() + b"\r\n")

    def serve() -> None:
        with server.accept()[0] as one, one.makefile("rb") as lines:
            for what in first:
                say(one, what)
            for line in lines:
                command = json.loads(line)
                for what in between:
                    say(one, what)
                say(one, {"return": command["execute"], "id": command["id"]})

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        yield path
        thread.join(timeout=10)
        assert not thread.is_alive()


@pytest.mark.parametrize("first", [[GREETING], [EVENT, GREETING], [*OTHERS, EVENT, GREETING, EVENT]])
@pytest.mark.parametrize("between", [[], [EVENT], [*OTHERS, EVENT]])
def test_what_is_meant_for_another_is_not_taken_for_ours(tmp_path: Path, first: list[Any], between: list[Any]) -> None:
    with speaker(tmp_path, first, between) as path:
        assert execute(path, [("query-status", {}), ("query-name", {})]) == ["query-status", "query-name"]


@pytest.mark.parametrize("first", [[{"hello": 1}], [EVENT, {"hello": 1}], [[1]]])
def test_who_does_not_speak_qmp_is_told_from_one_who_does(tmp_path: Path, first: list[Any]) -> None:
    with speaker(tmp_path, first, []) as path, pytest.raises(QmpError, match=r"does not greet as QMP|not speak QMP"):
        execute(path, [("query-status", {})])

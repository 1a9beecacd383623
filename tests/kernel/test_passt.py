"""passt as the network of a user-mode NIC: started, found again, repaired, ended; a fault at each of its commands."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .place import IS_ROOT, Place, throw_away
from .test_faults import (
    test_killed_at_every_command_of_up_then_up_completes,
    test_refused_at_every_command_of_up,
)
from .test_script import test_the_script_is_up
from .world import world

__all__ = [
    "test_killed_at_every_command_of_up_then_up_completes",
    "test_refused_at_every_command_of_up",
    "test_the_script_is_up",
]

LAB = """\
lab: demo
%s
guests:
  web:
    qemu_args: [-S]
    memory: 16M
    accel: tcg
    nics: [{user: {backend: passt}, forwards: ["127.0.0.1:18000-18002:8000-8002", "udp:18000:53"]}]
"""


@pytest.fixture
def place() -> Iterator[Place]:
    """A machine with a way outside: without one passt does not start."""
    with tempfile.TemporaryDirectory(prefix="ql") as folder:
        Path(folder).chmod(0o755)
        with throw_away(Path(folder)) as one, world(one) as there:
            yield there.machine


@pytest.fixture
def lab(place: Place) -> Path:
    file = place.folder / "qlan.yaml"
    file.write_text(LAB % (f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}" if IS_ROOT else ""))
    return file


def passt(place: Place) -> tuple[int, str]:
    [found] = [one for one in place.processes() if one[1].startswith("passt ")]
    return found


def test_it_is_ended_found_and_made_anew_as_the_file_says(place: Place, lab: Path) -> None:
    empty = place.snapshot()
    place.qlan("up")
    pid, words = passt(place)
    assert "-t 127.0.0.1/18000-18002:8000-8002 " in words
    assert "-u 127.0.0.1/18000:53 " in words
    assert Path(f"/proc/{pid}").stat().st_uid != 0 or not IS_ROOT
    listening = place.run("ss", "-Hltn").stdout
    assert all(f"127.0.0.1:{port} " in listening for port in (18000, 18001, 18002))
    shown = {one["host_port"]: one for one in json.loads(place.qlan("forward", "list", "--json").stdout)["forwards"]}
    assert (shown[18001]["backend"], shown[18001]["owner"]) == ("passt", f"passt (process {pid})")
    assert "backend=UserBackend(hostname web, backend passt" not in "".join(place.plan(lab))
    assert "stream: a socket to passt" in place.qlan("show", "web").stdout

    refused = place.qlan("forward", "add", "web", "18009:80", check=False)
    assert refused.returncode != 0
    assert "cannot be changed while it runs" in refused.stderr
    assert "then `qlan up`" in refused.stderr

    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)
    assert any(line.startswith("+passt/web/0") or "+ passt/web/0" in line for line in place.plan(lab))
    place.qlan("down", "--force")  # to plug the NIC in anew a guest must run: tests/guest/test_passt.py
    assert place.snapshot() == empty

    lab.write_text(lab.read_text().replace("18000-18002:8000-8002", "18004:8004"))
    place.qlan("up")
    assert "-t 127.0.0.1/18004:8004 " in passt(place)[1]
    assert place.plan(lab) == []

    (place.run_dir / "demo/passt/web.0/own/pid").unlink()  # what cleans up /tmp does this
    assert place.plan(lab) == []
    place.qlan("down", "--force")
    assert place.snapshot() == empty


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)

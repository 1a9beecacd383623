"""Wires against the real kernel: an end is known by its socket, wherever the holder or the other end has gone."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from .place import IS_ROOT, Place

LAB = """\
lab: demo
%snetworks: {pair: wire}
guests:
  web: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [pair]}
  box: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [{network: pair, link: down}]}
"""


@pytest.fixture
def wire(place: Place) -> Path:
    file = place.folder / "qlan.yaml"
    file.write_text(LAB % (f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}\n" if IS_ROOT else ""))
    place.qlan("up", "-f", str(file))
    return file


def ended(place: Place, guest: str) -> None:
    pid = int((place.run_dir / "demo" / "guest" / guest / "process").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    with suppress(FileNotFoundError, ProcessLookupError):
        while Path(f"/proc/{pid}/cmdline").read_bytes():
            pass


def test_one_end_is_plugged_in_again_alone(place: Place, wire: Path) -> None:
    assert place.plan(wire) == []
    ended(place, "web")
    drift = place.plan(wire)
    assert any(line.startswith("+ nic/web/0") for line in drift)
    assert not any("box" in line for line in drift), "the other end is where it was"
    place.qlan("up", "-f", str(wire))
    assert place.plan(wire) == []
    place.qlan("down", "-f", str(wire), "--force")
    assert place.processes() == []


def test_a_namespace_made_anew_has_neither_end_in_it(place: Place, wire: Path) -> None:
    """The sockets keep the old one alive, and whoever is plugged in anew would sit in another: both must be."""
    holder = int((place.run_dir / "demo" / "namespace" / "pair").read_text().split()[0])
    os.kill(holder, signal.SIGKILL)
    drift = place.plan(wire)
    assert {"+ namespace/pair"} <= {line.split("  ")[0] for line in drift}
    assert {"+ nic/web/0", "+ nic/box/0"} <= {line.split("  ")[0] for line in drift}
    place.qlan("restart", "-f", str(wire), "--force", "web", "box")  # these guests are paused: they let no card go
    assert place.plan(wire) == []
    place.qlan("down", "-f", str(wire), "--force")
    assert place.processes() == []

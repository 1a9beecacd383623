"""Reverse forwards: a fault at every command of opening and closing one, and the lab's network made anew under it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from .place import IS_ROOT, Place
from .test_faults import at, count

LAB = """\
lab: demo
%s
networks:
  lan: {kind: host-only, subnet: 10.88.0.0/24}
  apart: {kind: host-only, subnet: 10.89.0.0/24}
guests:
  web: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [lan]}
"""


@pytest.fixture
def lab(place: Place) -> Path:
    file = place.folder / "qlan.yaml"
    file.write_text(LAB % (f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}" if IS_ROOT else ""))
    return file


def snapshot(place: Place) -> dict[str, object]:
    """Processes and files; without the journal, which a refusal leaves for the next command."""
    files = [str(path) for path in place.run_dir.rglob("*") if path.name != "journal"]
    return {"files": sorted(files), "processes": sorted(words for _, words in place.processes())}


def listening(place: Place) -> str:
    """Who listens on the host's address of the network, as `ss` has it."""
    return place.qlan("exec", "--", "ss", "-Hltn", "sport", "5432").stdout.split("users:")[0].strip()


def test_a_fault_at_every_command(place: Place, lab: Path) -> None:
    count(place, lab, "up")
    before = snapshot(place)
    total = count(place, lab, "reverse")
    assert total >= 2
    assert "10.88.0.1%" in listening(place) and ":5432" in listening(place), "on its bridge alone"
    away = count(place, lab, "unreverse")
    assert snapshot(place) == before
    for number in range(total):
        assert at(place, lab, "reverse", "fail", number)[0] == 3
        assert snapshot(place) == before, f"refused at command {number} of {total}"
        assert at(place, lab, "reverse", "kill", number)[0] == -9
        count(place, lab, "up")
        assert place.plan(lab) == [], f"killed at command {number} of {total}, then `up`"
        place.qlan("up", "--no-wait", "--discard")
        assert snapshot(place) == before, f"killed at command {number} of {total}, then back to the file"
    for number in range(away):
        count(place, lab, "reverse")
        assert at(place, lab, "unreverse", "fail", number)[0] == 3
        assert ":5432" in listening(place), f"refused at command {number} of {away}: it is put back"
        assert at(place, lab, "unreverse", "kill", number)[0] == -9
        count(place, lab, "up")
        assert place.plan(lab) == [], f"killed at command {number} of {away}, then `up`"
        place.qlan("up", "--no-wait", "--discard")
        assert snapshot(place) == before
    count(place, lab, "reverse")
    place.qlan("down", "--force")
    assert place.processes() == []


@pytest.mark.skipif(IS_ROOT, reason="the host realm's network is nobody's to lose")
def test_the_lab_s_network_is_made_anew_under_it(place: Place, lab: Path) -> None:
    count(place, lab, "up")
    count(place, lab, "reverse")
    record = place.run_dir / "demo" / "namespace" / "realm"
    os.kill(int(record.read_text().split()[0]), signal.SIGKILL)
    place.qlan("restart", "web", "--force", "--no-wait", "-l", "demo")
    assert ":5432" in listening(place), "it comes back with its guest"
    assert json.loads(place.qlan("status", "--json").stdout)["labs"][0]["drift"] == []
    place.qlan("down", "--force")
    assert place.processes() == []


def test_it_stays_while_another_nic_changes_and_goes_with_its_own(place: Place, lab: Path) -> None:
    count(place, lab, "up")
    count(place, lab, "reverse")
    place.qlan("forward", "add", "web", "auto:22")
    place.qlan("nic", "attach", "demo/web", "apart")
    assert ":5432" in listening(place)
    assert len(json.loads(place.qlan("forward", "list", "--json").stdout)["forwards"]) == 1
    place.qlan("nic", "move", "demo/web/0", "apart")
    assert ":5432" not in listening(place)
    assert json.loads(place.qlan("forward", "list", "--json").stdout)["forwards"] == []
    assert json.loads(place.qlan("status", "--json").stdout)["labs"][0]["drift"] == []
    place.qlan("down", "--force")
    assert place.processes() == []

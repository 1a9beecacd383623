"""A fault at every single command of changing a guest that runs: its QEMU ends up with what the file says, or said.

The cards that go are USB's: QEMU takes those back by itself, and nobody is in these guests to let go of others.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qlan.qmp.monitor import execute

from .place import IS_ROOT, Place
from .test_faults import at, count

LAB = """\
lab: demo
%s
networks:
  lan: {kind: host-only, dhcp: true}
  back: {kind: private}
guests:
  web: {qemu_args: [-S], memory: 16M, accel: tcg, hotplug: 1, nics: NICS}
"""
BEFORE = "[{network: lan, rate: 10mbit}, {network: back, model: usb, link: down}]"
AFTER = "[{network: back, rate: 10mbit}, {user: {restrict: true}, model: usb}, {network: lan, model: usb}]"


@pytest.fixture
def lab(place: Place) -> Path:
    return write(place, BEFORE)


def write(place: Place, nics: str) -> Path:
    file = place.folder / "qlan.yaml"
    user = f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}" if IS_ROOT else ""
    file.write_text((LAB % user).replace("NICS", nics))
    return file


def truth(place: Place) -> tuple[list[str], list[str]]:
    """What QEMU itself says of its cards, and the kernel of links and bridges, without what is new with each making."""
    monitor = place.run_dir / "demo" / "guest" / "web" / "qmp"
    [text] = execute(monitor, [("human-monitor-command", {"command-line": "info network"})])
    cards = sorted(line.split(",fd=")[0].strip() for line in text.splitlines())
    links = place.qlan("exec", "--", "sh", "-c", "ip -br link; bridge link").stdout.splitlines()
    named = [" ".join(word for word in line.split() if ":" not in word and "@if" not in word) for line in links]
    return cards, sorted(named)


def test_a_change_that_is_refused_at_any_command_is_put_back(place: Place, lab: Path) -> None:
    count(place, lab, "up")
    before = truth(place)
    write(place, AFTER)
    total = count(place, lab, "up")
    assert total > 15
    after = truth(place)
    assert after != before
    write(place, BEFORE)
    count(place, lab, "up")
    assert truth(place) == before, "and back again"
    for number in range(total):
        write(place, AFTER)
        status, _ = at(place, lab, "up", "fail", number)
        assert status == 3, f"command {number}"
        write(place, BEFORE)
        assert place.plan(lab) == [], f"after a refusal at command {number} of {total}"
        assert truth(place) == before, f"after a refusal at command {number} of {total}"
    place.qlan("down", "--force")


def test_a_change_that_is_killed_at_any_command_can_be_taken_back_or_go_on(place: Place, lab: Path) -> None:
    count(place, lab, "up")
    pid = [pid for pid, words in place.processes() if "qemu-system" in words]
    views = {BEFORE: truth(place)}
    write(place, AFTER)
    total = count(place, lab, "up")
    views[AFTER] = truth(place)
    write(place, BEFORE)
    count(place, lab, "up")
    for number in range(total):
        write(place, AFTER)
        status, _ = at(place, lab, "up", "kill", number)
        assert status == -9
        for nics in ([AFTER] if number % 4 == 0 else []) + [BEFORE]:
            write(place, nics)
            count(place, lab, "up")
            assert place.plan(lab) == [], f"killed at command {number} of {total}, {nics}"
            assert truth(place) == views[nics], f"killed at command {number} of {total}, {nics}"
    assert [pid for pid, words in place.processes() if "qemu-system" in words] == pid, "the guest ran all the time"
    place.qlan("down", "--force")
    assert place.processes() == []

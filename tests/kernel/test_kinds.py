"""Faults at every command, for the kinds of networks that the demo lab does not have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .place import IS_ROOT, Place
from .test_faults import at, count, kernel_view

WIRE = """\
networks: {pair: wire}
guests:
  web: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [pair]}
  box: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [pair]}
"""
OTHERS = """\
networks:
  pair: wire
  office: {kind: bridge, bridge: br0}
  lan: {kind: macvtap, uplink: eth0, subnet: 10.9.0.0/24, host_access: true, address: 10.9.0.4}
guests:
  web: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [pair, office, {network: lan, address: 10.9.0.7}]}
  box: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [pair]}
"""


@pytest.fixture
def lab(place: Place) -> Path:
    if IS_ROOT:
        place.run("ip", "link", "add", "br0", "address", "02:00:00:00:00:99", "type", "bridge")
        place.run("ip", "link", "set", "br0", "up")
        place.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far")
        place.run("ip", "link", "set", "eth0", "up")
        place.run("ip", "link", "set", "far", "up")
    file = place.folder / "qlan.yaml"
    user = f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}\n" if IS_ROOT else ""
    file.write_text(f"lab: demo\n{user}{OTHERS if IS_ROOT else WIRE}")
    return file


def test_up_refused_or_killed_at_every_command(place: Place, lab: Path) -> None:
    """Refused: the place is as before.  Killed: `up` completes, and `down` leaves nothing."""
    total = count(place, lab, "up")
    full = kernel_view(place)
    assert place.plan(lab) == []
    count(place, lab, "down")
    empty = still(place)
    assert empty["processes"] == []
    for number in range(total):
        assert at(place, lab, "up", "fail", number)[0] == 3, f"command {number}"
        assert still(place) == empty, f"after a refusal at command {number} of {total}"
        assert at(place, lab, "up", "kill", number)[0] == -9
        count(place, lab, "up")
        assert kernel_view(place) == full, f"killed at command {number} of {total}"
        assert place.plan(lab) == [], f"killed at command {number} of {total}: a second up had something to do"
        count(place, lab, "down")
        assert still(place) == empty, f"killed at command {number} of {total}"


def test_down_refused_or_killed_at_every_command(place: Place, lab: Path) -> None:
    """Refused: the lab is put back whole.  Killed: the next `down` leaves nothing."""
    empty = still(place)
    count(place, lab, "up")
    full = kernel_view(place)
    total = count(place, lab, "down")
    for number in range(total):
        count(place, lab, "up")
        assert at(place, lab, "down", "fail", number)[0] == 3, f"command {number}"
        assert kernel_view(place) == full, f"after a refusal at command {number} of {total} of down"
        assert place.plan(lab) == [], "the lab was not put back whole"
        assert at(place, lab, "down", "kill", number)[0] == -9
        count(place, lab, "down")
        assert still(place)["processes"] == [], f"killed at command {number} of {total}"
        assert still(place)["link"] == empty["link"], f"killed at command {number} of {total}"


def still(place: Place) -> dict[str, object]:
    """What is there, but for the carrier of a bridge that is not ours: it comes and goes with its ports."""
    found = place.snapshot()
    rows = found["link"]
    assert isinstance(rows, list)
    links = [{key: row.get(key) for key in ("ifname", "ifindex", "address", "mtu", "ifalias")} for row in rows]
    return {"link": links, "bridge": found["bridge"], "processes": found["processes"], "files": found["files"]}

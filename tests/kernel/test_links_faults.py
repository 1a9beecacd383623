"""The faults of test_faults.py, and the script, on a lab whose ports are isolated and limited."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .place import IS_ROOT, REALM, Place
from .test_faults import (
    at,
    count,
    kernel_view,
    test_refused_at_every_command_of_down_is_put_back,
    test_refused_at_every_command_of_up,
)
from .test_script import test_the_script_is_up

__all__ = [
    "test_refused_at_every_command_of_down_is_put_back",
    "test_refused_at_every_command_of_up",
    "test_the_script_is_up",
]

LAB = """\
lab: demo
%s
networks:
  lan: {kind: host-only, dhcp: false, dns: false, isolated: true, stp: true, multicast_snooping: true}
guests:
  web: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [{network: lan, rate: 10mbit}]}
"""


@pytest.fixture
def lab(place: Place) -> Path:
    file = place.folder / "qlan.yaml"
    file.write_text(LAB % (f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}" if IS_ROOT else ""))
    return file


def test_killed_while_a_port_is_made_then_up_completes_and_down_leaves_nothing(place: Place, lab: Path) -> None:
    """At every second command: `up` after one, `down` after the next."""
    empty = place.snapshot()
    total = count(place, lab, "up")
    full = kernel_view(place)
    count(place, lab, "down")
    for number in range(4, total):
        assert at(place, lab, "up", "kill", number)[0] == -9
        if number % 2:
            count(place, lab, "up")
            assert kernel_view(place) == full, f"killed at command {number} of {total}, {REALM}"
            assert place.plan(lab) == [], f"killed at command {number} of {total}: a second up had something to do"
        count(place, lab, "down")
        assert place.snapshot() == empty, f"killed at command {number} of {total}, {REALM}"

"""How large frames are on a way outside, as its guests have it: they agree, also when one comes that takes less."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qlan.lab import Lab

from .lab import IS_ROOT, BootedLab, booted
from .machine import GuestImage

pytestmark = pytest.mark.guest

LAB = """\
lab: wide
networks:
  out: {kind: nat, subnet: 10.88.0.0/24}
guests:
  a: {KERNEL, nics: [out]}
  b: {KERNEL, nics: [out]}
"""
WIDE = 1500 if IS_ROOT else 65500


@pytest.fixture(scope="module")
def wide(guest_image: GuestImage) -> Iterator[BootedLab]:
    with booted(guest_image, LAB) as one:
        yield one


def in_guest(wide: BootedLab, guest: str, mtu: int) -> None:
    """Its frames, and that what is longer arrives all the same, in pieces."""
    wide.shell(guest).wait_for(f"[ $(cat /sys/class/net/eth0/mtu) = {mtu} ]")
    wide.shell(guest).wait_for("ping -c 1 -W 1 -s 20000 10.88.0.1 >/dev/null")


def test_guests_are_told_how_much_a_frame_may_hold(wide: BootedLab) -> None:
    for guest in ("a", "b"):
        in_guest(wide, guest, WIDE)
    assert not wide.fails("a", f"ping -c 1 -W 2 -s 20000 {wide.address('b')}")


def test_all_follow_when_one_takes_less(wide: BootedLab) -> None:
    """Only the other is named: a guest that went on with more would get nothing that fills its frames."""
    source = wide.lab.topology.source if wide.lab.topology else None
    assert source
    text = source.read_text()
    before, _, after = text.rpartition("nics: [out]")
    source.write_text(f"{before}nics: [{{network: out, model: e1000}}]{after}")
    Lab.load(source).up(["b"])
    in_guest(wide, "a", 1500)
    in_guest(wide, "b", 1500)
    assert not wide.fails("a", f"ping -c 1 -W 2 -s 20000 {wide.address('b')}")
    assert Lab.load(source).plan().steps == ()

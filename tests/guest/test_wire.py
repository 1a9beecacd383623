"""A wire carries what a bridge keeps for itself, survives each of its guests, and is nobody's business but theirs.

A frame to a reserved group address (LLDP's, STP's, LACP's) is made of a ping: the neighbour's address is set to it by
hand, and the other side takes what is sent to any group address.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO

import pytest

from qlan.cli.main import main

from .lab import BootedLab, booted
from .machine import GuestImage
from .test_live import edit

pytestmark = pytest.mark.guest

RESERVED = {"STP": "01:80:c2:00:00:00", "LACP": "01:80:c2:00:00:02", "LLDP": "01:80:c2:00:00:0e"}

LAB = """\
lab: cable
networks:
  wire: {kind: wire, subnet: 10.0.0.0/30, mtu: 9000}
  back: {kind: private, subnet: 10.1.0.0/24}
guests:
  left: {KERNEL, nics: [wire, {network: back, address: 10.1.0.1}]}
  right: {KERNEL, nics: [wire, {network: back, address: 10.1.0.2}]}
"""


@pytest.fixture(scope="module")
def lab(guest_image: GuestImage) -> Iterator[BootedLab]:
    with booted(guest_image, LAB) as one:
        for guest in ("left", "right"):
            one.sh(guest, "ip link set eth0 promisc on; ip link set eth1 promisc on")
        yield one


def hears(lab: BootedLab, network: str, device: str, mac: str) -> bool:
    """Whether a ping from left arrives at right in a frame to this MAC."""
    target = f"{network}.2"
    lab.sh("left", f"arp -i {device} -s {target} {mac}")
    try:
        return not lab.fails("left", f"ping -c 2 -W 2 {target}")
    finally:
        lab.sh("left", f"arp -i {device} -d {target}")


def test_both_ends_are_on_their_small_subnet(lab: BootedLab) -> None:
    assert [lab.address(guest) for guest in ("left", "right")] == ["10.0.0.1", "10.0.0.2"]
    assert not lab.fails("left", "ping -c 1 -W 5 10.0.0.2")
    assert not lab.fails("right", "ping -c 1 -W 5 10.0.0.1")


def test_a_frame_of_the_whole_mtu_passes(lab: BootedLab) -> None:
    assert lab.sh("left", "cat /sys/class/net/eth0/mtu").strip() == "9000"
    assert not lab.fails("left", "ping -c 1 -W 5 -s 8972 10.0.0.2")


@pytest.mark.parametrize("name", RESERVED)
def test_a_wire_passes_what_a_bridge_keeps(lab: BootedLab, name: str) -> None:
    assert hears(lab, "10.0.0", "eth0", RESERVED[name])
    if name != "STP":  # a bridge that does not take part in STP passes it on, and nothing else of these
        assert not hears(lab, "10.1.0", "eth1", RESERVED[name]), "a bridge passes it: then this test shows nothing"


def test_one_guest_restarts_and_the_other_does_not_notice(lab: BootedLab) -> None:
    before = lab.lab.find_pid("left")
    lab.sh("left", "ping -i 1 -c 100 10.0.0.2 >/dev/null 2>&1 &")  # it sends while nobody is there
    lab._shells.pop("right").close()
    lab.lab.restart(["right"], grace_s=0)
    assert lab.lab.find_pid("left") == before
    assert lab.lab.status().drift == ()
    lab.shell("right").wait_for("ip -o -4 addr show dev eth0 | grep -q 10.0.0.2", timeout_s=60)
    assert not lab.fails("left", "ping -c 2 -W 5 10.0.0.2")


def test_an_end_is_plugged_into_a_running_guest(lab: BootedLab) -> None:
    pids = [lab.lab.find_pid(guest) for guest in ("left", "right")]
    mac = next(guest.nics[0].mac for guest in lab.lab.status().guests if guest.name == "right")
    old = "nics: [wire, {network: back, address: 10.1.0.2}"
    edit(lab, old, old.replace("wire", "{network: wire, model: e1000}"))
    assert [lab.lab.find_pid(guest) for guest in ("left", "right")] == pids
    name = lab.shell("right").wait_for(f"grep -l {mac} /sys/class/net/*/address", timeout_s=40).split("/")[4]
    lab.sh("right", f"ip addr add 10.0.0.2/30 dev {name}; ip link set {name} up promisc on")
    lab.sh("left", "ip neigh flush all")
    assert not lab.fails("left", "ping -c 2 -W 5 10.0.0.2")
    assert lab.lab.status().drift == ()


def test_status_and_show_say_what_it_is(lab: BootedLab) -> None:
    nics = {guest.name: guest.nics[0] for guest in lab.lab.status().guests}
    assert [(nics[name].network, nics[name].link) for name in ("left", "right")] == [("wire", "up")] * 2
    assert lab.lab.networks == ["back", "wire"]
    with redirect_stdout(StringIO()) as said:
        assert main(["show", "-l", "cable", "wire"]) == 0
    assert "network wire: wire" in said.getvalue()
    assert "left (NIC 0), right (NIC 0)" in said.getvalue()

"""A card goes into a network of each kind while its guest runs, and out again."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path

import pytest

from .place import IS_ROOT, Place

LAB = """\
lab: demo
%s
networks:
  alone: private
  lan: host-only
  out: nat
  pair: wire
%s
guests:
  web: {qemu_args: [-S], memory: 16M, accel: tcg, hotplug: 4, nics: []}
  box: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [pair]}
  bay: {qemu_args: [-S], memory: 16M, accel: tcg, hotplug: 4, nics: [{network: pair, model: usb}]}
"""
ROOTS = """\
  dmz: routed
  office: {kind: bridge, bridge: br0}
  mac: {kind: macvtap, uplink: eth1}
  far: {kind: public, uplink: eth0, confirm_within: 0s}
"""
KINDS = ["alone", "lan", "out", "user", *(["dmz", "office", "mac", "far"] if IS_ROOT else [])]


@pytest.fixture
def lab(place: Place) -> Path:
    if IS_ROOT:
        for line in (
            "link add br0 address 02:00:00:00:00:99 type bridge", "link set br0 up",
            "link add eth0 type veth peer name sw0", "link add eth1 type veth peer name sw1",
            *(f"link set {name} up" for name in ("eth0", "sw0", "eth1", "sw1")),
        ):  # fmt: skip
            place.run("ip", *line.split())
    file = place.folder / "qlan.yaml"
    user = f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}" if IS_ROOT else ""
    file.write_text(LAB % (user, ROOTS if IS_ROOT else ""))
    return file


def test_in_and_out(place: Place, lab: Path) -> None:
    place.qlan("up", "--no-wait", timeout=300)
    before = still(place)
    qemu = [one for one in place.processes() if "demo/guest/web" in one[1] and "qemu" in one[1].split()[0]]
    for kind in KINDS:
        place.qlan("nic", "attach", "demo/web", kind, "--model", "usb")
        [nic] = json.loads(place.qlan("nic", "list", "demo/web", "--json").stdout)["nics"]
        assert (nic["network"], nic["link"]) == (kind, "up")
        place.qlan("nic", "down", "demo/web/0")
        place.qlan("nic", "up", "demo/web/0")
        assert json.loads(place.qlan("status", "--json").stdout)["labs"][0]["drift"] == [], kind
        place.qlan("nic", "detach", "demo/web/0")
        assert still(place) == before, kind
    for one, other in pairwise(KINDS):
        place.qlan("nic", "attach", "demo/web", one, "--model", "usb")
        place.qlan("nic", "move", "demo/web/0", other)
        [nic] = json.loads(place.qlan("nic", "list", "demo/web", "--json").stdout)["nics"]
        assert nic["network"] == other
        assert json.loads(place.qlan("status", "--json").stdout)["labs"][0]["drift"] == [], (one, other)
        place.qlan("nic", "detach", "demo/web/0")
    place.qlan("nic", "detach", "demo/bay/0")  # a wire has two ends: one that is free takes a card again
    place.qlan("nic", "attach", "demo/bay", "pair", "--model", "usb")
    assert json.loads(place.qlan("status", "--json").stdout)["labs"][0]["drift"] == []
    assert still(place) == before
    assert qemu == [one for one in place.processes() if "demo/guest/web" in one[1] and "qemu" in one[1].split()[0]]
    place.qlan("down", "--force")
    assert place.processes() == []


def still(place: Place) -> dict[str, object]:
    """Without what changes by itself, and the lab's own words for it."""
    found = place.snapshot()
    return {key: found[key] for key in ("processes", "bridge", "nft")} | {
        "links": place.run("ip", "-br", "link").stdout
    }

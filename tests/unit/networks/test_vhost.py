"""Whose packets the kernel moves: with KVM where the machine can, else where the file says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from qlan.networks.expand import expand
from qlan.render import qemu
from qlan.render.layout import Layout
from qlan.render.scene import Scene
from qlan.resources.model import Machine, Nic
from qlan.topology import addressing, load
from qlan.topology.check import check
from qlan.topology.model import Picks, Realm
from qlan.values import replace
from tests import samples

TEXT = """\
lab: demo
networks: {lan: host-only}
guests:
  web:
    kernel: vmlinuz
    ACCEL
    nics: [lan, {network: lan, model: e1000}, user, {network: lan, vhost: false}, {network: lan, vhost: true}]
"""


@pytest.mark.parametrize(
    ("accel", "no_kvm", "no_vhost", "having"),
    [
        ("", "", "", [0, 4]),
        ("", "", "it is not there", [4]),
        ("accel: tcg", "", "", [4]),
        ("", "no KVM", "", [4]),
    ],
)
def test_who_has_it(accel: str, no_kvm: str, no_vhost: str, having: list[int]) -> None:
    topology = load.parse(TEXT.replace("ACCEL", accel), "/lab/qlan.yaml")
    facts = replace(samples.FACTS, kvm=no_kvm, no_vhost=no_vhost, run_as=1000)
    wanted = expand(topology, addressing.complete(topology, Picks({}, {}, {}), facts), facts, Realm.HOST)
    assert [one.index for one in wanted.values() if isinstance(one, Nic) and one.vhost] == having
    said = [problem.what for problem in check(topology, facts, lambda path: True)]
    refused = "NIC 4 of guest `web`: `vhost` is not possible: it is not there"
    assert [what for what in said if "vhost" in what] == ([refused] if no_vhost else [])


def test_each_has_a_descriptor_of_its_own() -> None:
    """After those of all TAPs, as they are handed over."""
    topology = load.parse(TEXT.replace("ACCEL", ""), "/lab/qlan.yaml")
    facts = replace(samples.FACTS, kvm="", no_vhost="", run_as=1000)
    wanted = expand(topology, addressing.complete(topology, Picks({}, {}, {}), facts), facts, Realm.HOST)
    machine = wanted["machine/web"]
    assert isinstance(machine, Machine)
    words = qemu.argv(machine, Scene(Layout(Path("/r"), Path("/s"), "demo"), wanted))
    assert [word for word in words if word.startswith("tap,")] == [
        "tap,id=net0,fd=6,vhost=on,vhostfd=10",
        "tap,id=net1,fd=7",
        "tap,id=net3,fd=8",
        "tap,id=net4,fd=9,vhost=on,vhostfd=11",
    ]

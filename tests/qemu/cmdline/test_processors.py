"""QEMUs of other processors: they have the NICs that we say, and take and refuse the same properties."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from qlan import cmdline

if TYPE_CHECKING:
    from conftest import Program

MACHINES = {"aarch64": "virt", "s390x": "s390-ccw-virtio"}  # those that need no firmware to come up
LINES = [
    ("aarch64", "-netdev user,id=a -device virtio-net-pci,netdev=a,mq=on,rx_queue_size=512", True),
    ("aarch64", "-netdev user,id=a -device e1000e,netdev=a", True),
    ("aarch64", "-device virtio-net-pci,devno=fe.0.0001", False),
    ("aarch64", "-device ne2k_isa", False),
    ("aarch64", "-device virtio-net-ccw", False),
    ("s390x", "-netdev user,id=a -device virtio-net-ccw,netdev=a,devno=fe.0.0001,host_mtu=1400", True),
    ("s390x", "-netdev user,id=a -device virtio-net,netdev=a,devno=fe.0.0002", True),
    ("s390x", "-device virtio-net-ccw,romfile=x", False),
    ("s390x", "-device e1000", False),
    ("s390x", "-device spapr-vlan", False),
]


@pytest.mark.parametrize(("processor", "line", "is_fine"), LINES)
def test_accepts_and_refuses_the_same(
    foreign: Callable[[str], Program], processor: str, line: str, is_fine: bool
) -> None:
    qemu = foreign(processor)
    reading = cmdline.read(f"qemu-system-{processor} -M {MACHINES[processor]} {line}", qemu.rules)
    verdict = qemu.start(line.split(), machine=f"{MACHINES[processor]},accel=tcg")
    assert verdict.accepted == is_fine, verdict.said
    assert reading.accepted == is_fine, [fault.shown(reading.line.text) for fault in reading.faults]


@pytest.mark.parametrize("processor", MACHINES)
def test_the_nics_are_those_that_it_has(foreign: Callable[[str], Program], processor: str) -> None:
    qemu = foreign(processor)
    section = re.search(r"^Network devices:\n(.*?)^\n", qemu.ask("-device", "help"), re.MULTILINE | re.DOTALL)
    assert section
    theirs = set(re.findall(r'^name "([^"]+)"', section[1], re.MULTILINE))
    ours = qemu.rules.of_processor(processor).devices.keys()
    assert theirs == set(ours)

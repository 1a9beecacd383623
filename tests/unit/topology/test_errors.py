"""Every bad file tells the exact words that stand beside it: golden/errors/<case>/{qlan.yaml,expected.txt}.

A file named `missing...` is one that is not there; every other one is.  To add a case: make the folder with its
qlan.yaml, run with QLAN_GOLDEN=write, and read what was written as if you were the one who has to understand it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from qlan.errors import Problem, TopologyError
from qlan.facts import Facts, QemuFacts, UsedPort, UsedSubnet
from qlan.topology.check import check
from qlan.topology.load import load

GOLDEN = Path(__file__).parents[2] / "golden" / "errors"
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())

MODELS = ("e1000", "e1000e", "rtl8139", "virtio-net-pci", "vmxnet3", "ne2k_pci", "pcnet")
FACTS = Facts(
    seed="golden",
    uid=1000,
    arch="x86_64",
    used_subnets=(
        UsedSubnet(IPv4Network("192.168.1.0/24"), "the address 192.168.1.7 of eth0"),
        UsedSubnet(IPv4Network("10.9.0.0/16"), "a route to it via tun0"),
        UsedSubnet(IPv4Network("10.77.5.0/24"), "lab office"),
    ),
    used_ports=(
        UsedPort("tcp", IPv4Address("127.0.0.1"), 3306, "mysqld (process 812)"),
        UsedPort("tcp", IPv4Address("0.0.0.0"), 8081, "lab office"),
    ),
    qemu={
        "x86_64": QemuFacts("/usr/bin/qemu-system-x86_64", (7, 2, 0), ("q35", "pc", "microvm"), "q35",
                            dict.fromkeys(MODELS, "")),
    },
    smbd=False,
)  # fmt: skip


def problems_of(path: Path) -> list[Problem]:
    """What `qlan check` says."""
    try:
        topology = load(path)
    except TopologyError as error:
        return error.problems
    return check(topology, FACTS, lambda wanted: not wanted.name.startswith("missing"))


@pytest.mark.parametrize("case", CASES)
def test_the_exact_words(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A copy in a folder of a short name: what is said has long paths cut.
    with tempfile.TemporaryDirectory(prefix="q", dir="/tmp") as folder:
        shutil.copytree(GOLDEN / case, folder, dirs_exist_ok=True)
        monkeypatch.chdir(folder)
        said = "".join(f"{problem}\n" for problem in problems_of(Path("qlan.yaml"))).replace(folder, "{folder}")
        monkeypatch.undo()
    expected = GOLDEN / case / "expected.txt"
    if os.environ.get("QLAN_GOLDEN") == "write":
        expected.write_text(said, encoding="utf-8")
    assert said == expected.read_text(encoding="utf-8")
    assert said, "a case of this folder is a bad file"


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 60

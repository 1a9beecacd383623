"""Every bad file tells the exact words that stand beside it: golden/errors/<case>/{qlan.yaml,expected.txt}.

A file named `missing...` is one that is not there; every other one is.  To add a case: make the folder with its
qlan.yaml, run with QLAN_GOLDEN=write, and read what was written as if you were the one who has to understand it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path

import pytest

from qlan.facts.machine import (
    Carried,
    Facts,
    NicFacts,
    PasstFacts,
    QemuFacts,
    UsedLink,
    UsedPort,
    UsedPrefix,
    UsedSubnet,
)
from qlan.facts.manager import NETWORKD, NETWORKMANAGER, Manager
from qlan.host.probe import find_misplaced
from qlan.problems import Problem, TopologyError
from qlan.topology.check import check
from qlan.topology.load import load
from qlan.values import replace

GOLDEN = Path(__file__).parents[2] / "golden" / "errors"
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())

MODELS = ("e1000", "e1000e", "rtl8139", "virtio-net-pci", "vmxnet3", "ne2k_pci", "pcnet", "usb-net", "tulip")
FACTS = Facts(
    seed="golden",
    uid=1000,
    arch="x86_64",
    used_subnets=(
        UsedSubnet(IPv4Network("192.168.1.0/24"), "the address 192.168.1.7 of eth0"),
        UsedSubnet(IPv4Network("10.9.0.0/16"), "a route to it via tun0"),
        UsedSubnet(IPv4Network("10.77.5.0/24"), "lab office"),
    ),
    used_links=(UsedLink("br0", "bridge"), UsedLink("docker0", "bridge")),
    used_ports=(
        UsedPort("tcp", IPv4Address("127.0.0.1"), 3306, "mysqld (process 812)"),
        UsedPort("tcp", IPv4Address("0.0.0.0"), 8081, "lab office"),
    ),
    qemu={
        "x86_64": QemuFacts("/usr/bin/qemu-system-x86_64", (7, 2, 0), ("q35", "pc", "microvm"), "q35",
                            dict.fromkeys(MODELS, "")),
        "aarch64": QemuFacts("/usr/bin/qemu-system-aarch64", (6, 2, 0), ("virt",), "virt", dict.fromkeys(MODELS, "")),
    },
    smbd=False,
    used_prefixes=(UsedPrefix(IPv6Network("2001:db8:7::/64"), "a route to it via eth0"),),
    nics={
        "eth0": NicFacts("52:54:00:00:00:01", 1500,
                         Carried(("10.1.1.7/24 dev %",), ("unicast 0.0.0.0/0 via 10.1.1.1 dev %",))),
        "eth1": NicFacts("52:54:00:00:00:03", 1500, dhcp_server="10.3.1.1 (52:54:00:00:00:99)"),
        "eth2": NicFacts("52:54:00:00:00:04", 1500, Carried(("192.0.2.4/24 dev %",))),
        "eth3": NicFacts("52:54:00:00:00:05", 1500, manager=Manager(NETWORKD, "/etc/systemd/network/20-wired.network")),
        "eth4": NicFacts("52:54:00:00:00:06", 1500, manager=Manager(
            NETWORKMANAGER, obstacle="its profile is one with 802.1X", hint="write `kind: bridge`")),
        "wlan0": NicFacts("52:54:00:00:00:02", 1500, fault="it is Wi-Fi", hint="forward ports"),
    },
    nic_names=("eth0", "eth1", "wlan0"),
    passt=PasstFacts(),
    tftp_faults={"shut": ("dnsmasq may not look into /srv/tftp", "chmod o+rx /srv/tftp")},
)  # fmt: skip


def problems_of(path: Path) -> list[Problem]:
    """What `qlan check` says."""
    try:
        topology = load(path)
    except TopologyError as error:
        return error.problems
    facts = replace(FACTS, misplaced=find_misplaced(topology.guests))
    return check(topology, facts, lambda wanted: not wanted.name.startswith("missing"))


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

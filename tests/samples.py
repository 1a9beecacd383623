"""Topologies and facts that several levels of tests share."""

from __future__ import annotations

import os
from pathlib import Path

from qlan.facts.machine import Facts, QemuFacts
from qlan.networks.expand import expand
from qlan.resources.model import Resources
from qlan.topology import addressing, load
from qlan.topology.model import Picks, Realm, Topology
from qlan.values import replace

GOLDEN = Path(__file__).parent / "golden"
UPDATE = bool(os.environ.get("QLAN_UPDATE_GOLDEN"))

FACTS = Facts(
    seed="test-machine/1000",
    uid=1000,
    arch="x86_64",
    kvm="not in tests",
    qemu={
        "x86_64": QemuFacts(
            binary="/usr/bin/qemu-system-x86_64",
            version=(7, 2, 0),
            machines=("pc", "q35", "microvm"),
            default_machine="pc",
            models={"virtio-net-pci": "", "e1000": "Intel Gigabit Ethernet", "rtl8139": "", "usb-net": ""},
            buses={"virtio-net-pci": "PCI", "e1000": "PCI", "rtl8139": "PCI", "usb-net": "usb-bus"},
        )
    },
)


def expanded(topology: Topology, realm: Realm) -> Resources:
    """What a topology means on the machine of FACTS."""
    topology = replace(topology, realm=realm)
    formats = {str(disk.path): "qcow2" for guest in topology.guests for disk in guest.disks}
    facts = replace(FACTS, disk_formats=formats, run_as=1000 if realm is Realm.HOST else None)
    picks = addressing.complete(topology, Picks({}, {}, {}), facts)
    return expand(topology, picks, facts, realm)


def parsed(text: str, realm: Realm = Realm.ROOTLESS) -> Resources:
    """The same from the text of a file in /lab."""
    return expanded(load.parse(text, "/lab/qlan.yaml"), realm)


DEMO = """\
lab: demo
networks:
  lan: {kind: host-only, dhcp: true}
  back: {kind: private, dhcp: true}
guests:
  web: {kernel: vmlinuz, nics: [lan, {network: back, model: e1000}]}
  db: {kernel: vmlinuz, nics: [lan]}
  box:
    kernel: vmlinuz
    nics: [{user: {hostname: box}, forwards: ["2222:22", "udp:127.0.0.1:5353:53"]}]
  suspect: {kernel: vmlinuz, nics: []}
"""

"""`cloud_init: true`: the guest finds a FAT disk labelled CIDATA: who it is, and which NIC has which address."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .lab import booted
from .machine import GuestImage

pytestmark = pytest.mark.guest

LAB = """\
lab: seed
networks:
  back: {kind: private, subnet: 10.91.0.0/24}
guests:
  ci: {KERNEL, cloud_init: true, disk: {path: DISK, format: raw}, nics: [{network: back, address: 10.91.0.7}, user]}
"""


def test_the_seed_as_the_guest_sees_it(guest_image: GuestImage, tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(1 << 20))
    for path in (disk, tmp_path, *tmp_path.parents[:2]):  # QEMU runs as another user in the host realm
        path.chmod(path.stat().st_mode | (0o006 if path == disk else 0o005))
    with booted(guest_image, LAB.replace("DISK", str(disk))) as lab:
        lab.sh("ci", "mkdir -p /m && mount -t vfat -o ro /dev/vdb1 /m")
        assert lab.sh("ci", "dd if=/dev/vdb1 bs=1k count=200 2>/dev/null | grep -c CIDATA").strip() == "1"
        assert json.loads(lab.sh("ci", "cat /m/meta-data"))["local-hostname"] == "ci"
        assert lab.sh("ci", "head -n 1 /m/user-data").strip() == "#cloud-config"
        ethernets = json.loads(lab.sh("ci", "cat /m/network-config"))["ethernets"]
        by_mac = {one["match"]["macaddress"]: one for one in ethernets.values()}
        for index, expected in ((0, {"dhcp4": False, "addresses": ["10.91.0.7/24"]}), (1, {"dhcp4": True})):
            mac = lab.sh("ci", f"cat /sys/class/net/eth{index}/address").strip()
            assert expected.items() <= by_mac[mac].items()
        assert lab.fails("ci", "touch /m/x"), "the seed is read-only"

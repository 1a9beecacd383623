"""Guests without a disk: iPXE, the ROM of QEMU's cards, fetches a script, a kernel and an initrd by TFTP."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lab import BootedLab, booted
from .machine import GuestImage

pytestmark = pytest.mark.guest

SCRIPT = """\
#!ipxe
kernel vmlinuz console=ttyS0 quiet qlan.hostname=${hostname} fetched.by=${net0/chip}
initrd initrd.gz
boot
"""
LAB = """\
lab: fetch
networks:
  lan: {kind: host-only, subnet: 10.79.0.0/24, ipv6: false, tftp: "boot, files", bootfile: pxe/boot.ipxe}
guests:
  web: {memory: 256M, accel: tcg, nics: [{network: lan, boot: network}]}
  box:
    memory: 256M
    accel: tcg
    nics: [{user: {tftp: "boot, files", bootfile: pxe/boot.ipxe}, model: e1000, boot: network}]
"""


@pytest.fixture(scope="module")
def fetched(guest_image: GuestImage) -> Iterator[BootedLab]:
    def prepare(folder: Path) -> None:
        files = folder / "boot, files" / "pxe"
        files.mkdir(parents=True)
        for source in (guest_image.vmlinuz, guest_image.initrd):
            shutil.copyfile(source, files / source.name)
        (files / "boot.ipxe").write_text(SCRIPT)
        for path in (files.parent, files, *files.iterdir()):
            path.chmod(0o755)

    with booted(guest_image, LAB, prepare=prepare) as one:
        yield one


@pytest.mark.parametrize(("guest", "card"), [("web", "virtio-net"), ("box", "82540em")])
def test_a_guest_boots_over_its_own_nic(fetched: BootedLab, guest: str, card: str) -> None:
    assert f"fetched.by={card}" in fetched.sh(guest, "cat /proc/cmdline", timeout_s=240)
    assert fetched.shell(guest).wait_for_lease().ip.is_private


def test_the_folder_can_be_read_and_not_written(fetched: BootedLab) -> None:
    assert fetched.sh("web", "tftp -g -r pxe/boot.ipxe -l /tmp/s 10.79.0.1; cat /tmp/s") == SCRIPT
    assert fetched.fails("web", "echo x >/tmp/x; tftp -p -l /tmp/x -r pxe/boot.ipxe 10.79.0.1")
    assert fetched.fails("web", "tftp -g -r ../qlan.yaml -l /dev/null 10.79.0.1")
    served = fetched.lab.layout.run.parent.parent / "boot, files/pxe/boot.ipxe"
    assert served.read_text() == SCRIPT

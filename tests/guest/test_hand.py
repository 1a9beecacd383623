"""`qlan args`: a QEMU that somebody starts from a shell, by hand and without root, is on the lab's network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .driver import GuestShell
from .lab import IS_ROOT, BootedLab, booted
from .machine import GuestImage

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(IS_ROOT, reason="the bridge helper is for rootless labs: the same in the rootless run"),
]

LAB = """\
lab: hand
networks:
  lan: {kind: host-only, subnet: 10.79.0.0/24}
  back: {kind: private, subnet: 10.80.0.0/24, dhcp: true}
guests:
  web: {KERNEL, nics: [lan]}
"""


@pytest.fixture(scope="module")
def lab(guest_image: GuestImage) -> Iterator[BootedLab]:
    with booted(guest_image, LAB) as one:
        yield one


def qlan(*words: str) -> str:
    return subprocess.run([sys.executable, "-m", "qlan", *words], text=True, capture_output=True, check=True).stdout


@contextmanager
def by_hand(image: GuestImage, folder: Path, line: str) -> Iterator[GuestShell]:
    """A shell that starts a QEMU with some words in its command line, as a user types it."""
    folder.mkdir()
    console = folder / "console"
    text = (
        "exec qemu-system-x86_64 -accel tcg -m 192M -display none -nodefaults "
        f"-kernel {image.vmlinux} -initrd {image.initrd} -append 'console=ttyS0 quiet' "
        f"-chardev socket,id=c,path={console},server=on,wait=off -serial chardev:c {line}"
    )
    with subprocess.Popen(["sh", "-c", text]) as qemu, GuestShell(console) as shell:
        try:
            yield shell
        finally:
            qemu.kill()


def test_a_hand_started_qemu_gets_its_lease(lab: BootedLab, guest_image: GuestImage, tmp_path: Path) -> None:
    words = qlan("args", "-l", "hand", "lan", "back,model=rtl8139", "user", "-p", "28022:80")
    again = qlan("args", "-l", "hand", "lan")
    assert again.split("mac=")[1] != words.split("mac=")[1], "two QEMUs must not have one MAC"
    with by_hand(guest_image, tmp_path / "one", words) as shell:
        assert "10.79.0." in str(shell.wait_for_lease("eth0"))
        assert "10.80.0." in str(shell.wait_for_lease("eth1"))
        assert "10.0.2." in str(shell.wait_for_lease("eth2"))
        shell.wait_for(f"ping -c 1 -W 1 {lab.address('web')}", timeout_s=10)
        assert lab.lab.status().drift == (), "a NIC of somebody else's QEMU is no drift"
        lab.in_realm("ip", "link", "del", "lan")
        lab.lab.repair()
        shell.wait_for(f"ping -c 1 -W 1 {lab.address('web')}", timeout_s=20)
    assert "hand1" not in lab.in_realm("ip", "-br", "link").stdout, "its TAP goes with it"


def test_the_helper_by_a_hand_written_netdev(lab: BootedLab, guest_image: GuestImage, tmp_path: Path) -> None:
    """As in the design: br= is the lab's network, helper= is ours; the only lab that is up need not be named."""
    helper = Path(sys.executable).parent / "qlan-bridge-helper"
    line = f"-netdev bridge,id=n,br=lan,helper={helper} -device e1000,netdev=n,romfile=,mac=52:54:00:00:99:01"
    with by_hand(guest_image, tmp_path / "two", line) as shell:
        assert "10.79.0." in str(shell.wait_for_lease("eth0"))


def test_the_short_form_and_none(lab: BootedLab) -> None:
    assert qlan("args", "--nic", "none") == "-nic none\n"
    text = qlan("args", "-l", "hand", "--nic", "lan,model=e1000")
    assert text.startswith("-nic bridge,br=hand/lan/")
    assert "model=e1000,mac=52:" in text
    assert qlan("args", "user", "-p", "2222:22").startswith("-netdev user,hostfwd=tcp:127.0.0.1:2222-:22,id=user0")

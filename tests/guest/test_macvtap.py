"""A guest with a MAC of its own on a NIC: a client of the LAN behind it, heard by this machine by host_access only."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from .lab import IS_ROOT, BootedLab, booted
from .machine import GuestImage
from .test_live import edit

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(not IS_ROOT, reason="only root can use a NIC of this machine"),
]

LAB = """\
lab: office
networks:
  lan: {kind: macvtap, uplink: mvtest0, subnet: 10.79.1.0/24, host_access: true, address: 10.79.1.4}
  apart: {kind: macvtap, uplink: mvtest0, mode: private, subnet: 10.79.2.0/24}
guests:
  web: {KERNEL, nics: [{network: lan, address: 10.79.1.9}, {network: apart, model: e1000, address: 10.79.2.9}]}
"""


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, text=True, capture_output=True).stdout


@pytest.fixture
def office(guest_image: GuestImage) -> Iterator[BootedLab]:
    """mvtest0 is this machine's NIC, and its other end, in a namespace of its own, is somebody on the LAN."""
    ip("link", "add", "mvtest0", "type", "veth", "peer", "name", "mvtest1")
    other = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        ip("link", "set", "mvtest1", "netns", str(other.pid))
        enter = ["nsenter", f"--target={other.pid}", "--net"]
        subprocess.run([*enter, "ip", "address", "add", "10.79.1.1/24", "dev", "mvtest1"], check=True)
        subprocess.run([*enter, "ip", "address", "add", "10.79.2.1/24", "dev", "mvtest1"], check=True)
        subprocess.run([*enter, "ip", "link", "set", "mvtest1", "up"], check=True)
        ip("link", "set", "mvtest0", "up")
        ip("address", "add", "10.79.1.3/24", "dev", "mvtest0")
        ip("address", "add", "10.79.2.3/24", "dev", "mvtest0")
        with booted(guest_image, LAB) as one:
            yield one
    finally:
        ip("link", "del", "mvtest0")
        other.kill()
        other.wait()


def test_who_hears_whom(office: BootedLab) -> None:
    for target in ("10.79.1.1", "10.79.2.1"):
        assert not office.fails("web", f"ping -c 1 -W 5 {target}"), "somebody on the LAN"
    assert not office.fails("web", "ping -c 1 -W 5 10.79.1.4"), "this machine, by its own macvlan"
    assert office.fails("web", "ping -c 1 -W 2 10.79.2.3"), "without one they do not hear each other"
    page = subprocess.run(
        ["curl", "-sS", "--max-time", "10", "http://10.79.1.9/"], check=True, text=True, capture_output=True
    ).stdout
    assert page.strip() == "web"
    pid = office.lab.find_pid("web")
    edit(office, "model: e1000, ", "")
    assert office.lab.find_pid("web") == pid, "it is plugged in while its guest runs"
    mac = next(nic.mac for guest in office.lab.status().guests for nic in guest.nics if nic.index == 1)
    name = office.shell("web").wait_for(f"grep -l {mac} /sys/class/net/*/address", timeout_s=40).split("/")[4]
    office.sh("web", f"ip addr add 10.79.2.9/24 dev {name}; ip link set {name} up")
    assert not office.fails("web", "ping -c 2 -W 5 10.79.2.1")
    assert office.lab.status().drift == ()

"""A guest on a bridge that somebody else made reaches whatever is there, and is reached."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from .lab import IS_ROOT, BootedLab, booted
from .machine import GuestImage

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(not IS_ROOT, reason="only root makes bridges in this machine's network"),
]

LAB = """\
lab: office
networks: {office: {kind: bridge, bridge: brtest, subnet: 10.79.0.0/24}, back: {kind: private, dhcp: true}}
guests:
  web: {KERNEL, nics: [{network: office, address: 10.79.0.9}, back]}
"""


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, text=True, capture_output=True).stdout


@pytest.fixture
def office(guest_image: GuestImage) -> Iterator[BootedLab]:
    ip("link", "add", "brtest", "address", "02:00:00:00:00:77", "type", "bridge")
    try:
        ip("address", "add", "10.79.0.1/24", "dev", "brtest")
        ip("link", "set", "brtest", "up")
        with booted(guest_image, LAB) as one:
            yield one
        assert "brtest" in ip("-br", "link"), "it is not ours to remove"
        assert ip("-br", "link", "show", "master", "brtest") == ""
    finally:
        ip("link", "del", "brtest")


def test_it_is_on_the_bridge_and_on_a_network_of_ours(office: BootedLab) -> None:
    assert not office.fails("web", "ping -c 1 -W 5 10.79.0.1")
    page = subprocess.run(
        ["curl", "-sS", "--max-time", "10", "http://10.79.0.9/"], check=True, text=True, capture_output=True
    ).stdout
    assert page.strip() == "web"
    assert office.address("web", 1)

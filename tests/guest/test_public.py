"""A booted guest on the LAN: its lease is the LAN's, the LAN reaches it, and it reaches the LAN.

One namespace plays the machine, another the LAN with its DHCP server, which is also the client.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..kernel.place import IS_ROOT, Place, throw_away
from .driver import GuestShell
from .lab import filled
from .machine import GuestImage

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="a NIC of the machine is root's: run as root")

SERVED = """\
lab: office
networks:
  lan: {kind: public, uplink: eth0, subnet: 10.0.0.0/24, dhcp: {range: 10.0.0.200-10.0.0.220, lease: 10m}}
guests:
  web: {KERNEL, nics: [lan, {network: lan, address: 10.0.0.99}]}
"""
FILE = """\
lab: office
networks:
  lan: {kind: public, uplink: eth0}
guests:
  web: {KERNEL, nics: [lan]}
"""


@dataclass
class Lan:
    """enter: the words that run a command on it.  server: its DHCP server."""

    place: Place
    enter: list[str]
    server: subprocess.Popen[bytes]


@pytest.fixture
def lan() -> Iterator[Lan]:
    folder = Path(f"/tmp/qlp{os.getpid()}")  # sockets' paths are limited to 107 bytes
    folder.mkdir()
    held = ["unshare", "--net", "sh", "-c", "ip link set lo up; echo; exec sleep infinity"]
    holder = subprocess.Popen(held, stdout=subprocess.PIPE)
    assert holder.stdout and holder.stdout.read(1)
    enter = ["nsenter", f"--target={holder.pid}", "--net"]
    server = None
    try:
        with throw_away(folder) as place:
            server = wire_up(place, enter, holder.pid, folder)
            yield Lan(place, enter, server)
    finally:
        for one in (server, holder):
            if one is not None:
                one.kill()
                one.wait()
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_a_guest_is_a_client_of_the_lan(lan: Lan, guest_image: GuestImage) -> None:
    place = lan.place
    (place.folder / "qlan.yaml").write_text(filled(guest_image, FILE))
    place.qlan("up", "--no-wait")
    place.qlan("confirm")
    try:
        with GuestShell(place.run_dir / "office" / "guest" / "web" / "serial") as shell:
            lease = shell.wait_for_lease(timeout_s=60)
            assert str(lease).startswith("10.0.0.1")
            assert lease.network.prefixlen == 24
            shell.run("ping -c 1 -W 3 10.0.0.1")  # the gateway
            shell.run("ping -c 1 -W 3 10.0.0.5")  # the machine itself, by its bridge
            subprocess.run([*lan.enter, "ping", "-c1", "-W3", str(lease.ip)], check=True, capture_output=True)
        place.run("ping", "-c1", "-W3", str(lease.ip))
    finally:
        place.qlan("down", "--force")
    assert "10.0.0.5/24" in place.run("ip", "address", "show", "dev", "eth0").stdout


def test_dhcp_is_served_where_nobody_else_does(lan: Lan, guest_image: GuestImage) -> None:
    place = lan.place
    (place.folder / "qlan.yaml").write_text(filled(guest_image, SERVED))
    before = place.snapshot()
    refused = place.qlan("up", check=False)
    assert refused.returncode != 0
    assert "10.0.0.1 (" in refused.stderr
    assert "gives addresses on eth0: two DHCP servers break a LAN" in refused.stderr
    assert place.snapshot() == before

    lan.server.kill()
    lan.server.wait()
    place.qlan("up", "--no-wait", "--confirm-within", "200")
    place.qlan("confirm")
    try:
        with GuestShell(place.run_dir / "office" / "guest" / "web" / "serial") as shell:
            lease = shell.wait_for_lease(timeout_s=90)
            assert str(lease) in [f"10.0.0.{last}/24" for last in range(200, 221)]
            assert str(shell.wait_for_lease("eth1", timeout_s=90)) == "10.0.0.99/24"
            assert "default via 10.0.0.1 dev eth0" in shell.run("ip route")
            shell.run("ping -c 1 -W 3 10.0.0.1")
        assert place.plan(place.folder / "qlan.yaml") == []
    finally:
        place.qlan("down", "--force")
    after = place.snapshot()
    assert after["processes"] == []
    assert "10.0.0.5/24" in place.run("ip", "address", "show", "dev", "eth0").stdout


def wire_up(place: Place, enter: list[str], pid: int, folder: Path) -> subprocess.Popen[bytes]:
    """The cable between the two, and the LAN's DHCP server."""
    place.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "sw", "netns", str(pid))
    for words in ("link set sw up", "addr add 10.0.0.1/24 dev sw"):
        subprocess.run([*enter, "ip", *words.split()], check=True)
    for words in ("link set eth0 up", "addr add 10.0.0.5/24 dev eth0", "route add default via 10.0.0.1"):
        place.run("ip", *words.split())
    argv = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=sw", "--no-ping"]
    argv += ["--dhcp-range=10.0.0.100,10.0.0.150", "--dhcp-authoritative", f"--dhcp-leasefile={folder / 'leases'}"]
    argv += ["--user=root", "--pid-file="]
    return subprocess.Popen([*enter, *argv])

"""Guests get their addresses from servers elsewhere: the udhcpd of a guest on another network, or dnsmasq outside."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from qlan.resources.model import Bridge
from tests.kernel.place import IS_ROOT, throw_away
from tests.kernel.world import BEYOND, HERE, THERE, World, world

from .driver import GuestShell
from .lab import BootedLab, booted, filled
from .machine import GuestImage

pytestmark = pytest.mark.guest

LAB = """\
lab: far
networks:
  srv: {kind: host-only, subnet: 10.81.0.0/24, dhcp: false}
  lan: {kind: host-only, subnet: 10.82.0.0/24, ipv6: false, dhcp: {relay: 10.81.0.5}}
  back: {kind: host-only, subnet: 10.84.0.0/24, ipv6: false, dns: false, dhcp: {relay: 10.81.0.6}}
  near: {kind: host-only}
guests:
  server: {KERNEL, nics: [{network: srv, address: 10.81.0.5}]}
  other: {KERNEL, nics: [{network: srv, address: 10.81.0.6}]}
  web: {KERNEL, nics: [lan]}
  db: {KERNEL, nics: [back]}
  app: {KERNEL, nics: [near]}
"""
OUTSIDE = f"""\
lab: NAME
networks:
  lan: {{kind: routed, subnet: 10.NUMBER.0.0/24, ipv6: false, dhcp: {{relay: {THERE}}}}}
  near: {{kind: host-only}}
guests:
  web: {{KERNEL, nics: [lan]}}
"""
UDHCPD = "start NET.50\\nend NET.60\\ninterface eth0\\noption subnet 255.255.255.0\\noption lease 600\\n"


@pytest.fixture(scope="module")
def far(guest_image: GuestImage) -> Iterator[BootedLab]:
    with booted(guest_image, LAB, wait_for=("server", "other", "app")) as one:
        yield one


@pytest.mark.parametrize(("server", "guest", "net"), [("server", "web", "10.82.0"), ("other", "db", "10.84.0")])
def test_the_other_server_gives_the_address(far: BootedLab, server: str, guest: str, net: str) -> None:
    """Beside a network that qlan serves itself, and with a server for each of two."""
    assert far.shell(guest).try_run("cat /run/lease/eth0").status != 0, "nobody gives addresses yet"
    far.sh(server, f"ip route add {net}.0/24 via 10.81.0.1")
    far.sh(server, f"printf '{UDHCPD.replace('NET', net)}' >/tmp/udhcpd.conf")
    far.sh(server, "mkdir -p /var/lib/misc; touch /var/lib/misc/udhcpd.leases; udhcpd /tmp/udhcpd.conf")
    lease = far.shell(guest).wait_for_lease(timeout_s=90)
    assert str(lease.ip).startswith(f"{net}.5")
    assert not far.fails(guest, f"ping -c 1 -W 2 {net}.1")
    assert far.lab.plan().steps == ()


def test_no_server_of_ours_gives_addresses_there(far: BootedLab) -> None:
    assert "dhcp-range" not in (far.lab.layout.dnsmasq("lan") / "conf").read_text()
    assert not far.lab.layout.dnsmasq("back").exists(), "neither addresses nor names are served"


def test_a_relay_whose_bridge_was_made_anew_hears_again(far: BootedLab) -> None:
    """Its socket was bound to the old one."""
    bridge = far.lab.wanted["bridge/back"]
    assert isinstance(bridge, Bridge)
    far.in_realm("ip", "link", "delete", bridge.name)
    far.lab.up()
    far.sh("db", "killall -USR2 udhcpc; sleep 1; rm -f /run/lease/eth0; killall -USR1 udhcpc")
    assert str(far.shell("db").wait_for_lease(timeout_s=60).ip).startswith("10.84.0.5")


@pytest.mark.skipif(not IS_ROOT, reason="nobody outside finds the way back into a rootless lab: in the run as root")
def test_two_labs_ask_a_server_outside(guest_image: GuestImage) -> None:
    """Each with a network that it serves itself, and one for which a server asked by both gives addresses."""
    labs = {"far": 83, "wide": 85}
    with tempfile.TemporaryDirectory(prefix="ql") as folder:
        Path(folder).chmod(0o755)
        with throw_away(Path(folder)) as place, world(place) as there, outer_server(there, Path(folder), labs.values()):
            files = {}
            try:
                for lab, number in labs.items():
                    there.at_outside("ip", "route", "add", f"10.{number}.0.0/24", "via", HERE)
                    text = OUTSIDE.replace("NAME", lab).replace("NUMBER", str(number))
                    files[lab] = place.folder / f"{lab}.yaml"
                    files[lab].write_text(filled(guest_image, text))
                    there.machine.qlan("-f", str(files[lab]), "up", "--no-wait")
                for lab, number in labs.items():
                    with GuestShell(place.run_dir / lab / "guest" / "web" / "serial") as shell:
                        given = shell.wait_for_lease(timeout_s=90).ip
                        assert IPv4Address(f"10.{number}.0.50") <= given <= IPv4Address(f"10.{number}.0.60")
                        shell.run(f"ping -c 1 -W 3 {THERE}")
                    shown = there.machine.qlan("-f", str(files[lab]), "show", "lan").stdout
                    assert f"DHCP        by {THERE}, which is asked through a relay" in shown
                    assert there.machine.plan(files[lab]) == []
                answer = "b'\\x02'.ljust(24, b'\\0') + bytes([10, 83, 0, 1]) + bytes(300)"
                send = f"s.bind(('{BEYOND}', 0)); s.sendto({answer}, ('10.83.0.1', 67))"
                there.at_outside("python3", "-c", f"import socket; s = socket.socket(2, 2); {send}")
                log = place.run_dir / "far" / "relay" / "log"
                words = f"dhcprelay/lan: an answer from {BEYOND} was dropped: {THERE} is asked"
                deadline = time.monotonic() + 10
                while words not in log.read_text():
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.05)
            finally:
                for file in files.values():
                    there.machine.qlan("-f", str(file), "down", "--force")


@contextmanager
def outer_server(there: World, folder: Path, numbers: Iterable[int]) -> Iterator[None]:
    """A DHCP server outside that knows the labs' networks."""
    words = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=lan0"]
    words += ["--bind-interfaces", "--no-ping", "--user=root", "--pid-file=", f"--dhcp-leasefile={folder}/leases"]
    for number in numbers:
        words += [f"--dhcp-range=set:n{number},10.{number}.0.50,10.{number}.0.60,255.255.255.0"]
        words += [f"--dhcp-option=tag:n{number},option:router,10.{number}.0.1"]
    server = subprocess.Popen([*there.outside, *words])
    try:
        yield
    finally:
        server.kill()
        server.wait()

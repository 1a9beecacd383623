"""Guests get their addresses from a server elsewhere: the udhcpd of a guest on another network, by dnsmasq's relay."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.place import IS_ROOT, throw_away
from tests.kernel.world import HERE, THERE, world

from .driver import GuestShell
from .lab import BootedLab, booted, filled
from .machine import GuestImage

pytestmark = pytest.mark.guest

LAB = """\
lab: far
networks:
  srv: {kind: host-only, subnet: 10.81.0.0/24, dhcp: false}
  lan: {kind: host-only, subnet: 10.82.0.0/24, ipv6: false, dhcp: {relay: 10.81.0.5}}
guests:
  server: {KERNEL, nics: [{network: srv, address: 10.81.0.5}]}
  web: {KERNEL, nics: [lan]}
"""
OUTSIDE = f"""\
lab: far
networks:
  lan: {{kind: routed, subnet: 10.83.0.0/24, ipv6: false, dhcp: {{relay: {THERE}}}}}
guests:
  web: {{KERNEL, nics: [lan]}}
"""
UDHCPD = "start 10.82.0.50\\nend 10.82.0.60\\ninterface eth0\\noption subnet 255.255.255.0\\noption lease 600\\n"


@pytest.fixture(scope="module")
def far(guest_image: GuestImage) -> Iterator[BootedLab]:
    with booted(guest_image, LAB, wait_for=("server",)) as one:
        yield one


def test_the_other_server_gives_the_address(far: BootedLab) -> None:
    assert far.shell("web").try_run("cat /run/lease/eth0").status != 0, "nobody gives addresses yet"
    far.sh("server", "ip route add 10.82.0.0/24 via 10.81.0.1")
    far.sh("server", f"printf '{UDHCPD}' >/tmp/udhcpd.conf; mkdir -p /var/lib/misc; touch /var/lib/misc/udhcpd.leases")
    far.sh("server", "udhcpd /tmp/udhcpd.conf")
    lease = far.shell("web").wait_for_lease(timeout_s=90)
    assert str(lease.ip).startswith("10.82.0.5")
    assert not far.fails("web", "ping -c 1 -W 2 10.82.0.1")
    text = (far.lab.layout.dnsmasq("lan") / "conf").read_text()
    assert "dhcp-relay=10.82.0.1,10.81.0.5" in text
    assert "dhcp-range" not in text
    assert far.lab.plan().steps == ()


@pytest.mark.skipif(not IS_ROOT, reason="nobody outside finds the way back into a rootless lab: in the run as root")
def test_a_server_outside_gives_the_address(guest_image: GuestImage) -> None:
    with tempfile.TemporaryDirectory(prefix="ql") as folder:
        Path(folder).chmod(0o755)
        with throw_away(Path(folder)) as place, world(place) as there:
            there.at_outside("ip", "route", "add", "10.83.0.0/24", "via", HERE)
            words = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=lan0"]
            words += [
                "--bind-interfaces",
                "--no-ping",
                "--user=root",
                "--pid-file=",
                f"--dhcp-leasefile={folder}/leases",
            ]
            words += ["--dhcp-range=10.83.0.50,10.83.0.60,255.255.255.0", "--dhcp-option=option:router,10.83.0.1"]
            server = subprocess.Popen([*there.outside, *words])
            try:
                file = place.folder / "qlan.yaml"
                file.write_text(filled(guest_image, OUTSIDE))
                there.machine.qlan("up", "--no-wait")
                with GuestShell(place.run_dir / "far" / "guest" / "web" / "serial") as shell:
                    assert str(shell.wait_for_lease(timeout_s=90).ip).startswith("10.83.0.5")
                    shell.run(f"ping -c 1 -W 3 {THERE}")
                shown = there.machine.qlan("show", "lan").stdout
                assert f"DHCP        by {THERE}, which is asked through a relay" in shown
                assert there.machine.plan(file) == []
            finally:
                there.machine.qlan("down", "--force")
                server.kill()
                server.wait()

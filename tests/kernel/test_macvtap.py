"""macvtaps against the real kernel: they come and go, and the NIC below stays as it was."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from .place import IS_ROOT, Place

LAB = """\
lab: demo
%snetworks:
  lan: {kind: macvtap, uplink: eth0, subnet: 10.9.0.0/24, host_access: true, address: 10.9.0.4}
guests:
  web: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [{network: lan, address: 10.9.0.7}]}
"""


@pytest.fixture
def lan(place: Place) -> Path:
    file = place.folder / "qlan.yaml"
    file.write_text(LAB % (f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}\n" if IS_ROOT else ""))
    return file


def test_an_ordinary_user_is_told_what_to_do(place: Place, lan: Path) -> None:
    if IS_ROOT:
        pytest.skip("of ordinary users")
    done = place.qlan("up", "-f", str(lan), check=False)
    assert done.returncode == 2
    assert "network `lan`: only root can use a NIC of this machine" in done.stderr
    assert "sudo qlan up --realm host" in done.stderr


@pytest.mark.skipif(not IS_ROOT, reason="only root can use a NIC of this machine")
def test_it_comes_and_goes_and_is_repaired(place: Place, lan: Path) -> None:
    missing = place.qlan("up", "-f", str(lan), check=False)
    assert "there is no NIC `eth0` on this machine" in missing.stderr
    place.run("ip", "link", "add", "eth0", "mtu", "1400", "type", "veth", "peer", "name", "far")
    assert "the NIC `eth0` is down" in place.qlan("up", "-f", str(lan), check=False).stderr
    place.run("ip", "link", "set", "eth0", "up")
    place.run("ip", "link", "set", "far", "up")
    place.run("ip", "address", "add", "10.9.0.1/24", "dev", "eth0")
    before = place.run("ip", "-br", "link").stdout, place.run("ip", "route").stdout

    place.qlan("up", "-f", str(lan))
    assert place.plan(lan) == []
    links = [row for row in json.loads(place.run("ip", "-j", "-d", "link").stdout) if row]
    kinds = {row["linkinfo"]["info_kind"]: row for row in links if row.get("linkinfo")}
    assert {"macvtap", "macvlan"} <= kinds.keys()
    assert kinds["macvtap"]["mtu"] == 1400
    assert kinds["macvtap"]["linkinfo"]["info_data"]["mode"] == "bridge"
    assert f"10.9.0.7 dev {kinds['macvlan']['ifname']}" in place.run("ip", "route").stdout
    said = place.qlan("show", "-f", str(lan), "lan").stdout
    assert "macvtaps, mode bridge, on eth0; this machine is there too (host_access)" in said

    place.run("ip", "link", "del", kinds["macvtap"]["ifname"])
    assert {line.split()[1] for line in place.plan(lan)} >= {"macvtap/web/0", "nic/web/0"}
    place.qlan("restart", "-f", str(lan), "--force", "web")  # a paused guest lets no card go
    assert place.plan(lan) == []
    place.qlan("down", "-f", str(lan), "--force")
    assert (place.run("ip", "-br", "link").stdout, place.run("ip", "route").stdout) == before
    assert place.processes() == []


@pytest.mark.skipif(not IS_ROOT, reason="only root can use a NIC of this machine")
def test_passthru_lends_the_nic_below_the_guests_mac(place: Place, lan: Path) -> None:
    text = lan.read_text().replace("subnet: 10.9.0.0/24, host_access: true, address: 10.9.0.4", "mode: passthru")
    lan.write_text(text.replace("address: 10.9.0.7", "mac: 52:54:00:00:00:77"))
    place.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far")
    for name in ("eth0", "far"):
        place.run("ip", "link", "set", name, "up")
    before = place.run("ip", "-br", "link").stdout
    place.qlan("up", "-f", str(lan))
    assert place.plan(lan) == []
    assert "52:54:00:00:00:77" in place.run("ip", "-br", "link", "show", "eth0").stdout
    place.qlan("down", "--force", "-f", str(lan))
    assert place.run("ip", "-br", "link").stdout == before

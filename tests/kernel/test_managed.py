"""A public network on a NIC that NetworkManager or systemd-networkd configures, real ones, in a machine in the small.

The LAN is a namespace with a gateway that is a DHCP server, too: who asks it, and how, tells whose client goes on.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .box import DBUS, box
from .place import IS_ROOT, Place
from .test_public import wait_until

_NETWORKD = Path("/lib/systemd/systemd-networkd")
_MISSING = DBUS is None or not shutil.which("dnsmasq")

pytestmark = [
    pytest.mark.skipif(not IS_ROOT, reason="a NIC of the machine is root's: run as root"),
    pytest.mark.skipif(_MISSING, reason="without dbus-daemon or dnsmasq"),
]

LAB = """\
lab: office
networks:
  lan: {kind: public, uplink: eth0, confirm_within: %s}
"""
GUEST = f"""\
user: {os.environ.get("QLAN_TEST_USER", "nobody")}
guests:
  web: {{qemu_args: [-S], memory: 16M, accel: tcg, nics: [lan]}}
"""
STATIC = "Address=10.0.0.77/24\nGateway=10.0.0.1\n"
# $1: what is in [Network] of its file
NETWORKD = """
mkdir -p /run/systemd/network /run/systemd/netif/leases /run/systemd/netif/links /run/systemd/netif/lldp
chown -R systemd-network /run/systemd/netif
mount -t sysfs -o ro sysfs /sys
mount -t tmpfs tmpfs /etc/systemd/network
mkdir /etc/systemd/network/20-wired.network.d
cd /etc/systemd/network
printf '[Match]\\n%s\\n[Link]\\nMTUBytes=1400\\n[Network]\\n%s' "${2:-Name=eth*}" "$1" >20-wired.network
printf '[DHCPv4]\\nRouteMetric=77\\n' >/etc/systemd/network/20-wired.network.d/metric.conf
/lib/systemd/systemd-networkd >/run/log 2>&1 &
"""
NETWORKMANAGER = """
mkdir -p /run/profiles /run/state
mount -t sysfs -o ro sysfs /sys
mount --bind /run/state /var/lib/NetworkManager
cat >/run/conf <<END
[main]
plugins=keyfile
auth-polkit=root-only
dhcp=internal
no-auto-default=*
[keyfile]
path=/run/profiles
END
cat >/run/profiles/office.nmconnection <<END
[connection]
id=office
uuid=0dc1f2ab-3ae2-4ea2-8a4f-1e6a38ee6a55
type=ethernet
interface-name=eth0
[ipv4]
${1:-method=auto}
[ipv6]
method=auto
addr-gen-mode=stable-privacy
END
chmod 600 /run/profiles/*
NetworkManager --config /run/conf --config-dir /run/none -n >/run/log 2>&1 &
"""


@dataclass
class Machine:
    """place: inside the machine.  lan: enters the LAN.  asked: the DHCP server's log.  families: how the addresses
    begin that eth0 gets; 2001:db8 comes by the gateway's RA.
    """

    place: Place
    lan: list[str]
    asked: Path
    families: tuple[str, ...]

    def addresses(self, name: str) -> list[str]:
        """Those of more than the link."""
        rows = json.loads(self.place.run("ip", "-j", "address", "show", "dev", name).stdout)
        found = [one for row in rows for one in row.get("addr_info", ()) if one["scope"] == "global"]
        return sorted(f"{one['local']}/{one['prefixlen']}" for one in found)

    def routes(self, family: str = "-4") -> set[tuple[str, str, int]]:
        rows = json.loads(self.place.run("ip", family, "-j", "route").stdout)
        return {(one["dst"], one["dev"], one.get("metric", 0)) for one in rows if one["dst"] == "default"}

    def acknowledged(self) -> int:
        return len(re.findall(r"DHCPACK\(sw\)", self.asked.read_text()))

    def discovered(self) -> int:
        return len(re.findall(r"DHCPDISCOVER\(sw\)", self.asked.read_text()))

    def has_come(self) -> bool:
        shown = self.addresses("eth0")
        return all(any(one.startswith(family) for one in shown) for family in self.families)


@pytest.fixture
def machine(place: Place, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Machine]:
    families, script, *words = request.param
    held = ["unshare", "--net", "sh", "-c", "ip link set lo up; echo; exec sleep infinity"]
    holder = subprocess.Popen(held, stdout=subprocess.PIPE)
    assert holder.stdout and holder.stdout.read(1)
    lan, asked = ["nsenter", f"--target={holder.pid}", "--net"], tmp_path / "asked"
    asked.write_text("")
    server = None
    try:
        with box(place, tmp_path, script, *words) as (there, process):
            there.run("ip", "link", "set", "lo", "up")
            words = ["eth0", "address", "02:00:00:00:00:77", "type", "veth", "peer", "name", "sw"]
            place.run("ip", "link", "add", *words, "netns", str(holder.pid))
            for line in ("link set sw up", "addr add 10.0.0.1/24 dev sw", "addr add 2001:db8::1/64 dev sw nodad"):
                subprocess.run([*lan, "ip", *line.split()], check=True)
            argv = ["dnsmasq", "-k", "--conf-file=/dev/null", "--port=0", "--interface=sw", "--bind-interfaces"]
            argv += ["--dhcp-range=10.0.0.100,10.0.0.150,120s", "--dhcp-range=2001:db8::,ra-stateless", "--enable-ra"]
            argv += [f"--dhcp-leasefile={tmp_path / 'leases'}", f"--log-facility={asked}", "--user=root", "--pid-file="]
            server = subprocess.Popen([*lan, *argv])
            one = Machine(there, lan, asked, families)
            wait_until(one.has_come)
            assert process.poll() is None
            yield one
    finally:
        if server:
            server.kill()
            server.wait()
        holder.kill()
        holder.wait()


def param(name: str, *words: str, families: tuple[str, ...] = ("10.", "2001:db8:")) -> Any:
    networkd = name.startswith("networkd")
    there = _NETWORKD.exists() if networkd else shutil.which("NetworkManager")
    skipped = pytest.mark.skipif(not there, reason="without systemd-networkd and NetworkManager")
    return pytest.param((families, NETWORKD if networkd else NETWORKMANAGER, *words), id=name, marks=skipped)


networkd = param("networkd", "DHCP=yes\n")
static = param("networkd-static", STATIC)
by_mac = param("networkd-by-mac", STATIC, "MACAddress=02:00:00:00:00:77")
by_type = param("networkd-by-type", STATIC, "Type=ether")
networkmanager = param("networkmanager")
networkd6 = param("networkd-ipv6", "LinkLocalAddressing=ipv6\n", families=("2001:db8:",))
networkmanager6 = param("networkmanager-ipv6", "method=disabled", families=("2001:db8:",))
by_name = param("networkd-prefixstable", "DHCP=yes\n[IPv6AcceptRA]\nToken=prefixstable\n")
two_addresses = param("networkmanager-static", "method=manual\naddress1=10.0.0.77/24,10.0.0.1\naddress2=10.0.0.78/24")


def written(machine: Machine, within: str = "60s", text: str = GUEST) -> Path:
    file = machine.place.folder / "qlan.yaml"
    file.write_text(LAB % within + text)
    return file


def links(machine: Machine) -> list[dict[str, Any]]:
    return [row for row in json.loads(machine.place.run("ip", "-j", "-d", "link").stdout) if row]


def no_files_of_ours(machine: Machine) -> bool:
    return "qlan" not in machine.place.run("find", "/run/systemd", "/run/NetworkManager", check=False).stdout


def add_second_nic(machine: Machine) -> None:
    """eth1, which NetworkManager configures, too."""
    machine.place.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "far")
    machine.place.run("ip", "link", "set", "far", "up")
    machine.place.run("nmcli", "connection", "add", "type", "ethernet", "ifname", "eth1", "con-name", "second",
                      "ipv4.method", "manual", "ipv4.addresses", "10.9.0.2/24")  # fmt: skip
    machine.place.run("nmcli", "connection", "up", "second")


def bridge_of(machine: Machine, nic: str = "eth0") -> str:
    [row] = json.loads(machine.place.run("ip", "-j", "link", "show", "dev", nic).stdout)
    return str(row.get("master", ""))


def ports(machine: Machine, bridge: str) -> set[str]:
    return {row["ifname"] for row in json.loads(machine.place.run("bridge", "-j", "link").stdout)
            if row.get("master") == bridge}  # fmt: skip


@pytest.mark.parametrize("machine", [networkd, networkmanager], indirect=True)
def test_it_is_refused_unless_it_may_go_on_with_the_bridge(machine: Machine) -> None:
    file = written(machine)
    done = machine.place.qlan("up", "--no-wait", check=False)
    assert done.returncode == 2
    assert "manages eth0, and would configure it again behind the bridge's back" in done.stderr
    assert "`managed: true`, or `qlan up --managed`" in done.stderr
    assert "'s profile " in machine.place.qlan("plan", "--managed").stdout
    file.write_text(file.read_text().replace("uplink: eth0", "uplink: eth0, managed: true"))
    assert "'s profile " in machine.place.qlan("plan").stdout
    assert bridge_of(machine) == ""


@pytest.mark.parametrize("machine", [networkd, static, by_mac, by_type, by_name, two_addresses, networkmanager],
                         indirect=True)  # fmt: skip
def test_it_goes_on_with_the_bridge_and_gets_the_nic_back(machine: Machine) -> None:
    file = written(machine)
    before, routes, leases = machine.addresses("eth0"), machine.routes(), machine.acknowledged()
    machine.place.qlan("up", "--no-wait", "--managed")
    bridge = bridge_of(machine)
    assert bridge
    wait_until(lambda: machine.addresses(bridge) == before, 60)
    assert machine.addresses("eth0") == []
    assert {(one[0], one[2]) for one in machine.routes()} == {(one[0], one[2]) for one in routes}
    assert {one[1] for one in machine.routes()} == {bridge}
    if "10.0.0.77/24" not in before:
        wait_until(lambda: machine.acknowledged() > leases, 60)  # for the bridge now
    machine.place.qlan("confirm")
    assert len(ports(machine, bridge)) == 2, "the guest's TAP is left alone"
    assert machine.place.plan(file) == []
    status = machine.place.qlan("status").stdout
    assert "ends in" not in status, "who renews it knows of the bridge"
    machine.place.qlan("up", "--no-wait")
    leases = machine.acknowledged()
    machine.place.qlan("down", "--force")
    wait_until(lambda: machine.addresses("eth0") == before and machine.routes() == routes, 60)
    if "10.0.0.77/24" not in before:
        wait_until(lambda: machine.acknowledged() > leases, 60)
    assert no_files_of_ours(machine)
    assert machine.place.processes() == []


@pytest.mark.parametrize("machine", [networkd6, networkmanager6], indirect=True)
def test_a_lan_without_ipv4(machine: Machine) -> None:
    written(machine)
    before, routes = machine.addresses("eth0"), machine.routes("-6")
    assert machine.routes() == set()
    assert {one[1] for one in routes} == {"eth0"}
    machine.place.qlan("up", "--no-wait", "--managed")
    bridge = bridge_of(machine)
    wait_until(lambda: machine.addresses(bridge) == before and machine.routes("-6"), 60)
    assert {one[1] for one in machine.routes("-6")} == {bridge}
    wait_until(lambda: machine.place.run("ping", "-c1", "-W1", "2001:db8::1", check=False).returncode == 0)
    machine.place.qlan("confirm")
    machine.place.qlan("down", "--force")
    wait_until(lambda: machine.addresses("eth0") == before and machine.routes("-6") == routes, 60)
    assert no_files_of_ours(machine)


@pytest.mark.parametrize("machine", [networkd, networkmanager], indirect=True)
def test_at_boot(machine: Machine) -> None:
    """What the unit runs."""
    written(machine, "2s", "")
    before = machine.addresses("eth0")
    said = machine.place.qlan("enable", "--show", "--managed").stdout.splitlines()
    start, stop = (
        next(one.partition("=")[2] for one in said if one.startswith(key)) for key in ("ExecStart", "ExecStop")
    )
    assert "--managed" not in machine.place.qlan("enable", "--show").stdout
    machine.place.run(*shlex.split(start))
    wait_until(lambda: "kept: " in machine.place.qlan("status").stdout)
    assert machine.addresses(bridge_of(machine)) == before
    machine.place.run(*shlex.split(stop))
    wait_until(lambda: machine.addresses("eth0") == before, 60)
    assert no_files_of_ours(machine)


@pytest.mark.parametrize("machine", [networkd, by_mac, networkmanager], indirect=True)
def test_nobody_confirms(machine: Machine) -> None:
    written(machine, "4s", "")
    before, routes = machine.addresses("eth0"), machine.routes()
    machine.place.qlan("up", "--managed")
    assert bridge_of(machine)
    wait_until(lambda: not bridge_of(machine), 60)
    wait_until(lambda: machine.addresses("eth0") == before and machine.routes() == routes, 60)
    time.sleep(3)
    wait_until(lambda: machine.addresses("eth0") == before, 60)
    [left] = [row["ifname"] for row in links(machine) if row.get("linkinfo", {}).get("info_kind") == "bridge"]
    assert machine.addresses(left) == [], "the bridge that is left"
    machine.place.qlan("down")
    assert machine.addresses("eth0") == before
    assert no_files_of_ours(machine)


@pytest.mark.parametrize("machine", [networkd], indirect=True)
def test_it_takes_no_word_and_all_is_put_back(machine: Machine) -> None:
    written(machine, "60s", "")
    before, routes = machine.addresses("eth0"), machine.routes()
    machine.place.run("sh", "-c", "kill -9 $(pidof systemd-networkd)")
    done = machine.place.qlan("up", "--managed", check=False)
    assert done.returncode == 3
    assert "networkctl reload" in done.stderr
    assert machine.addresses("eth0") == before
    assert machine.routes() == routes
    assert bridge_of(machine) == ""
    assert no_files_of_ours(machine)
    assert machine.place.processes() == []


@pytest.mark.parametrize("machine", [networkmanager], indirect=True)
def test_one_that_ended_manages_nothing(machine: Machine) -> None:
    written(machine, "60s", "")
    before, routes = machine.addresses("eth0"), machine.routes()
    machine.place.run("sh", "-c", "kill -9 $(pidof NetworkManager)")
    machine.place.qlan("up")
    assert machine.addresses(bridge_of(machine)) == before
    machine.place.qlan("down")
    assert machine.addresses("eth0") == before
    assert machine.routes() == routes


@pytest.mark.parametrize("machine", [networkmanager], indirect=True)
def test_again_and_again(machine: Machine) -> None:
    """NetworkManager takes away what others put on a link of its own: the NIC must be its own first, then ours."""
    written(machine, "60s", "")
    before, routes = machine.addresses("eth0"), machine.routes()
    for wait_s in (0, 1, 3, 5):
        machine.place.qlan("up", "--managed")
        machine.place.qlan("confirm")
        time.sleep(wait_s)
        machine.place.qlan("down")
        wait_until(lambda: machine.addresses("eth0") == before and machine.routes() == routes, 60)
    assert no_files_of_ours(machine)


@pytest.mark.parametrize("machine", [networkd, networkmanager], indirect=True)
def test_what_was_known_is_lost(machine: Machine) -> None:
    written(machine, "60s", "")
    before, routes = machine.addresses("eth0"), machine.routes()
    machine.place.qlan("up", "--managed")
    machine.place.qlan("confirm")
    shutil.rmtree(machine.place.run_dir)
    machine.place.qlan("down")
    wait_until(lambda: machine.addresses("eth0") == before and machine.routes() == routes, 60)
    assert no_files_of_ours(machine)
    assert bridge_of(machine) == ""


@pytest.mark.parametrize("machine", [networkmanager], indirect=True)
def test_beside_a_second_nic(machine: Machine) -> None:
    """Both have a fe80::/64 of one metric that NetworkManager made."""
    written(machine, "60s", "")
    add_second_nic(machine)
    before = machine.addresses("eth0")
    machine.place.qlan("up", "--managed")
    wait_until(lambda: machine.addresses(bridge_of(machine)) == before, 60)
    machine.place.qlan("down")
    wait_until(lambda: machine.addresses("eth0") == before, 60)
    assert "10.9.0.2/24" in machine.addresses("eth1")


@pytest.mark.parametrize("machine", [networkmanager], indirect=True)
def test_two_nics_and_two_networks(machine: Machine) -> None:
    second = "  lab: {kind: public, uplink: eth1, managed: true}\n"
    written(machine, "60s, managed: true", second)
    add_second_nic(machine)
    before = machine.addresses("eth0"), machine.addresses("eth1")
    machine.place.qlan("up")
    lan, lab = bridge_of(machine), bridge_of(machine, "eth1")
    assert lan != lab
    wait_until(lambda: (machine.addresses(lan), machine.addresses(lab)) == before, 60)
    machine.place.qlan("confirm")
    (machine.place.folder / "qlan.yaml").write_text(LAB % "60s, managed: true")
    machine.place.qlan("up")  # without the second
    wait_until(lambda: machine.addresses("eth1") == before[1], 60)
    assert machine.addresses(lan) == before[0]
    machine.place.qlan("down")
    wait_until(lambda: (machine.addresses("eth0"), machine.addresses("eth1")) == before, 60)
    assert no_files_of_ours(machine)


@pytest.mark.parametrize("machine", [networkd, networkmanager], indirect=True)
def test_it_ended_meanwhile_and_the_nic_has_its_addresses(machine: Machine) -> None:
    written(machine, "60s", "")
    before, routes = machine.addresses("eth0"), machine.routes()
    machine.place.qlan("up", "--managed")
    wait_until(lambda: machine.addresses(bridge_of(machine)) == before, 60)
    machine.place.qlan("confirm")
    machine.place.run("sh", "-c", "kill -9 $(pidof systemd-networkd NetworkManager)")
    machine.place.qlan("down")
    assert machine.addresses("eth0") == before
    assert machine.routes() == routes
    assert no_files_of_ours(machine)


@pytest.mark.parametrize("machine", [networkd, networkmanager, two_addresses], indirect=True)
def test_what_is_there_beside_the_profile(machine: Machine) -> None:
    """Put there by hand, by a VPN: neither program knows it, and both take off what they do not know."""
    written(machine, "60s", "")

    def beside(name: str) -> tuple[bool, ...]:
        said = {words: machine.place.run("ip", *words.split()).stdout for words in ("-4 route", "-6 route", "rule")}
        return (
            "10.0.0.200/24" in machine.addresses(name),
            "2001:db8:7::1/64" in machine.addresses(name),
            f"192.168.7.0/24 via 10.0.0.1 dev {name}" in said["-4 route"],
            f"2001:db8:8::/64 dev {name}" in said["-6 route"],
            f"iif {name} lookup 77" in said["rule"],
        )

    for words in (
        "addr add 10.0.0.200/24 dev eth0",
        "addr add 2001:db8:7::1/64 dev eth0 nodad",
        "route add 192.168.7.0/24 via 10.0.0.1 dev eth0",
        "route add 2001:db8:8::/64 dev eth0",
        "rule add iif eth0 lookup 77 priority 100",
    ):
        machine.place.run("ip", *words.split())
    assert all(beside("eth0"))
    before, routes = machine.addresses("eth0"), machine.routes()
    machine.place.qlan("up", "--managed")
    bridge = bridge_of(machine)
    wait_until(
        lambda: machine.addresses(bridge) == before, 60, lambda: (before, machine.place.run("ip", "addr").stdout)
    )
    time.sleep(3)
    assert all(beside(bridge)), beside(bridge)
    machine.place.qlan("confirm")
    machine.place.qlan("down")
    wait_until(lambda: machine.addresses("eth0") == before and machine.routes() == routes, 60,
               lambda: (before, routes, machine.routes(), machine.place.run("ip", "addr").stdout))  # fmt: skip
    time.sleep(3)
    assert all(beside("eth0")), beside("eth0")

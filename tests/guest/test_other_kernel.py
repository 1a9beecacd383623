"""What the kernel that runs the tests may lack: qlan, whole, on Debian's kernel in a guest, with guests of its own."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator

import pytest

from .lab import IS_ROOT
from .machine import GuestImage
from .other_kernel import OtherMachine, other_machine

WHY_NOT_ROOT = "whoever starts it, the guest has the same kernel: in the run as an ordinary user"
pytestmark = [pytest.mark.guest, pytest.mark.timeout(900), pytest.mark.skipif(IS_ROOT, reason=WHY_NOT_ROOT)]

USER = "65534"
LAB = """\
lab: nest
user: nobody
networks:
  lan: {kind: host-only, subnet: 10.77.0.0/24, ipv6: false}
  back: {kind: host-only, subnet: 10.78.0.0/24, ipv6: false}
guests:
  a:
    memory: 64M
    accel: tcg
    machine: q35
    hotplug: 2
    nics: [{network: lan, boot: network, vhost: true}, {network: back, vhost: false}]
"""
PAUSED = """\
lab: still
networks: {lan: {kind: host-only, subnet: 10.79.0.0/24}}
guests: {b: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [{network: lan, vhost: true}, lan]}}
"""
MACVTAP = """\
lab: above
user: nobody
networks: {out: {kind: macvtap, uplink: up0}}
guests: {m: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [{network: out, vhost: true}]}}
"""
VLANS = """\
lab: vlans
user: nobody
networks: {sw: {kind: host-only, subnet: 10.80.0.0/24, dhcp: false, dns: false, vlan_filtering: true, vlan: 10}}
guests:
  c: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [sw, {network: sw, vlan: 20}, {network: sw, trunk: [20-30]}]}
"""


@pytest.fixture(scope="module")
def booted(guest_image: GuestImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OtherMachine]:
    with other_machine(guest_image, tmp_path_factory.mktemp("other")) as machine:
        yield machine


@pytest.fixture
def other(booted: OtherMachine) -> Iterator[OtherMachine]:
    """As the last test found it, however that one ended."""
    yield booted
    booted.qlan("down --force || true")
    booted.qlan("down --force || true", user=USER)


def workers(other: OtherMachine) -> int:
    """The kernel's threads that move packets: one for each NIC with vhost (vhost_worker_create in Linux)."""
    return int(other.run("ls -d /proc/[0-9]* | while read -r one; do cat $one/comm 2>/dev/null || true; done "
                         "| grep -c ^vhost- || true"))  # fmt: skip


def test_a_guest_with_vhost_and_netem(other: OtherMachine) -> None:
    """Its firmware asks for an address: four packets, two each way, that the kernel moves past QEMU."""
    other.write(LAB)
    assert workers(other) == 0
    other.qlan("up --no-wait")
    assert workers(other) == 1
    shown = json.loads(other.qlan("show a --json"))["guest"]["nics"]
    assert [one["data_path"]["vhost"] for one in shown] == ["yes", "no"]
    lease = f"{shlex.quote(sys.executable)} -m qlan leases | grep -q {shown[0]['mac']}"
    other.run(f"until {lease}; do sleep 1; done", timeout_s=200)
    other.qlan("nic down a/0")
    other.qlan("nic up a/0")
    other.qlan("impair a/0 --delay 200ms --loss 5% --direction in")
    assert "delay 200ms loss 5%" in other.run("tc qdisc show")
    other.qlan("impair a/0 --clear")
    assert "netem" not in other.run("tc qdisc show")
    other.run("sed -i 's/vhost: false}\\]/vhost: false}, {network: back, vhost: true}]/' qlan.yaml")
    other.qlan("up --no-wait")
    assert workers(other) == 2, "plugged in while it runs"
    assert "nothing to do" in other.qlan("plan")
    other.qlan("nic attach a lan")
    assert workers(other) == 2, "under TCG only where it is asked for"
    other.qlan("down --force")
    assert workers(other) == 0
    assert other.run("ip -br link").split()[0] == "lo"
    assert len(other.run("ip -br link").splitlines()) == 1


def test_an_ordinary_user_has_it_where_the_device_lets_him(other: OtherMachine) -> None:
    other.write(PAUSED)
    other.run("mkdir -p /tmp/home && chown 65534 /tmp/home && chmod 600 /dev/vhost-net")
    refused = other.qlan("up --no-wait || true", user=USER)
    assert "NIC 0 of guest `b`: `vhost` is not possible: /dev/vhost-net: Permission denied" in refused
    other.run("chmod 666 /dev/vhost-net")
    other.qlan("up --no-wait", user=USER)
    assert workers(other) == 1
    other.qlan("plan --script >up.sh", user=USER)
    other.qlan("down --force", user=USER)
    assert workers(other) == 0
    other.qlan("plan --script >up.sh", user=USER)
    other.run("sh up.sh", user=USER)
    assert workers(other) == 1
    assert "nothing to do" in other.qlan("plan", user=USER)


def test_a_macvtap_s_packets_too(other: OtherMachine) -> None:
    other.run(
        "[ -e /sys/class/net/up0 ] || ip link add up0 type veth peer name up1; ip link set up0 up; ip link set up1 up"
    )
    other.write(MACVTAP)
    other.qlan("up --no-wait")
    assert workers(other) == 1


def test_vlans(other: OtherMachine) -> None:
    """Up, and what the kernel then says of it (test_vlans.py has the packets)."""
    other.write(VLANS)
    other.qlan("up --no-wait")
    assert "nothing to do" in other.qlan("plan")
    rows = {
        row["ifname"].partition(".")[2][:1]: row.get("vlans", []) for row in json.loads(other.run("bridge -j vlan"))
    }
    assert [row["vlan"] for row in rows["0"]] == [10]
    assert [row["vlan"] for row in rows["1"]] == [20]
    assert [row["vlan"] for row in rows["2"]] == list(range(20, 31))

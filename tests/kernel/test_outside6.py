"""IPv6 of networks that lead outside: guests that the kernel itself makes of router advertisements; real packets."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from .place import IS_ROOT
from .test_nat import USER, Machine, machine, page, pings
from .world import BEYOND6, HERE6, UPLINK, up

LAB = """\
lab: demo
%s
networks:
  out: {kind: nat, subnet: 10.81.0.0/24, ipv6: "fd81::/64", reach: [more]}
  more: {kind: nat, subnet: 10.82.0.0/24, ipv6: "fd82::/64"}
  lan: {kind: host-only, subnet: 10.83.0.0/24, ipv6: "fd83::/64"}
guests: {}
"""

__all__ = ["machine"]  # a fixture


@pytest.fixture
def lab(machine: Machine) -> Path:
    file = machine.place.folder / "qlan.yaml"
    file.write_text(LAB % USER)
    return file


def guest(machine: Machine, network: str, name: str, number: int) -> tuple[tuple[str, ...], str]:
    """A namespace on the network that listens to its router: the words that lead into it, and its address."""
    inside = machine.guest(network, name, f"10.{number}.0.9", f"10.{number}.0.1")
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        address = next((one["local"] for one in addresses(machine, inside)), "")
        if address:
            return inside, address
        time.sleep(0.1)
    raise AssertionError(f"nobody told {name} a prefix")


def addresses(machine: Machine, inside: tuple[str, ...]) -> list[dict[str, Any]]:
    words = ("ip", "-j", "-6", "address", "show", "dev", "eth0", "scope", "global")
    rows = [row for row in json.loads(machine.run(*inside, *words).stdout) if row]
    return [one for row in rows for one in row["addr_info"] if "local" in one and not one.get("tentative")]


def routes(machine: Machine, inside: tuple[str, ...]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        machine.run(*inside, "ip", "-j", "-6", "route", "show", "default").stdout or "[]"
    )
    return found


def test_who_reaches_whom(machine: Machine, lab: Path) -> None:
    place = machine.place
    before = machine.forwarding()
    place.qlan("up", "--no-wait")
    (a, _), (b, b6), (c, c6) = (
        guest(machine, *words) for words in (("out", "ga", 81), ("more", "gb", 82), ("lan", "gc", 83))
    )
    assert page(machine, a, f"[{BEYOND6}]") == HERE6, "out, with the machine's own address"
    assert page(machine, b, f"[{BEYOND6}]") == HERE6
    assert pings(machine, a, BEYOND6)
    assert pings(machine, a, "fd81::1"), "the host"
    assert pings(machine, a, b6), "`reach` says so"
    assert not pings(machine, b, addresses(machine, a)[0]["local"]), "and not the other way"
    assert not pings(machine, a, c6), "a host-only network is nobody's"
    assert routes(machine, c) == [], "host-only does not lead outside"
    assert pings(machine, c, "fd83::1")
    machine.run(*machine.outside, "ip", "route", "add", "fd80::/12", "via", HERE6)
    for inside in (a, b, c):
        assert not pings(machine, machine.outside, addresses(machine, inside)[0]["local"]), "from outside"
    time.sleep(6)  # the kernel asks its router whether it is still there (delay_first_probe_time is 5 s)
    assert [row["protocol"] for row in routes(machine, a)] == ["ra"], "the host says in its answer that it is a router"
    listed = machine.in_realm("nft", "list", "table", "inet", "qlan.demo.out").stdout
    assert 'comment "network out of lab demo, made by qlan"' in listed, "its mark"
    assert "ip6 saddr fd81::/64" in listed and "packets 0 bytes 0 masquerade" not in listed.partition("ip6 saddr")[2]
    assert place.plan(lab) == []
    for name in ("ga", "gb", "gc"):
        machine.in_realm("ip", "link", "del", name)
    place.qlan("down", "--force")
    assert machine.forwarding() == before


@pytest.mark.skipif(not IS_ROOT, reason="a rootless lab changes nothing of the machine: the same in the run as root")
@pytest.mark.parametrize("old_kernel", [False, True])
def test_the_machine_keeps_the_way_that_a_router_told_it(machine: Machine, lab: Path, old_kernel: bool) -> None:
    """The kernel drops what it learned from advertisements when it is told to forward."""
    listen_to_router(machine)
    machine.run(*machine.setup, "sysctl", "-q", "-w", "net.ipv6.conf.lo.forwarding=1")  # somebody's own wish
    learned(machine)
    before = machine.forwarding()
    up(machine.place, lab, old_kernel=old_kernel)
    assert learned(machine, wait_s=0)["protocol"] == "ra", "it was not lost for a moment"
    now = machine.forwarding()
    settings = ("all/forwarding", f"{UPLINK}/force_forwarding", f"{UPLINK}/accept_ra")
    assert [now[f"/proc/sys/net/ipv6/conf/{one}"] for one in settings] == (
        ["1", "0", "2"] if old_kernel else ["0", "1", "2"]
    )
    inside, _ = guest(machine, "out", "ga", 81)
    assert page(machine, inside, f"[{BEYOND6}]").startswith("2001:db8:51:")
    deadline = time.monotonic() + 15
    last = now_left = learned(machine, wait_s=0)["expires"]
    while now_left <= last:
        assert time.monotonic() < deadline, "it does not listen to its router any more"
        time.sleep(0.2)
        last, now_left = now_left, learned(machine, wait_s=0)["expires"]
    machine.in_realm("ip", "link", "del", "ga")
    machine.place.qlan("down", "--force")
    assert machine.forwarding() == before
    assert learned(machine, wait_s=0)


def listen_to_router(machine: Machine) -> None:
    """Outside a router advertises itself; the machine has no other way."""
    words = (
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--port=0",
        "--interface=lan0", "--bind-interfaces", "--enable-ra", "--ra-param=lan0,4,600",
        "--dhcp-range=2001:db8:51::,ra-only,64",
    )  # fmt: skip
    machine.run(*machine.setup, "ip", "-6", "route", "del", "default")
    machine.run(*machine.outside, "sysctl", "-q", "-w", "net.ipv6.conf.lan0.forwarding=1")  # else who asks forgets it
    machine.start(*machine.outside, *words)


def learned(machine: Machine, wait_s: float = 15.0) -> dict[str, Any]:
    deadline = time.monotonic() + wait_s
    while True:
        found = json.loads(machine.run(*machine.setup, "ip", "-j", "-6", "route", "show", "default").stdout or "[]")
        if found:
            one: dict[str, Any] = found[0]
            return one
        assert time.monotonic() < deadline, "no way outside"
        time.sleep(0.1)


@pytest.mark.skipif(not IS_ROOT, reason="without root the way outside is pasta")
def test_an_uplink_whose_frames_are_too_small_for_it(machine: Machine, lab: Path) -> None:
    """The kernel takes IPv6 off a link with an MTU below 1280: nothing of it is asked there."""
    place = machine.place
    for line in ("link add vpn0 mtu 1200 type veth peer name vpn1", "link set vpn0 up", "link set vpn1 up"):
        machine.run(*machine.setup, "ip", *line.split())
    lab.write_text((LAB % USER).replace('"fd81::/64", reach: [more]', '"fd81::/64", uplink: vpn0'))
    place.qlan("up", "--no-wait")
    assert place.plan(lab) == []
    machine.run(*machine.setup, "ip", "link", "set", "vpn0", "mtu", "1400")
    place.qlan("up", "--no-wait")
    assert place.plan(lab) == []
    machine.run(*machine.setup, "ip", "link", "set", "vpn0", "mtu", "1200")
    place.qlan("up", "--no-wait")
    assert place.plan(lab) == []
    place.qlan("down", "--force")

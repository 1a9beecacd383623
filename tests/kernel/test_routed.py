"""`routed`, as root: guests keep their addresses, and the machine is left as it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .place import IS_ROOT, Place
from .test_edit import edit
from .test_nat import Machine, pings
from .world import BEYOND, BEYOND6, THERE, THERE6, UPLINK, World, run, up, world

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="routed networks need the host realm: in the run as root")
LAB = f"""\
lab: demo
user: {os.environ.get("QLAN_TEST_USER", "nobody")}
networks:
  dmz: {{kind: routed, subnet: 10.99.1.0/24, uplink: {UPLINK}, proxy_arp: true}}
  out: {{kind: nat, subnet: 10.99.2.0/24}}
guests:
  web: {{qemu_args: [-S], memory: 16M, accel: tcg, nics: [dmz]}}
"""
SETTINGS = [f"net.ipv4.conf.{UPLINK}.forwarding", f"net.ipv4.conf.{UPLINK}.proxy_arp"]


@pytest.fixture
def there(place: Place) -> Iterator[World]:
    with world(place) as one:
        yield one


@pytest.fixture
def lab(place: Place) -> Path:
    file = place.folder / "qlan.yaml"
    file.write_text(LAB)
    return file


def settings(there: World) -> list[str]:
    return there.on_machine("sysctl", "-n", *SETTINGS).split()


def answered(there: World, address: str) -> bool:
    """Whether somebody on the link outside says that the address is there (ARP)."""
    there.at_outside("ip", "route", "replace", address, "dev", "lan0")
    there.at_outside("sh", "-c", f"ping -c 1 -W 2 {address} || true")
    rows = json.loads(there.at_outside("ip", "-j", "neigh", "show", "to", address))
    return any("lladdr" in row for row in rows)


def test_the_host_answers_for_its_guests_and_is_left_as_it_was(there: World, lab: Path) -> None:
    assert settings(there) == ["0", "0"]
    there.machine.qlan("up", "--no-wait")
    assert settings(there) == ["1", "1"]
    rules = [row["rule"] for row in json.loads(run(*there.here, "nft", "-j", "list", "ruleset"))["nftables"]
             if "rule" in row]  # fmt: skip
    masqueraded = {rule["table"] for rule in rules if "masquerade" in json.dumps(rule["expr"])}
    assert masqueraded == {"qlan.demo.out"}
    assert answered(there, "10.99.1.77"), "proxy ARP"
    assert there.machine.plan(lab) == []
    there.on_machine("sysctl", "-q", "-w", f"{SETTINGS[1]}=0")
    assert [line.split()[:2] for line in there.machine.plan(lab)] == [["~", f"proxy_arp/{UPLINK}"]]
    there.machine.qlan("up", "--no-wait")
    assert settings(there) == ["1", "1"]
    there.machine.qlan("down", "--force")
    assert settings(there) == ["0", "0"]
    assert not answered(there, "10.99.1.78")
    assert not there.machine.run_dir.exists()


def test_the_outside_opens_connections_to_routed_guests_only(there: World, lab: Path) -> None:
    """The host's side of the way in: `web` is paused, so its answer is the ARP request that the bridge sends for it."""
    there.machine.qlan("up", "--no-wait")
    there.at_outside("ip", "route", "add", "10.99.1.0/24", "via", "198.51.100.2")
    there.at_outside("ip", "route", "add", "10.99.2.0/24", "via", "198.51.100.2")
    for target, through in (("10.99.1.50", True), ("10.99.2.50", False)):
        there.at_outside("sh", "-c", f"ping -c 1 -W 1 {target} || true")
        asked = there.on_machine("ip", "neigh", "show", "to", target).strip()
        assert bool(asked) == through, f"{target}: {asked}"


WITHIN = f"""\
lab: demo
user: {os.environ.get("QLAN_TEST_USER", "nobody")}
networks:
  dmz:
    kind: routed
    uplink: {UPLINK}
    proxy_arp: true
    subnet: 198.51.100.240/28
    ipv6: {{prefix: "2001:db8:51::f00/120", slaac: false}}
guests:
  web: {{qemu_args: [-S], memory: 16M, accel: tcg, nics: [{{network: dmz, address6: "2001:db8:51::f09"}}]}}
"""


@pytest.mark.parametrize("old_kernel", [False, True])
def test_guests_are_on_the_uplink_s_own_subnet(there: World, lab: Path, old_kernel: bool) -> None:
    """Where an uplink cannot be bridged (Wi-Fi, a cloud): a part of its subnet is routed, and nobody there knows."""
    lab.write_text(WITHIN)
    machine, before = Machine(there), ip_state(there)
    up(there.machine, lab, old_kernel=old_kernel)
    if old_kernel:
        assert there.on_machine("sysctl", "-n", f"net.ipv6.conf.{UPLINK}.force_forwarding").strip() == "0"
    else:
        assert there.machine.plan(lab) == []
    guest = machine.guest("dmz", "ga", "198.51.100.249", "198.51.100.241", prefix_length=28)
    machine.run(*guest, "ip", "address", "add", "2001:db8:51::f09/120", "dev", "eth0", "nodad")
    machine.run(*guest, "ip", "route", "add", "default", "via", "2001:db8:51::f01")
    for target in (THERE, BEYOND, THERE6, BEYOND6):
        assert pings(machine, guest, target, 3), f"out, and back, with its own address: {target}"
    for target in ("198.51.100.249", "2001:db8:51::f09"):
        assert pings(machine, machine.outside, target, 3), f"in, unasked: {target}"
    there.on_machine("ip", "neighbor", "del", "proxy", "2001:db8:51::f09", "dev", UPLINK)
    assert f"+ neighbor/{UPLINK}/2001:db8:51::f09" in "\n".join(there.machine.plan(lab))
    up(there.machine, lab, old_kernel=old_kernel)
    assert pings(machine, machine.outside, "2001:db8:51::f09", 3)
    edit(lab, "::f09", "::f0a")
    up(there.machine, lab, old_kernel=old_kernel)
    assert "::f0a" in there.on_machine("ip", "-6", "neighbor", "show", "proxy")
    assert "::f09" not in there.on_machine("ip", "-6", "neighbor", "show", "proxy")
    there.on_machine("ip", "link", "del", "ga")
    for process in machine.started:
        process.kill()
        process.wait()
    there.machine.qlan("down", "--force")
    assert ip_state(there) == before
    assert not there.machine.run_dir.exists()


def test_where_the_machine_has_its_address_by_advertisements_it_goes_on_listening(there: World, lab: Path) -> None:
    lab.write_text(WITHIN)
    knob = f"net.ipv6.conf.{UPLINK}.accept_ra"
    there.on_machine("sysctl", "-q", "-w", f"{knob}=1")
    before = ip_state(there)
    there.machine.qlan("up", "--no-wait")
    assert there.on_machine("sysctl", "-n", knob).strip() == "2"
    there.machine.qlan("down", "--force")
    assert ip_state(there) == before


def test_a_gateway_among_several_is_one(there: World, lab: Path) -> None:
    lab.write_text(WITHIN)
    there.on_machine("ip", "route", "replace", "default", "nexthop", "via", "198.51.100.242", "dev", UPLINK,
                     "nexthop", "via", "198.51.100.1", "dev", UPLINK)  # fmt: skip
    done = there.machine.qlan("up", "--no-wait", check=False)
    assert "198.51.100.240/28 holds 198.51.100.242, which is this machine or a gateway" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "198.51.100.240/28",
            "198.51.100.0/28",
            "198.51.100.0/28 holds 198.51.100.2, which is this",
        ),
        ("198.51.100.240/28", "198.51.100.0/24", "198.51.100.0/24 overlaps 198.51.100.0/24"),
        ("::f00/120", "::/120", "2001:db8:51::/120 holds 2001:db8:51::2, which is this machine or a gateway"),
        ("slaac: false", "slaac: true", "guests can make themselves addresses in a /64 alone"),
        ("proxy_arp: true", "proxy_arp: false", "198.51.100.240/28 overlaps 198.51.100.0/24"),
    ],
)
def test_a_part_where_somebody_is(there: World, lab: Path, old: str, new: str, said: str) -> None:
    lab.write_text(WITHIN.replace(old, new).replace(', nics: [{network: dmz, address6: "2001:db8:51::f09"}]', ""))
    done = there.machine.qlan("up", "--no-wait", check=False)
    assert done.returncode == 2
    assert said in done.stderr


def ip_state(there: World) -> dict[str, str]:
    words = {"addresses": "address show", "routes": "route show table all", "proxies": "neighbor show proxy"}
    families = [("-4", "ipv4"), ("-6", "ipv6")]
    found = {name + family: there.on_machine("ip", family, *one.split()) for name, one in words.items()
             for family, _ in families}  # fmt: skip
    knobs = [f"net.{name}.conf.{UPLINK}.{knob}" for _, name in families for knob in ("forwarding",)]
    knobs += [f"net.ipv4.conf.{UPLINK}.proxy_arp", f"net.ipv6.conf.{UPLINK}.proxy_ndp", "net.ipv6.conf.all.forwarding"]
    knobs += ["net.ipv6.conf.all.proxy_ndp", f"net.ipv6.conf.{UPLINK}.accept_ra"]
    return {**found, "settings": there.on_machine("sysctl", *knobs)}

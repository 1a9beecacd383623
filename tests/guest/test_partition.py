"""Guests that are kept apart with their cables plugged, and one that moves: what they hear, and who finds them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qlan import bending, plugging
from qlan.host import leases

from .lab import BootedLab, booted
from .machine import GuestImage

pytestmark = pytest.mark.guest

# `back` may open connections to `lan`: this machine routes between them.
LAB = """\
lab: parts
networks:
  lan: {kind: nat, subnet: 10.83.0.0/24}
  back: {kind: nat, subnet: 10.84.0.0/24, reach: [lan]}
  wire: {kind: wire, subnet: 10.85.0.0/30}
guests:
  web: {KERNEL, nics: [lan, wire]}
  db: {KERNEL, nics: [lan]}
  cache: {KERNEL, nics: [back, wire]}
"""


@pytest.fixture(scope="module")
def parts(guest_image: GuestImage) -> Iterator[BootedLab]:
    with booted(guest_image, LAB) as one:
        yield one


def hears(parts: BootedLab, guest: str, address: str) -> bool:
    return not parts.fails(guest, f"ping -c 4 -i 0.5 -W 1 {address}")  # an ARP request that was lost comes again


def heard(parts: BootedLab) -> set[str]:
    """Who gets an answer from whom: `web>db`."""
    ways = [("web", "db"), ("db", "web"), ("cache", "web"), ("cache", "db")]
    found = {f"{one}>{other}" for one, other in ways if hears(parts, one, parts.address(other))}
    return found | ({"wire"} if hears(parts, "web", parts.address("cache", 1)) else set())


def test_sides_do_not_hear_each_other_also_where_the_host_routes(parts: BootedLab) -> None:
    all_of_it = {"web>db", "db>web", "cache>web", "cache>db", "wire"}
    assert heard(parts) == all_of_it
    flaps = parts.sh("web", "cat /sys/class/net/eth0/carrier_changes")
    # a long conversation, which is cut and goes on after
    parts.sh("web", f"(while sleep 0.2; do echo tick; done) | nc {parts.address('db')} 7 >/tmp/heard 2>&1 &")
    parts.shell("web").wait_for("[ -s /tmp/heard ]")

    bending.partition(parts.lab, [["web", "cache"], ["db"]])
    assert heard(parts) == {"cache>web", "wire"}
    assert hears(parts, "web", "10.83.0.1"), "the host is heard by all"
    assert parts.fails("web", f"ip neigh flush dev eth0; arping -c 1 -w 1 -I eth0 {parts.address('db')}")
    before = parts.sh("web", "wc -c </tmp/heard; sleep 1; wc -c </tmp/heard").split()
    assert before[0] == before[1]
    bending.partition(parts.lab, [["web", "db"], ["cache"]])
    assert heard(parts) == {"web>db", "db>web"}
    parts.shell("web").wait_for(f"[ $(wc -c </tmp/heard) -gt {before[1]} ]", timeout_s=20)
    bending.heal(parts.lab)
    assert heard(parts) == all_of_it
    assert parts.sh("web", "cat /sys/class/net/eth0/carrier_changes") == flaps


def test_a_moved_guest_gets_its_new_lease_and_its_name_follows(parts: BootedLab) -> None:
    old, lab = parts.address("web"), parts.lab
    mac = lab.status().guests[0].nics[0].mac
    assert old in name(parts, "db", "web", "10.83.0.1")
    bending.impair(lab, "web", "0", {"rate_bps": 50_000_000})

    plugging.move(lab, "web", "0", "back")
    parts.shell("web").wait_for("ip -o -4 addr show dev eth0 | grep -F 10.84.0.", timeout_s=20)
    new = parts.address("web")
    assert (new in parts.sh("web", "ip -o -4 addr show dev eth0")) is True
    assert new in name(parts, "cache", "web", "10.84.0.1")
    assert name(parts, "db", "web", "10.83.0.1") == ""
    assert mac not in {one.mac for one in leases.read(lab.layout.leases("lan"))}
    assert mac in {one.mac for one in leases.read(lab.layout.leases("back"))}
    assert lab.status().bends == ("web/0 in: rate 50mbit", "web/0 out: rate 50mbit")
    assert lab.status().drift == ()
    assert hears(parts, "cache", new)
    bending.clear(lab)


def test_a_guest_that_looks_at_no_cable_is_found_where_it_is_now(parts: BootedLab) -> None:
    """Silent, its address written down: the bridge knows it by QEMU's announcement."""
    parts.sh("db", "kill $(cat /run/udhcpc.eth0); echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6")
    mac = next(one.nics[0].mac for one in parts.lab.status().guests if one.name == "db")
    parts.sh("db", "ip link set eth0 arp off; ip -4 addr flush dev eth0")
    plugging.move(parts.lab, "db", "0", "back")
    bridge = next(one.name for one in parts.lab.read()[1].values() if one.key == "bridge/back")  # type: ignore[union-attr]
    for _ in range(40):
        known = parts.in_realm("bridge", "fdb", "show", "br", bridge).stdout
        if mac in known:
            break
        parts.sh("cache", "sleep 0.1")
    assert mac in known


def name(parts: BootedLab, guest: str, wanted: str, server: str) -> str:
    """What a server answers for a name."""
    done = parts.shell(guest).try_run(f"nslookup -type=a {wanted}.parts {server}")
    return done.output.rpartition("Name:")[2] if "Name:" in done.output else ""

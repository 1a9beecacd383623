"""Published ports of a rootless lab: the relay calls guests by their callers' own addresses, where they can answer so.

Namespaces on the bridges play the guests; a namespace beyond a cable plays the LAN and clients in it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .place import IS_ROOT, Place
from .test_edit import edit
from .test_nat import Machine
from .test_port_map import TELLER, Caller, carried, says, teller
from .world import HERE, HERE6, THERE, THERE6, world

pytestmark = pytest.mark.skipif(IS_ROOT, reason="in the host realm the kernel leads callers: in the run as a user")

LAB = """\
lab: demo
networks:
  out: {kind: nat, subnet: 10.81.0.0/24, ipv6: "fd81::/64"}
  lan: {kind: host-only, subnet: 10.83.0.0/24, ipv6: "fd83::/64", dhcp: false, dns: false}
guests:
  web:
    qemu_args: [-S]
    memory: 16M
    accel: tcg
    nics:
      - {network: out, forwards: ["0.0.0.0:8080:10.81.0.9:80", "udp:0.0.0.0:8053:10.81.0.9:53", "8082:10.81.0.9:80",
                                  "[::]:8080:[fd81::9]:80", "udp:[::]:8053:[fd81::9]:53", "[::]:8083:10.81.0.9:80"]}
      - {network: lan, forwards: ["0.0.0.0:8090:10.83.0.9:80"]}
"""
PORT_TELLER = TELLER.replace("return caller[0]", "return str(caller[1])")
NEAR = "10.81.0.77"  # an address of the guest's own network, outside


@pytest.fixture
def machine(place: Place) -> Iterator[Machine]:
    with world(place) as around:
        one = Machine(around)
        try:
            yield one
        finally:
            for process in one.started:
                process.kill()
                process.wait()


@pytest.fixture
def lab(place: Place) -> Path:
    file = place.folder / "qlan.yaml"
    file.write_text(LAB)
    return file


def guest(machine: Machine, program: str = TELLER) -> tuple[str, ...]:
    """The one on the network that leads outside."""
    words = machine.guest("out", "ga", "10.81.0.9", "10.81.0.1")
    machine.run(*words, "ip", "address", "add", "fd81::9/64", "dev", "eth0", "nodad")
    machine.run(*words, "ip", "route", "add", "default", "via", "fd81::1")
    teller(machine, words, program)
    return words


def test_whom_the_guest_sees(machine: Machine, lab: Path) -> None:
    place, here, outside = machine.place, machine.setup, machine.outside
    empty = place.snapshot()
    place.qlan("up", "--no-wait")
    assert place.plan(lab) == []
    guest(machine)
    inner = machine.guest("lan", "gb", "10.83.0.9", "10.83.0.1")
    teller(machine, inner)
    for kind, port in (("tcp", 8080), ("udp", 8053)):
        assert says(outside, kind, HERE, port) == THERE, "the client's own address"
        assert says(outside, kind, HERE6, port) == THERE6
        assert says(here, kind, HERE, port) == HERE, "the host itself, by its address on the LAN"
        assert says(here, kind, "127.0.0.1", port) == "10.81.0.1", "by loopback, where no guest could answer"
        assert says(here, kind, "::1", port) == "fd81::1"
    assert says(here, "tcp", "127.0.0.1", 8082) == "10.81.0.1"
    assert says(outside, "tcp", HERE6, 8083) == "10.81.0.1", "from one family to the other"
    assert says(outside, "tcp", HERE, 8090) == "10.83.0.1", "a network that leads nowhere"
    named = {port: seen for port, (_, seen) in carried(place).items()}
    assert named == {8080: "", 8053: "", 8082: "10.81.0.1", 8083: "10.81.0.1", 8090: "10.83.0.1"}
    assert place.plan(lab) == []
    place.qlan("down", "--force")
    assert place.snapshot() == empty


def test_the_caller_s_port_stays_unless_it_is_in_use(machine: Machine, lab: Path) -> None:
    machine.place.qlan("up", "--no-wait")
    guest(machine, PORT_TELLER)
    for kind, port, host in (("tcp", 8080, HERE), ("tcp", 8080, HERE6), ("udp", 8053, HERE), ("udp", 8053, HERE6)):
        for _ in range(3):  # TCP: while the connection before is remembered
            assert says(machine.outside, kind, host, port, 777).isdigit()
        with Caller(machine.outside, kind, host, port, 778) as first:
            assert first.says() == "778"
    machine.place.qlan("forward", "add", "web", "0.0.0.0:8084:10.81.0.9:80", "udp:0.0.0.0:8054:10.81.0.9:53")
    for kind, ports in (("tcp", (8080, 8084)), ("udp", (8053, 8054))):
        first, second = (Caller(machine.outside, kind, HERE, port, 779) for port in ports)
        with first as one, second as other:
            seen = [one.says(), other.says()]
            assert "779" in seen
            assert seen[0] != seen[1], "to the guest it would be the same connection"
            assert [one.says(), other.says()] == seen
    machine.place.qlan("down", "--force")


def test_a_neighbour_s_address_is_not_taken(machine: Machine, lab: Path) -> None:
    """The guest would answer next to it."""
    machine.place.qlan("up", "--no-wait")
    guest(machine)
    machine.run(*machine.outside, "ip", "address", "add", f"{NEAR}/32", "dev", "lan0")
    machine.run(*machine.setup, "ip", "route", "add", f"{NEAR}/32", "via", THERE)
    machine.run(*machine.outside, "ip", "route", "replace", f"{HERE}/32", "dev", "lan0", "src", NEAR)
    assert says(machine.outside, "tcp", HERE, 8080) == "10.81.0.1"
    assert says(machine.outside, "udp", HERE, 8053) == "10.81.0.1"
    machine.place.qlan("down", "--force")


def test_a_guest_without_a_gateway_is_called_by_the_host_after_a_moment(machine: Machine, lab: Path) -> None:
    machine.place.qlan("up", "--no-wait")
    words = guest(machine)
    machine.run(*words, "ip", "route", "del", "default")
    began = time.monotonic()
    assert says(machine.outside, "tcp", HERE, 8080) == "10.81.0.1"
    assert time.monotonic() - began > 0.9
    assert carried(machine.place)[8082] == ("relay", "10.81.0.1")
    rows = json.loads(machine.place.qlan("forward", "list", "--json").stdout)["forwards"]
    seen = {row["host_address"]: row["seen_as"] for row in rows if row["host_port"] == 8080}
    assert seen == {"0.0.0.0": "10.81.0.1", "::": ""}, "it is said what is so now"
    began = time.monotonic()
    assert says(machine.outside, "tcp", HERE, 8080) == "10.81.0.1"
    assert time.monotonic() - began < 0.9, "the next one does not wait for it"
    machine.place.qlan("down", "--force")


def test_a_guest_that_answered_once_is_waited_for(machine: Machine, lab: Path) -> None:
    """A refusal is an answer; and who does not answer afterwards is busy."""
    machine.place.qlan("up", "--no-wait")
    words = machine.guest("out", "ga", "10.81.0.9", "10.81.0.1")
    assert says(machine.outside, "tcp", HERE, 8080) in ("ConnectionResetError", "end")
    machine.run(*words, "nft", "add table ip t; add chain ip t in { type filter hook input priority 0; }; "
                               "add rule ip t in tcp dport 80 drop")  # fmt: skip
    teller(machine, words)
    with Caller(machine.outside, "tcp", HERE, 8080) as waits:
        assert waits.process.stdin
        waits.process.stdin.write("\n")
        waits.process.stdin.flush()
        time.sleep(1.5)
        machine.run(*words, "nft", "flush", "ruleset")
        assert waits.process.stdout
        assert waits.process.stdout.readline().strip() in (THERE, "TimeoutError")
    assert says(machine.outside, "tcp", HERE, 8080) == THERE
    machine.place.qlan("down", "--force")


def test_it_follows_the_file_and_what_is_done_by_hand(machine: Machine, lab: Path) -> None:
    place, outside = machine.place, machine.outside
    place.qlan("up", "--no-wait")
    guest(machine)
    place.qlan("forward", "add", "web", "0.0.0.0:8085:10.81.0.9:80")
    assert says(outside, "tcp", HERE, 8085) == THERE
    with Caller(outside, "tcp", HERE, 8080) as staying:
        assert staying.says() == THERE
        for old, new, seen in (("nat", "host-only", "10.81.0.1"), ("host-only", "nat", THERE)):
            edit(lab, f"out: {{kind: {old}", f"out: {{kind: {new}")
            place.qlan("up", "--no-wait")
            assert place.plan(lab) == []
            assert says(outside, "tcp", HERE, 8080) == seen
            assert says(outside, "udp", HERE, 8053) == seen
    relay = int((place.run_dir / "demo" / "relay" / "process").read_text().split()[0])
    machine.run("kill", "-9", str(relay))
    place.qlan("up", "--no-wait")
    assert place.plan(lab) == []
    assert says(outside, "tcp", HERE, 8080) == THERE, "a relay that is made anew"
    assert says(outside, "udp", HERE, 8053) == THERE
    place.qlan("down", "--force")


def test_the_machine_s_own_network_is_left_alone(machine: Machine, lab: Path) -> None:
    before = [machine.run(*machine.setup, "ip", version, "rule").stdout for version in ("-4", "-6")]
    machine.place.qlan("up", "--no-wait")
    guest(machine)
    assert says(machine.outside, "tcp", HERE, 8080) == THERE
    assert [machine.run(*machine.setup, "ip", version, "rule").stdout for version in ("-4", "-6")] == before
    assert machine.in_realm("ip", "rule").stdout.count("fwmark") == 1
    waits = ("cat", "/proc/sys/net/netfilter/nf_conntrack_udp_timeout")
    assert machine.in_realm(*waits).stdout == "120\n", "as long as the relay waits for an answer"
    assert machine.run(*machine.setup, *waits, check=False).stdout in ("30\n", "")
    machine.place.qlan("down", "--force")


def test_a_nic_by_hand_that_leads_outside_too(machine: Machine, lab: Path) -> None:
    """The guest might answer by that one."""
    place = machine.place
    place.qlan("up", "--no-wait")
    guest(machine)
    assert says(machine.outside, "tcp", HERE, 8080) == THERE
    place.qlan("nic", "attach", "web", "user")
    assert place.plan(lab) == []
    assert says(machine.outside, "tcp", HERE, 8080) == "10.81.0.1"
    place.qlan("down", "--force")

"""Published ports of a rootless lab: the relay calls guests by their callers' own addresses, where they can answer so.

Namespaces on the bridges play the guests; a namespace beyond a cable plays the LAN and clients in it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .place import IS_ROOT, Place
from .test_edit import edit
from .test_nat import Machine, standing
from .test_port_map import TELLER, Caller, carried, says, teller
from .world import HERE, HERE6, THERE, THERE6

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
PEER = f"""
import socket, time
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.bind(("", 5555))
print(flush=True)
one.recv(9)
while True:
    one.sendto(b"here", ("{THERE}", 5555)); time.sleep(0.1)
"""
# Calls it, if it is told whom, and waits for a datagram.
HEARS = """
import socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.bind(("", 5555)); one.settimeout(3)
for host in sys.argv[1:]:
    one.sendto(b"call", (host, 5555))
print(one.recv(9).decode())
"""
NEAR = "10.81.0.77"  # an address of the guest's own network, outside


@pytest.fixture
def machine(place: Place) -> Iterator[Machine]:
    with standing(place) as one:
        yield one


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


def test_a_refusal_comes_back(machine: Machine, lab: Path) -> None:
    machine.place.qlan("up", "--no-wait")
    machine.guest("out", "ga", "10.81.0.9", "10.81.0.1")
    began = time.monotonic()
    assert says(machine.outside, "tcp", HERE, 8080) in ("ConnectionResetError", "end")
    assert time.monotonic() - began < 1
    machine.place.qlan("down", "--force")


def test_a_guest_s_own_datagrams_go_their_way_when_the_port_is_closed(machine: Machine, lab: Path) -> None:
    """Peers that send from the port on which they hear (WireGuard, SIP): nobody here waits for these any more."""
    lab.write_text(LAB.replace("udp:0.0.0.0:8053:10.81.0.9:53", "udp:0.0.0.0:5555:10.81.0.9:5555"))
    machine.place.qlan("up", "--no-wait")
    words = machine.guest("out", "ga", "10.81.0.9", "10.81.0.1")
    teller(machine, words, PEER)
    hears = (*machine.outside, sys.executable, "-c", HEARS)
    assert machine.run(*hears, HERE).stdout == "here\n", "its answers to our call"
    assert machine.run(*hears).stdout == "here\n", "which go on"
    machine.place.qlan("forward", "remove", "web", "5555")
    assert machine.run(*hears).stdout == "here\n", "by the lab's way outside"
    machine.place.qlan("down", "--force")


def test_a_datagram_from_a_server_s_port_takes_no_port_from_a_server(machine: Machine, lab: Path) -> None:
    lab.write_text(LAB.replace("subnet: 10.81.0.0/24,", "subnet: 10.81.0.0/24, dhcp: false,"))
    machine.place.qlan("up", "--no-wait")
    guest(machine)
    for host, port in ((HERE, 67), (HERE6, 547)):
        assert says(machine.outside, "udp", host, 8053, port) in (THERE, THERE6)
    edit(lab, "dhcp: false, ", "")
    machine.place.qlan("up", "--no-wait")
    assert machine.place.plan(lab) == []
    machine.place.qlan("down", "--force")


def test_where_the_kernel_looks_at_marks_when_it_checks_sources(machine: Machine, lab: Path) -> None:
    """wg-quick switches that on, and a new namespace has it from the machine."""
    machine.place.qlan("up", "--no-wait")
    guest(machine)
    machine.in_realm("sysctl", "-qw", "net.ipv4.conf.all.src_valid_mark=1", "net.ipv4.conf.all.rp_filter=1")
    for kind, port in (("tcp", 8080), ("udp", 8053)):
        assert says(machine.outside, kind, HERE, port) == THERE
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

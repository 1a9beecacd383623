"""Published ports in the host realm, led to guests by the kernel: who gets there, whom the guest sees, what is left.

Namespaces on the bridges play the guests; a namespace beyond a cable plays the LAN and a client in it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .place import IS_ROOT, Place
from .test_edit import edit
from .test_faults import at, count
from .test_nat import Machine, standing
from .world import HERE, HERE6, THERE, THERE6, UPLINK

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="a rootless lab's ports are the relay's: in the run as root")

LAB = f"""\
lab: demo
user: {os.environ.get("QLAN_TEST_USER", "nobody")}
networks:
  out: {{kind: nat, subnet: 10.81.0.0/24, ipv6: false}}
  lan: {{kind: host-only, subnet: 10.83.0.0/24, ipv6: false, dhcp: false, dns: false}}
guests:
  web:
    qemu_args: [-S]
    memory: 16M
    accel: tcg
    nics:
      - {{network: out, forwards: ["0.0.0.0:8080:10.81.0.9:80", "udp:0.0.0.0:8053:10.81.0.9:53",
                                  "{HERE}:8081:10.81.0.9:80", "8082:10.81.0.9:80"]}}
      - {{network: lan, forwards: ["0.0.0.0:8090:10.83.0.9:80"]}}
"""
# Says who called, to every word it hears.
TELLER = """
import socket, threading
def said(caller):
    return caller[0].removeprefix("::ffff:").encode()
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); udp.bind(("", 53))
def datagrams():
    while True:
        _, caller = udp.recvfrom(9000)
        udp.sendto(said(caller), caller)
threading.Thread(target=datagrams, daemon=True).start()
tcp = socket.create_server(("", 80), family=socket.AF_INET6, dualstack_ipv6=True)
print(flush=True)
def serve(one, caller):
    while one.recv(9000):
        one.sendall(said(caller))
while True:
    threading.Thread(target=serve, args=tcp.accept(), daemon=True).start()
"""
# tcp|udp ADDRESS PORT [SOURCE-PORT]: a word to that place for every line heard, and what comes back.
CALLER = """
import socket, sys
kind, address, port, source = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
one = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); one.bind(("", source)); one.settimeout(2)
try:
    one.connect(socket.getaddrinfo(address, port)[0][4])
    for line in sys.stdin:
        one.sendall(b"word"); print(one.recv(9000).decode() or "end", flush=True)
except OSError as error:
    print(type(error).__name__, flush=True)
"""


class Caller:
    """A client that goes on calling by one connection."""

    def __init__(self, words: tuple[str, ...], kind: str, address: str, port: int, source: int = 0) -> None:
        argv = [*words, sys.executable, "-c", CALLER, kind, address, str(port), str(source)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")

    def says(self) -> str:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def says(words: tuple[str, ...], kind: str, address: str, port: int, source: int = 0) -> str:
    """Whom the guest sees; how it fails, if it does."""
    with Caller(words, kind, address, port, source) as one:
        return one.says()


@pytest.fixture
def machine(place: Place) -> Iterator[Machine]:
    with standing(place) as one:
        yield one


@pytest.fixture
def lab(place: Place) -> Path:
    file = place.folder / "qlan.yaml"
    file.write_text(LAB)
    return file


def teller(machine: Machine, guest: tuple[str, ...], program: str = TELLER) -> None:
    process = machine.start(*guest, sys.executable, "-c", program)
    assert process.stdout
    process.stdout.read(1)


def guests(machine: Machine) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """One on each network; that on the host-only one knows no gateway, as qlan tells it none."""
    a = machine.guest("out", "ga", "10.81.0.9", "10.81.0.1")
    b = machine.guest("lan", "gb", "10.83.0.9", "10.83.0.1")
    machine.run(*b, "ip", "route", "del", "default")
    for one in (a, b):
        teller(machine, one)
    return a, b


def table(machine: Machine, network: str) -> list[dict[str, Any]]:
    words = ("nft", "-j", "list", "table", "inet", f"qlan.demo.{network}.ports")
    rows: list[dict[str, Any]] = json.loads(machine.place.run(*words).stdout)["nftables"]
    mark = f'comment "published ports of network {network} of lab demo, made by qlan"'  # not in old nft's JSON
    assert mark in machine.place.run(*(word for word in words if word != "-j")).stdout
    return rows


def counted(machine: Machine, network: str, verdict: str) -> int:
    """The packets that a rule counted: the one with that verdict and a counter, and no other match of ours."""
    rules = [row["rule"]["expr"] for row in table(machine, network) if "rule" in row]
    [found] = [expr for expr in rules if verdict in expr[-1] and any("counter" in part for part in expr)]
    return int(next(part["counter"]["packets"] for part in found if "counter" in part))


def carried(place: Place) -> dict[int, tuple[str, str]]:
    """By port, who carries it and whom the guest sees, as qlan says it."""
    rows = json.loads(place.qlan("forward", "list", "--json").stdout)["forwards"]
    return {row["host_port"]: (row["backend"], row["seen_as"]) for row in rows}


def elements(machine: Machine, network: str) -> int:
    return sum(len(row["map"].get("elem", ())) for row in table(machine, network) if "map" in row)


def check_who_gets_in(
    machine: Machine, guest: tuple[str, ...], host: str, caller: str, loopback: str, gateway: str
) -> None:
    """Into the guest on `out`, in one family.  gateway: the host's address there."""
    here, outside = machine.setup, machine.outside
    assert says(outside, "tcp", host, 8080) == caller, "the client's own address"
    assert says(outside, "udp", host, 8053) == caller
    assert says(outside, "tcp", host, 8081) == caller
    assert counted(machine, "out", "accept") >= 3, "led by the kernel, and counted there"
    assert says(here, "tcp", host, 8080) == host, "the host itself, by its address on the LAN"
    assert says(here, "tcp", loopback, 8080) == gateway, "by loopback: the relay"
    assert says(here, "tcp", loopback, 8082) == gateway
    assert says(outside, "tcp", host, 8082) == "ConnectionRefusedError", "of loopback alone"
    assert says(guest, "tcp", host, 8080) == gateway, "hairpin: from the guest's own network"


def test_who_gets_in_and_whom_the_guest_sees(machine: Machine, lab: Path) -> None:
    place, here, outside = machine.place, machine.setup, machine.outside
    settings, empty = machine.forwarding(), place.snapshot()
    place.qlan("up", "--no-wait")
    assert place.plan(lab) == []
    a, b = guests(machine)
    check_who_gets_in(machine, a, HERE, THERE, "127.0.0.1", "10.81.0.1")
    assert says(a, "udp", HERE, 8053) == "10.81.0.1"
    assert says(a, "tcp", "10.81.0.1", 8080) == "10.81.0.1"
    led = counted(machine, "out", "accept")
    assert says(b, "tcp", "10.83.0.1", 8080) == "10.81.0.1", "from another network: the relay"
    assert counted(machine, "out", "accept") == led
    assert says(outside, "tcp", HERE, 8090) == "10.83.0.1", "whose guests know no gateway: the host's address"
    assert says(here, "tcp", HERE, 8090) == "10.83.0.1"
    assert says(b, "tcp", "10.83.0.1", 8090) == "10.83.0.1"
    assert says(here, "tcp", "127.0.0.1", 8090) == "10.83.0.1"
    assert carried(place) == {8080: ("nft", ""), 8053: ("nft", ""), 8081: ("nft", ""), 8082: ("relay", "10.81.0.1"),
                    8090: ("nft", "10.83.0.1")}  # fmt: skip
    assert place.plan(lab) == []
    for name in ("ga", "gb"):
        machine.in_realm("ip", "link", "del", name)
    place.qlan("down", "--force")
    assert (machine.forwarding(), place.snapshot()) == (settings, empty)


LAB6 = f"""\
lab: demo
user: {os.environ.get("QLAN_TEST_USER", "nobody")}
networks:
  out: {{kind: nat, subnet: 10.81.0.0/24, ipv6: "fd81::/64"}}
  lan: {{kind: host-only, subnet: 10.83.0.0/24, ipv6: "fd83::/64", dhcp: false, dns: false}}
guests:
  web:
    qemu_args: [-S]
    memory: 16M
    accel: tcg
    nics:
      - {{network: out, forwards: ["[::]:8080:[fd81::9]:80", "udp:[::]:8053:[fd81::9]:53",
                                  "[{HERE6}]:8081:[fd81::9]:80", "[::1]:8082:[fd81::9]:80",
                                  "[::]:8083:10.81.0.9:80"]}}
      - {{network: lan, forwards: ["[::]:8090:[fd83::9]:80"]}}
"""


def test_ipv6_is_led_where_guests_have_a_way_outside_by_it(machine: Machine, lab: Path) -> None:
    place, outside = machine.place, machine.outside
    lab.write_text(LAB6)
    settings, empty = machine.forwarding(), place.snapshot()
    place.qlan("up", "--no-wait")
    assert place.plan(lab) == []
    a, b = guests(machine)
    for words, prefix in ((a, "fd81::"), (b, "fd83::")):
        machine.run(*words, "ip", "address", "add", f"{prefix}9/64", "dev", "eth0", "nodad")
    machine.run(*a, "ip", "route", "replace", "default", "via", "fd81::1")
    check_who_gets_in(machine, a, HERE6, THERE6, "::1", "fd81::1")
    assert says(outside, "tcp", HERE6, 8083) == "10.81.0.1", "from one family to the other: the relay"
    assert says(outside, "tcp", HERE6, 8090) == "fd83::1", "a network without a way outside: the relay"
    assert carried(place) == {8080: ("nft", ""), 8053: ("nft", ""), 8081: ("nft", ""), 8082: ("relay", "fd81::1"),
                    8083: ("relay", "10.81.0.1"), 8090: ("relay", "fd83::1")}  # fmt: skip
    with Caller(outside, "udp", HERE6, 8053) as going, Caller(outside, "tcp", HERE6, 8080) as staying:
        assert (going.says(), staying.says()) == (THERE6, THERE6)
        place.qlan("forward", "add", "web", "[::]:8084:[fd81::9]:80")
        place.qlan("forward", "remove", "web", "8053", "8080")
        assert going.says() in ("ConnectionRefusedError", "TimeoutError"), "its entry is forgotten"
        assert staying.says() == THERE6, "connections that are open go on"
        assert says(outside, "tcp", HERE6, 8084) == THERE6
    place.qlan("up", "--no-wait", "--discard")
    assert says(outside, "tcp", HERE6, 8080) == THERE6
    assert place.plan(lab) == []
    for name in ("ga", "gb"):
        machine.in_realm("ip", "link", "del", name)
    place.qlan("down", "--force")
    assert (machine.forwarding(), place.snapshot()) == (settings, empty)


@pytest.mark.parametrize(
    ("change", "old", "new"),
    [
        ("ip -6 route del default", "", ""),
        ("true", "kind: nat", "kind: host-only"),
        ("true", 'ipv6: "fd81::/64"', "ipv6: false"),
    ],
)
def test_a_port_of_ipv6_that_becomes_the_relay_s(machine: Machine, lab: Path, change: str, old: str, new: str) -> None:
    text = LAB6.replace(":[fd81::9]:", ":").replace("[::1]:8082:80", "0.0.0.0:8086:80")
    lab.write_text(
        text.replace("[::]:8083:10.81.0.9:80", "[::]:8083:80").replace("[::]:8090:[fd83::9]:80", "[::]:8090:80")
    )
    machine.place.qlan("up", "--no-wait")
    machine.run(*machine.setup, *change.split())
    if old:
        edit(lab, old, new)
    machine.place.qlan("up", "--no-wait")
    assert machine.place.plan(lab) == []
    rows = json.loads(machine.place.qlan("forward", "list", "--json").stdout)["forwards"]
    assert {row["backend"] for row in rows if ":" in row["host_address"]} == {"relay"}
    machine.place.qlan("forward", "add", "web", "[::]:8099:80", "0.0.0.0:8098:80")
    assert machine.place.plan(lab) == []
    machine.place.qlan("down", "--force")


def test_who_calls_by_a_link_local_address_is_the_relay_s(machine: Machine, lab: Path) -> None:
    lab.write_text(LAB6)
    machine.place.qlan("up", "--no-wait")
    a, _ = guests(machine)
    machine.run(*a, "ip", "address", "add", "fd81::9/64", "dev", "eth0", "nodad")
    machine.run(*a, "ip", "route", "replace", "default", "via", "fd81::1")
    machine.run(*machine.outside, "ip", "address", "add", "fe80::1/64", "dev", "lan0", "nodad")
    assert says(machine.outside, "tcp", HERE6, 8080) == THERE6
    assert says(machine.outside, "tcp", "fe80::2%lan0", 8080) == "fd81::1"
    assert says(machine.setup, "tcp", f"fe80::2%{UPLINK}", 8080) == "fd81::1"
    machine.place.qlan("down", "--force")


def test_what_is_led_by_hand_is_led_after_up(machine: Machine, lab: Path) -> None:
    text = "".join(line.partition(", forwards")[0] + "}\n" if "forwards:" in line else line + "\n"
                   for line in LAB6.splitlines() if not line.strip().startswith('"['))  # fmt: skip
    lab.write_text(text)
    machine.place.qlan("up", "--no-wait")
    machine.place.qlan("forward", "add", "web", f"[{HERE6}]:8085:[fd81::9]:80", f"{HERE}:8086:10.81.0.9:80")
    machine.place.qlan("forward", "add", "web", "0.0.0.0:8087:10.83.0.9:80", "--nic", "1")
    assert machine.place.plan(lab) == []
    machine.place.qlan("up", "--no-wait")
    assert {by for by, _ in carried(machine.place).values()} == {"nft"}
    machine.place.qlan("down", "--force")


def test_a_host_only_network_with_a_port_does_not_lead_outside(machine: Machine, lab: Path) -> None:
    """Its guest sets itself a gateway, and the LAN a route: forwarding is on, and nothing but callers passes."""
    machine.place.qlan("up", "--no-wait")
    _, b = guests(machine)
    machine.run(*b, "ip", "route", "add", "default", "via", "10.83.0.1")
    machine.run(*machine.outside, "ip", "route", "add", "10.83.0.0/24", "via", HERE)
    assert says(machine.outside, "tcp", HERE, 8090) == "10.83.0.1"
    for words, target in ((b, THERE), (machine.outside, "10.83.0.9"), (b, "10.81.0.9")):
        done = machine.run(*words, "ping", "-c", "1", "-W", "1", target, check=False)
        assert done.returncode != 0, target
    assert counted(machine, "lan", "masquerade") == 1
    machine.place.qlan("down", "--force")


@pytest.mark.parametrize("lost", ["demo/lab.json", f".forwarding/{UPLINK}/before"])
def test_forwarding_is_given_back_whatever_was_lost(machine: Machine, lab: Path, lost: str) -> None:
    """A host-only network has no other books than those of its ports."""
    lines = lab.read_text().splitlines(keepends=True)
    lab.write_text("".join(line for line in lines if "out" not in line and HERE not in line))
    place = machine.place
    settings, empty = machine.forwarding(), place.snapshot()
    place.qlan("up", "--no-wait")
    uplink = f"/proc/sys/net/ipv4/conf/{UPLINK}/forwarding"
    assert machine.forwarding()[uplink] == "1"
    (place.run_dir / lost).write_text("")
    place.qlan("down", "--force")
    assert (machine.forwarding(), place.snapshot()) == (settings, empty)


def test_the_last_ports_go_with_the_guest_that_is_named(machine: Machine, lab: Path) -> None:
    """Out of the map, too, which stays until the whole lab is looked at."""
    place, text = machine.place, lab.read_text()
    settings, empty = machine.forwarding(), place.snapshot()
    place.qlan("up", "--no-wait")
    lab.write_text(re.sub(r", forwards: \[[^]]*\]", "", text))
    place.qlan("up", "--no-wait", "web")
    assert "8080" not in place.run(*machine.setup, "nft", "list", "ruleset").stdout
    place.qlan("up", "--no-wait")
    assert place.plan(lab) == []
    lab.write_text(text)
    place.qlan("up", "--no-wait")
    place.qlan("down", "--force", "web")
    assert "8080" not in place.run(*machine.setup, "nft", "list", "ruleset").stdout
    place.qlan("down", "--force")
    assert (machine.forwarding(), place.snapshot()) == (settings, empty)


def test_a_port_that_goes_cuts_its_datagrams_and_nobody_else(machine: Machine, lab: Path) -> None:
    place, outside = machine.place, machine.outside
    place.qlan("up", "--no-wait")
    guests(machine)
    place.qlan("forward", "add", "web", "udp:0.0.0.0:8054:10.81.0.9:53", "0.0.0.0:8085:10.81.0.9:80")
    with (
        Caller(outside, "udp", HERE, 8054) as going,
        Caller(outside, "udp", HERE, 8053) as staying,
        Caller(outside, "tcp", HERE, 8085) as open_one,
        Caller(outside, "tcp", HERE, 8080) as other,
    ):
        for one in (going, staying, open_one, other):
            assert one.says() == THERE
        rows = json.loads(place.qlan("forward", "list", "--json").stdout)["forwards"]
        open_now = {row["host_port"]: row["connections"] for row in rows}
        assert open_now == {8054: 1, 8053: 1, 8085: 1, 8080: 1, 8081: 0, 8082: 0, 8090: 0}
        place.qlan("forward", "remove", "web", "8054", "8085")
        assert going.says() in ("ConnectionRefusedError", "TimeoutError"), "its entry is forgotten"
        for one in (staying, open_one, other):
            assert one.says() == THERE, "connections that are open go on"
        assert says(outside, "tcp", HERE, 8085) == "ConnectionRefusedError"
    place.qlan("forward", "add", "web", "0.0.0.0:8000-8009:10.81.0.9:80-89", "0.0.0.0:auto:10.81.0.9:80")
    assert elements(machine, "out") == 3 + 10 + 1
    assert says(outside, "tcp", HERE, 8000) == THERE
    assert len(json.loads(place.qlan("status", "--json").stdout)["labs"][0]["unsaved"]) == 11
    assert "by hand, not in the file: " in place.qlan("up", "--no-wait").stdout
    assert elements(machine, "out") == 3 + 10 + 1, "`up` leaves it as it is"
    place.qlan("up", "--no-wait", "--discard")
    assert elements(machine, "out") == 3
    assert place.plan(lab) == []
    place.qlan("down", "--force")


def test_the_first_port_of_a_network_by_hand_brings_what_it_takes_and_the_last_takes_it_along(
    machine: Machine, lab: Path
) -> None:
    place = machine.place
    edit(lab, "kind: nat", "kind: host-only")
    lab.write_text(lab.read_text().replace("0.0.0.0:", "").replace(f"{HERE}:", ""))
    settings = machine.forwarding()
    place.qlan("up", "--no-wait")
    before = place.snapshot()
    assert {name: value for name, value in machine.forwarding().items() if name in settings} == settings
    guests(machine)
    assert says(machine.outside, "tcp", HERE, 8095) == "ConnectionRefusedError"
    place.qlan("forward", "add", "web", "0.0.0.0:8095:10.83.0.9:80", "--nic", "1")
    assert says(machine.outside, "tcp", HERE, 8095) == "10.83.0.1"
    assert counted(machine, "lan", "masquerade") == 1
    place.qlan("forward", "remove", "web", "8095")
    for name in ("ga", "gb"):
        machine.in_realm("ip", "link", "del", name)
    after = place.snapshot()
    assert after["nft"] == before["nft"]
    assert {name: value for name, value in machine.forwarding().items() if name in settings} == settings
    place.qlan("down", "--force")


@pytest.mark.parametrize("damage", [
    "nft flush ruleset", "nft flush map inet qlan.demo.out.ports any",
    "nft delete element inet qlan.demo.out.ports exact '{ 198.51.100.2 . tcp . 8081 }'",
    "nft add element inet qlan.demo.out.ports any '{ tcp . 22 : 10.81.0.9 . 22 }'",
    "nft flush chain inet qlan.demo.lan.ports passing", f"sysctl -qw net.ipv4.conf.{UPLINK}.forwarding=0",
])  # fmt: skip
def test_what_was_changed_is_drift_and_up_repairs_it(machine: Machine, lab: Path, damage: str) -> None:
    machine.place.qlan("up", "--no-wait")
    guests(machine)
    before = [_steady(machine, network) for network in ("out", "lan")]
    assert machine.place.plan(lab) == []
    machine.in_realm("sh", "-c", damage)
    assert machine.place.plan(lab), damage
    if "flush ruleset" in damage or "flush map" in damage:
        assert says(machine.outside, "tcp", HERE, 8080) == "10.81.0.1", "the relay behind it serves meanwhile"
    machine.place.qlan("up", "--no-wait")
    assert machine.place.plan(lab) == []
    assert [_steady(machine, network) for network in ("out", "lan")] == before
    assert says(machine.outside, "tcp", HERE, 8080) == THERE
    machine.place.qlan("down", "--force")


def test_the_port_of_another_lab_is_named(machine: Machine, lab: Path) -> None:
    other = machine.place.folder / "other.yaml"
    other.write_text(LAB.replace("demo", "other").replace("10.8", "10.9"))
    machine.place.qlan("up", "--no-wait")
    refused = machine.place.qlan("up", "--no-wait", "-f", str(other), check=False)
    assert refused.returncode in (2, 4)
    assert "tcp port 8080 of 0.0.0.0 is taken by relay:demo (process " in refused.stderr
    machine.place.qlan("down", "--force")


@pytest.mark.parametrize("how", ["fail", "kill"])
def test_a_fault_at_every_command_of_a_live_change(machine: Machine, lab: Path, how: str) -> None:
    place, (before, after) = machine.place, ("0.0.0.0:8080:", "0.0.0.0:8088:")
    place.qlan("up", "--no-wait")
    old = {network: _steady(machine, network) for network in ("out", "lan")}
    edit(lab, before, after)
    total = count(place, lab, "up")
    new = {network: _steady(machine, network) for network in ("out", "lan")}
    assert total == 4, "out of the map, off the relay, onto it, into the map"
    for number in range(total):
        edit(lab, after, before)
        count(place, lab, "up")
        assert {network: _steady(machine, network) for network in old} == old
        edit(lab, before, after)
        at(place, lab, "up", how, number)
        if how == "fail":
            assert {network: _steady(machine, network) for network in old} == old, f"refused at {number}"
        count(place, lab, "up")
        assert {network: _steady(machine, network) for network in old} == new, f"{how} at {number}"
        assert place.plan(lab) == []
    place.qlan("down", "--force")


def _steady(machine: Machine, network: str) -> list[str]:
    """Ports and rules, without what changes by itself."""
    words = ("nft", "-s", "list", "table", "inet", f"qlan.demo.{network}.ports")
    return sorted(machine.place.run(*words).stdout.replace(",", "\n").split())


SMALL = (
    LAB.partition("networks:")[0]
    + """\
networks: {lan: {kind: host-only, subnet: 10.83.0.0/24, ipv6: false, dhcp: false, dns: false}}
guests:
  web: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [{network: lan, forwards: ["udp:0.0.0.0:8090:10.83.0.9:53"]}]}
"""
)


@pytest.mark.parametrize("verb", ["up", "down"])
def test_a_fault_at_every_command(machine: Machine, lab: Path, verb: str) -> None:
    """Of the port map, the relay and the port; what comes before is test_nat's and test_ports'."""
    place = machine.place
    lab.write_text(SMALL)
    settings = machine.forwarding()
    total = count(place, lab, "up")
    full = _steady(machine, "lan")
    count(place, lab, "down")
    empty = place.snapshot()
    assert empty["processes"] == []
    for number in range(total - 6, total) if verb == "up" else range(8):
        if verb == "down":
            count(place, lab, "up")
        assert at(place, lab, verb, "fail", number)[0] == 3
        if verb == "up":
            assert (place.snapshot(), machine.forwarding()) == (empty, settings), f"refused at {number} of {total}"
        else:
            assert _steady(machine, "lan") == full
            assert place.plan(lab) == [], f"refused at command {number} of down"
        assert at(place, lab, verb, "kill", number)[0] == -9
        if verb == "up":
            count(place, lab, "up")
            assert place.plan(lab) == [], f"killed at command {number} of up"
            assert _steady(machine, "lan") == full
        count(place, lab, "down")
        assert (place.snapshot(), machine.forwarding()) == (empty, settings), f"killed at command {number} of {verb}"


def test_the_script_is_up(machine: Machine, lab: Path) -> None:
    script = machine.place.folder / "up.sh"
    script.write_text(machine.place.qlan("plan", "--script").stdout)
    machine.place.run("sh", str(script))
    assert machine.place.plan(lab) == []
    machine.place.qlan("down", "--force")
    assert machine.place.processes() == []

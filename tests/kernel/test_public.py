"""A public network: one namespace plays the machine, with a veth as its NIC; another is the LAN, with the gateway.

Root only: the host realm.  What the machine had is compared with what it has afterwards, by `ip -j`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .place import IS_ROOT, Place
from .test_faults import at, count

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="a NIC of the machine is root's: run as root")

FILE = """\
lab: office
user: %s
networks:
  lan: {kind: public, uplink: eth0, confirm_within: %s}
guests:
  web: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [lan]}
"""
MACHINE = """\
link set eth0 up
addr add 10.0.0.5/24 brd + metric 50 valid_lft 5000 preferred_lft 4900 dev eth0
addr add 10.0.0.6/24 dev eth0 label eth0:x
addr add 2001:db8::5/64 dev eth0 noprefixroute nodad
addr change 2001:db8::5/64 dev eth0 noprefixroute
addr add 2001:db8::6/64 dev eth0 valid_lft 5000 preferred_lft 4000
route add default via 10.0.0.1 proto dhcp metric 100 src 10.0.0.5
route add 10.9.0.0/16 via 10.0.9.9 onlink dev eth0 table 77 mtu lock 1400
route add ::/0 via 2001:db8::1 dev eth0 proto ra metric 1024 expires 3000
rule add iif eth0 lookup 77 priority 100
"""
TIMES = ("valid_life_time", "preferred_life_time", "expires")


@dataclass
class Lan:
    """The LAN's namespace.  pid: who holds it."""

    place: Place
    pid: int

    def run(self, *argv: str) -> None:
        subprocess.run(["nsenter", f"--target={self.pid}", "--net", *argv], check=True, timeout=20)


@pytest.fixture
def lan(place: Place) -> Iterator[Lan]:
    held = ["unshare", "--net", "sh", "-c", "ip link set lo up; echo; exec sleep infinity"]
    holder = subprocess.Popen(held, stdout=subprocess.PIPE)
    assert holder.stdout and holder.stdout.read(1)
    one = Lan(place, holder.pid)
    try:
        place.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "sw", "netns", str(holder.pid))
        for words in ("link set sw up", "addr add 10.0.0.1/24 dev sw", "addr add 2001:db8::1/64 dev sw nodad"):
            one.run("ip", *words.split())
        for line in MACHINE.splitlines():
            place.run("ip", *line.split())
        place.run("ip", "-6", "rule", "add", "iif", "eth0", "lookup", "78", "priority", "90")
        wait_until(lambda: is_settled(place))
        yield one
    finally:
        holder.kill()
        holder.wait()


def written(place: Place, within: str = "60s") -> Path:
    file = place.folder / "qlan.yaml"
    file.write_text(FILE % (os.environ.get("QLAN_TEST_USER", "nobody"), within))
    return file


def bare(place: Place) -> Path:
    """The same without a guest, whose steps have tests of their own, and with a DHCP server for the LAN."""
    file = place.folder / "qlan.yaml"
    dhcp = "subnet: 10.0.0.0/24, dhcp: {range: 10.0.0.200-10.0.0.220}"
    file.write_text(f"lab: office\nnetworks:\n  lan: {{kind: public, uplink: eth0, {dhcp}}}\n")
    return file


def carried(place: Place) -> dict[str, Any]:
    """What the machine has: all of it but the time that runs."""
    found: dict[str, Any] = {}
    routes = ("-4 -d route show table all", "-6 -d route show table all")
    for words in ("-d link", "-d address", *routes, "-4 rule", "-6 rule"):
        rows = json.loads(place.run("ip", "-j", *words.split()).stdout or "[]")
        found[words] = sorted(json.dumps(without_times(row), sort_keys=True) for row in rows if row)
    return found


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(one) for key, one in value.items() if key not in TIMES}
    return [without_times(one) for one in value] if isinstance(value, list) else value


def wait_until(done: Any, time_limit_s: float = 20, told: Any = lambda: "") -> None:
    """told: what to say when it is not so in time."""
    deadline = time.monotonic() + time_limit_s
    while not done():
        assert time.monotonic() < deadline, f"not in time: {told()}"
        time.sleep(0.1)


def is_settled(place: Place) -> bool:
    return "tentative" not in place.run("ip", "address").stdout


def ended(place: Place) -> dict[str, Any]:
    file = place.run_dir / "office" / "uplink" / "lan" / "ended"
    wait_until(file.exists)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def pings(place: Place, address: str) -> bool:
    return place.run("ping", "-c1", "-W1", address, check=False).returncode == 0


def test_the_bridge_carries_what_the_nic_did_and_down_gives_it_back(place: Place, lan: Lan) -> None:
    written(place)
    before = carried(place)
    said = place.qlan("plan").stdout
    assert "address 10.0.0.5/24 broadcast 10.0.0.255 scope global metric 50" in said
    said = place.qlan("up", "--no-wait").stdout
    assert "unless you say `qlan confirm`" in said
    assert "this machine's own address 10.0.0.5/24 ends in 8" in said, "nobody renews the lease on the bridge"
    assert "10.0.0.6" not in said
    rows = {row["ifname"]: row for row in json.loads(place.run("ip", "-j", "-d", "address").stdout) if row}
    bridge = rows["eth0"]["master"]
    assert rows["eth0"]["addr_info"] == []
    assert rows[bridge]["address"] == rows["eth0"]["address"]
    routes = place.run("ip", "route", "show", "table", "all").stdout + place.run("ip", "-6", "route").stdout
    assert "dev eth0" not in "".join(line for line in routes.splitlines(True) if "ff00::/8" not in line)
    assert pings(place, "10.0.0.1")
    assert pings(place, "2001:db8::1")
    assert place.plan(place.folder / "qlan.yaml") == []
    place.qlan("confirm")
    status = place.qlan("status").stdout
    assert "confirm" not in status
    assert "in the way of lan: this machine's own address 10.0.0.5/24 ends in 8" in status
    assert f"(dhclient {bridge})" in status
    client = ["bash", "-c", f"exec -a dhclient {sys.executable} -c 'import time; time.sleep(60)' {bridge}"]
    with subprocess.Popen([*place.enter, *client]) as renews:
        wait_until(lambda: "in the way" not in place.qlan("status").stdout)
        renews.kill()
    place.run("ip", "address", "add", "10.0.0.77/24", "dev", bridge)  # the lease moved meanwhile
    place.run("ip", "address", "del", "10.0.0.77/24", "dev", bridge)
    assert "public" in place.qlan("show", "lan").stdout
    place.qlan("down", "--force")
    assert carried(place) == before
    assert place.snapshot()["files"] == []
    assert place.processes() == []


@pytest.mark.parametrize("mode", ["none", "stable_secret"])
def test_how_the_nic_makes_its_own_addresses_comes_back(place: Place, lan: Lan, mode: str) -> None:
    if mode == "stable_secret":
        place.run("sysctl", "-q", "-w", "net.ipv6.conf.eth0.stable_secret=2001:db8:1:2:3:4:5:6")
        wait_until(lambda: is_settled(place))  # it has a second link-local address now
    place.run("ip", "link", "set", "eth0", "addrgenmode", mode)
    file, before = bare(place), carried(place)
    place.qlan("up", "--no-wait")
    found = json.loads(place.run("ip", "-j", "-d", "link", "show", "type", "bridge").stdout)
    assert [row["inet6_addr_gen_mode"] for row in found if row] == ["none" if mode == "none" else "random"]
    assert place.plan(file) == []
    place.qlan("confirm")
    place.qlan("down", "--force")
    assert carried(place) == before


def test_what_moved_meanwhile_is_what_goes_back(place: Place, lan: Lan) -> None:
    written(place)
    place.qlan("up", "--no-wait")
    bridge = next(row["master"] for row in json.loads(place.run("ip", "-j", "link", "show", "eth0").stdout))
    place.run("ip", "address", "add", "10.0.0.88/24", "dev", bridge, "valid_lft", "900", "preferred_lft", "800")
    place.run("ip", "address", "del", "10.0.0.6/24", "dev", bridge)
    place.qlan("down", "--force")
    shown = place.run("ip", "address", "show", "eth0").stdout
    assert "10.0.0.88/24" in shown
    assert "10.0.0.6/24" not in shown


def test_without_confirm_it_is_put_back_though_qlan_is_gone(place: Place, lan: Lan) -> None:
    written(place, "3s")
    before = carried(place)
    place.qlan("up", "--no-wait")
    assert ended(place)["why"] == "not confirmed within 3 s"
    after = carried(place)
    assert [row for row in before["-d address"] if "eth0" in row] == [
        row for row in after["-d address"] if '"ifname": "eth0"' in row
    ]
    assert pings(place, "10.0.0.1")
    assert "put back: not confirmed within 3 s" in place.qlan("status").stdout
    assert place.qlan("confirm", check=False).returncode == 7
    place.qlan("down", "--force")
    assert carried(place) == before


def test_a_gateway_that_falls_silent_reverts_at_once(place: Place, lan: Lan) -> None:
    """Port security: the switch takes the machine off when it sees a second MAC."""
    written(place, "120s")
    before = carried(place)
    place.qlan("up", "--no-wait")
    lan.run("ip", "link", "set", "sw", "arp", "off")
    lan.run("ip", "address", "flush", "dev", "sw")
    start = time.monotonic()
    assert "stopped answering" in ended(place)["why"]
    assert time.monotonic() - start < 15
    place.qlan("down", "--force")
    assert carried(place) == before


def test_confirmed_by_the_gateway(place: Place, lan: Lan) -> None:
    written(place)
    place.qlan("up", "--no-wait", "--confirm-within", "3", "--confirm-by-gateway")
    assert not ended(place)["back"]
    assert '"master"' in place.run("ip", "-j", "link", "show", "eth0").stdout
    place.qlan("down", "--force")


def test_killed_at_every_command_of_up_and_down(place: Place, lan: Lan) -> None:
    file = bare(place)
    before = carried(place)
    total = count(place, file, "up")
    count(place, file, "down")
    assert carried(place) == before
    for number in range(total):
        assert at(place, file, "up", "kill", number)[0] == -signal.SIGKILL
        count(place, file, "down")
        assert carried(place) == before, f"killed at command {number} of {total} of up"
        assert place.processes() == []
    count(place, file, "up")
    total = count(place, file, "down")
    for number in range(total):
        count(place, file, "up")
        assert at(place, file, "down", "kill", number)[0] == -signal.SIGKILL
        count(place, file, "down")
        assert carried(place) == before, f"killed at command {number} of {total} of down"


def test_refused_at_every_command_of_up(place: Place, lan: Lan) -> None:
    file = bare(place)
    before = carried(place)
    total = count(place, file, "up")
    count(place, file, "down")
    for number in range(total):
        assert at(place, file, "up", "fail", number)[0] == 3
        assert carried(place) == before, f"refused at command {number} of {total}"
        assert place.processes() == []


def test_a_move_that_fails_half_way_is_put_back(place: Place, lan: Lan) -> None:
    """The kernel refuses a line in the middle."""
    file = bare(place)
    before = carried(place)
    code = (
        "import sys, pathlib; from qlan.render import uplink; from qlan.lab import Lab; f = uplink.forth\n"
        "uplink.forth = lambda one: [*list(f(one))[:-3], 'route add 10.1.1.1 via 203.0.113.1']\n"
        "Lab.load(pathlib.Path(sys.argv[1])).up()"
    )
    done = place.run(sys.executable, "-c", code, str(file), check=False)
    assert "Nexthop has invalid gateway" in done.stderr
    assert carried(place) == before


def test_who_has_a_nic_is_named(place: Place, lan: Lan) -> None:
    written(place)
    place.qlan("up", "--no-wait")
    other = place.folder / "other.yaml"
    other.write_text("lab: other\nnetworks:\n  x: {kind: public, uplink: eth0}\n")
    refused = place.qlan("up", "-f", str(other), check=False)
    assert "uplink of network `lan` of lab `office`" in refused.stderr
    place.qlan("down", "--force")


def test_a_network_of_another_kind_gives_the_nic_nothing_of_its_own(place: Place, lan: Lan) -> None:
    """Its own address was ours, and stays ours: neither the NIC nor the LAN ever has it."""
    public = bare(place)
    before, text = carried(place), public.read_text()
    private = text.replace(text[text.index("{") :], "{kind: host-only, subnet: 10.77.1.0/24}\n")
    for kind in (private, text, private, text):
        public.write_text(kind)
        place.qlan("up", "--no-wait")
        assert place.plan(public) == []
        assert ("10.77.1.1" in place.run("ip", "addr").stdout) == (kind == private)
        if kind == text:
            place.qlan("confirm")
    place.qlan("down", "--force")
    assert carried(place) == before

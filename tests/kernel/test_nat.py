"""Networks of kind nat: a namespace plays the machine, another one the outside with a web server; real packets."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .place import IS_ROOT, Place
from .test_faults import at, count
from .world import BEYOND, BEYOND6, HERE, HERE6, UPLINK, World, world

USER = f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}" if IS_ROOT else ""
LAB = """\
lab: demo
%s
networks:
  out: {kind: nat, subnet: 10.81.0.0/24, reach: [more]}
  more: {kind: nat, subnet: 10.82.0.0/24}
  lan: {kind: host-only, subnet: 10.83.0.0/24}
guests:
  web: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [out]}
"""
WEB = """
import http.server
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(self.client_address[0].removeprefix("::ffff:").encode())
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    address_family = 10
Server(("::", 80), Page).serve_forever()
"""


class Machine:
    """A machine with one uplink, and what is outside of it."""

    def __init__(self, around: World) -> None:
        self.place = around.machine
        self.setup = around.here
        self.outside = around.outside
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd="/")
        self.started.append(process)
        return process

    @staticmethod
    def run(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(argv, text=True, capture_output=True, check=check, timeout=60, cwd="/")

    def in_realm(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.place.run(*self.realm(), *argv, check=check)

    def realm(self) -> tuple[str, ...]:
        if IS_ROOT:
            return ()
        pid = (self.place.run_dir / "demo" / "namespace" / "realm").read_text().split()[0]
        return ("nsenter", f"--target={pid}", "--user", "--net", "--preserve-credentials")

    def bridge(self, network: str) -> str:
        rows = json.loads(self.in_realm("ip", "-j", "-d", "link", "show", "type", "bridge").stdout)
        return next(row["ifname"] for row in rows if row.get("ifalias") == f"qlan:demo:bridge/{network}")

    def guest(self, network: str, name: str, address: str, gateway: str, prefix_length: int = 24) -> tuple[str, ...]:
        """A namespace on the network, as a guest would be."""
        words = [
            *self.place.enter,
            *self.realm(),
            "unshare",
            "--net",
            "sh",
            "-c",
            "ip link set lo up; echo; exec sleep 120",
        ]
        process = self.start(*words)
        assert process.stdout and process.stdout.read(1)
        self.in_realm("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(process.pid))
        self.in_realm("ip", "link", "set", name, "master", self.bridge(network), "up")
        inside = (*self.place.enter, *self.realm(), "nsenter", f"--target={process.pid}", "--net")
        self.run(*inside, "ip", "address", "add", f"{address}/{prefix_length}", "dev", "eth0")
        self.run(*inside, "ip", "link", "set", "eth0", "up")
        self.run(*inside, "ip", "route", "add", "default", "via", gateway)
        return inside

    def forwarding(self) -> dict[str, str]:
        script = (
            "for f in /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/*/forwarding "
            "/proc/sys/net/ipv6/conf/*/*forwarding /proc/sys/net/ipv6/conf/*/accept_ra; do echo $f $(cat $f); done"
        )
        return dict(line.split() for line in self.place.run("sh", "-c", script).stdout.splitlines())


def page(machine: Machine, guest: tuple[str, ...], target: str) -> str:
    words = ("curl", "-s", "--noproxy", "*", "--max-time", "3", f"http://{target}/")
    return machine.run(*guest, *words, check=False).stdout


def pings(machine: Machine, guest: tuple[str, ...], target: str, wait_s: int = 1) -> bool:
    return machine.run(*guest, "ping", "-c", "1", "-W", str(wait_s), target, check=False).returncode == 0


@contextlib.contextmanager
def standing(place: Place) -> Iterator[Machine]:
    """One with what is outside; what was started there goes with it."""
    with world(place) as around:
        one = Machine(around)
        try:
            yield one
        finally:
            for process in one.started:
                process.kill()
                process.wait()


@pytest.fixture
def machine(place: Place) -> Iterator[Machine]:
    with standing(place) as one:
        one.start(*one.outside, sys.executable, "-c", WEB)
        deadline = time.monotonic() + 10
        while not page(one, one.setup, BEYOND):
            assert time.monotonic() < deadline, "nobody serves outside"
            time.sleep(0.05)
        yield one


@pytest.fixture
def nat(place: Place) -> Path:
    file = place.folder / "qlan.yaml"
    file.write_text(LAB % USER)
    return file


def test_who_reaches_whom(machine: Machine, nat: Path) -> None:
    place = machine.place
    before = machine.forwarding()
    place.qlan("up", "--no-wait")
    a = machine.guest("out", "ga", "10.81.0.9", "10.81.0.1")
    b = machine.guest("more", "gb", "10.82.0.9", "10.82.0.1")
    c = machine.guest("lan", "gc", "10.83.0.9", "10.83.0.1")
    assert page(machine, a, BEYOND) == HERE, "out, with the machine's own address"
    assert page(machine, b, BEYOND) == HERE
    assert pings(machine, a, "10.81.0.1"), "the host"
    assert pings(machine, a, "10.82.0.9"), "`reach` says so"
    assert not pings(machine, b, "10.81.0.9"), "and not the other way"
    assert not pings(machine, a, "10.83.0.9"), "a host-only network is nobody's"
    assert not page(machine, c, BEYOND), "host-only does not lead outside"
    assert pings(machine, c, "10.83.0.1")
    machine.run(*machine.outside, "ip", "route", "add", "10.80.0.0/12", "via", HERE)
    for target in ("10.81.0.9", "10.82.0.9", "10.83.0.9"):
        assert not pings(machine, machine.outside, target), f"from outside to {target}"
    counted = [rule["rule"]["expr"] for table in ("out", "more") for rule in rules(machine, table) if "rule" in rule]
    packets = sum(part["counter"]["packets"] for expr in counted for part in expr
                  if "counter" in part and any("masquerade" in other for other in expr))  # fmt: skip
    assert packets == 2, "a connection each"
    machine.start(*machine.setup, sys.executable, "-c", WEB)
    deadline = time.monotonic() + 10
    while not page(machine, a, HERE) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert page(machine, a, HERE), "what listens for everybody on the machine"
    if not IS_ROOT:
        assert not page(machine, a, "169.254.77.2"), "pasta's gateway does not stand for the machine's loopback"
    for name in ("ga", "gb", "gc"):
        machine.in_realm("ip", "link", "del", name)
    place.qlan("down", "--force")
    assert machine.forwarding() == before


@pytest.mark.skipif(not IS_ROOT, reason="without root it is pasta that looks for the way outside")
@pytest.mark.parametrize(
    "routes",
    [
        ["default nexthop via 198.51.100.1 dev up0 nexthop via 198.51.100.1 dev up0 weight 2"],
        ["0.0.0.0/1 via 198.51.100.1", "128.0.0.0/1 via 198.51.100.1"],
    ],
    ids=["several hops", "halves, as of a VPN"],
)
def test_a_way_outside_of_another_form(machine: Machine, nat: Path, routes: list[str]) -> None:
    machine.run(*machine.setup, "ip", "route", "delete", "default")
    for route in routes:
        machine.run(*machine.setup, "ip", "route", "add", *route.split())
    machine.place.qlan("up", "--no-wait")
    web = machine.guest("out", "w0", "10.81.0.9", "10.81.0.1")
    assert page(machine, web, BEYOND) == HERE
    assert machine.place.plan(nat) == []
    machine.place.qlan("down", "--force")


@pytest.mark.skipif(not IS_ROOT, reason="without root the way outside is pasta, which has frames of its own")
def test_the_mtu_is_that_of_the_way_outside(machine: Machine, nat: Path) -> None:
    place = machine.place
    narrow(machine, 1400)
    place.qlan("up", "--no-wait")
    assert [mtu(machine, name) for name in ("out", "more", "lan")] == [1400, 1400, 1500]
    assert "option:mtu,1400" in (place.run_dir / "demo/dnsmasq/out/conf").read_text()
    assert "host_mtu" in " ".join(words for _, words in place.processes() if "qemu-system" in words)
    assert place.plan(nat) == []
    qemu = [one for one in place.processes() if "qemu-system" in one[1].split()[0]]
    narrow(machine, 1300)
    assert "~ bridge/out" in " ".join(place.plan(nat))
    place.qlan("up", "--no-wait")
    assert [mtu(machine, name) for name in ("out", "more", "lan")] == [1300, 1300, 1500]
    assert [one for one in place.processes() if "qemu-system" in one[1].split()[0]] == qemu, "nobody is restarted"
    nat.write_text((LAB % USER).replace("out: {kind: nat,", "out: {kind: nat, mtu: 1350,"))
    place.qlan("up", "--no-wait")
    assert [mtu(machine, name) for name in ("out", "more")] == [1350, 1300], "what is written counts"
    narrow(machine, 9000)
    place.qlan("up", "--no-wait")
    assert mtu(machine, "more") == 1500, "more than Ethernet's nobody is given unasked"
    place.qlan("down", "--force")


def narrow(machine: Machine, mtu_bytes: int) -> None:
    machine.run(*machine.setup, "ip", "link", "set", "dev", UPLINK, "mtu", str(mtu_bytes))


def mtu(machine: Machine, network: str) -> int:
    words = ("ip", "-j", "link", "show", "dev", machine.bridge(network))
    return int(json.loads(machine.in_realm(*words).stdout)[0]["mtu"])


def rules(machine: Machine, network: str) -> list[dict[str, dict[str, list[dict[str, dict[str, int]]]]]]:
    words = ("nft", "-j", "list", "table", "inet", f"qlan.demo.{network}")
    listed: list[dict[str, dict[str, list[dict[str, dict[str, int]]]]]] = json.loads(
        machine.in_realm(*words).stdout)["nftables"]  # fmt: skip
    return listed


@pytest.mark.parametrize("damage", [
    "nft flush ruleset", "nft flush chain inet qlan.demo.out arriving", "nft add rule inet qlan.demo.out leaving drop",
    "ip link set dev BRIDGE down", "sh -c 'echo 0 >/proc/sys/net/ipv4/conf/BRIDGE/forwarding'",
])  # fmt: skip
def test_what_was_changed_is_drift_and_up_repairs_it(machine: Machine, nat: Path, damage: str) -> None:
    machine.place.qlan("up", "--no-wait")
    assert machine.place.plan(nat) == []
    machine.in_realm("sh", "-c", damage.replace("BRIDGE", machine.bridge("out")))
    assert machine.place.plan(nat), damage
    machine.place.qlan("up", "--no-wait")
    assert machine.place.plan(nat) == []
    machine.place.qlan("down", "--force")


BY_SIGNS = """
import sys
from qlan import watching
from qlan.cli.main import main
watching._READ_AT_LEAST_S = 600
sys.exit(main(["events", "--repair", "-l", "demo"]))
"""


@contextlib.contextmanager
def repairing(place: Place) -> Iterator[None]:
    """While `qlan events --repair` looks on, which reads the lab for no other reason than a sign of a change."""
    words = [*place.enter, sys.executable, "-c", BY_SIGNS]
    with (
        (place.folder / "events").open("w") as log,
        subprocess.Popen(words, stdout=log, stderr=log, env=place.environment, cwd=place.folder) as process,
    ):
        try:
            yield
        finally:
            process.terminate()


def test_all_that_others_can_break_is_put_back_at_once(machine: Machine, nat: Path) -> None:
    """Each thing once; the guest's QEMU stays the same."""
    place = machine.place
    nat.write_text((LAB % USER).replace("nics: [out]", "nics: [{network: out, forwards: ['auto:80']}]"))
    place.qlan("up", "--no-wait")
    tap = json.loads(machine.in_realm("ip", "-j", "link", "show", "master", machine.bridge("out")).stdout)[0]["ifname"]
    servers = ["/dnsmasq/out/", "qlan.relay", *([] if IS_ROOT else ["/r/demo/pasta/"])]
    damages = ["nft flush ruleset", f"ip link set dev {tap} nomaster", f"ip link del dev {machine.bridge('more')}"]
    damages += [f"KILL {one}" for one in servers]
    qemu = [one for one in place.processes() if "qemu-system" in one[1].split()[0]]
    with repairing(place):
        time.sleep(1.0)
        for damage in damages:
            if damage.startswith("KILL "):
                pids = [pid for pid, words in place.processes() if damage[5:] in words and "events" not in words]
                assert pids, damage
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
            else:
                machine.in_realm(*damage.split())
            begun = time.monotonic()
            time.sleep(0.3)
            while left := place.plan(nat):
                assert time.monotonic() - begun < 30, (damage, left, (place.folder / "events").read_text())
                time.sleep(0.1)
    assert [one for one in place.processes() if "qemu-system" in one[1].split()[0]] == qemu
    place.qlan("down", "--force")
    assert place.processes() == []


@pytest.mark.skipif(IS_ROOT, reason="the host realm's dnsmasq reads resolv.conf itself: in the rootless run")
def test_a_pasta_that_asks_the_name_servers_of_yesterday_is_made_anew(machine: Machine, nat: Path) -> None:
    place = machine.place
    place.qlan("up", "--no-wait")
    copy = place.run_dir / "demo/pasta/resolv.conf"
    assert copy.read_bytes() == Path("/etc/resolv.conf").read_bytes()
    copy.write_text("# another network\nsearch there\nnameserver 192.0.2.53\n")
    assert {"- pasta/uplink", "+ pasta/uplink"} <= {" ".join(line.split()[:2]) for line in place.plan(nat)}
    guest = machine.guest("out", "ga", "10.81.0.9", "10.81.0.1")
    with repairing(place):
        deadline = time.monotonic() + 30
        while place.plan(nat):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert pings(machine, guest, BEYOND)
    machine.in_realm("ip", "link", "del", "ga")
    place.qlan("down", "--force")
    assert place.processes() == []


@pytest.mark.parametrize(("verb", "how"), [("up", "fail")])
def test_a_fault_at_every_command(machine: Machine, nat: Path, verb: str, how: str) -> None:
    place = machine.place
    nat.write_text((LAB % USER).partition("  more:")[0].replace(", reach: [more]", "") + "guests: {}\n")
    settings, empty = machine.forwarding(), place.snapshot()
    total = count(place, nat, "up")
    gone = count(place, nat, "down")
    assert (place.snapshot(), machine.forwarding()) == (empty, settings)
    for number in range(total if verb == "up" else gone):
        if verb == "down":
            count(place, nat, "up")
        at(place, nat, verb, how, number)
        if how == "kill":
            count(place, nat, "up")
            assert place.plan(nat) == [], f"killed at {number} of {verb}"
        elif verb == "down":
            assert place.plan(nat) == [], f"refused at {number} of {verb}: not put back whole"
        if (verb, how) != ("up", "fail"):
            count(place, nat, "down")
        assert (place.snapshot(), machine.forwarding()) == (empty, settings), f"{how} at {number} of {total}, {verb}"


@pytest.mark.skipif(not IS_ROOT, reason="a rootless lab has a realm of its own: the same in the run as root")
def test_the_last_lab_out_puts_forwarding_back(machine: Machine, nat: Path) -> None:
    place = machine.place
    other = place.folder / "other.yaml"
    other.write_text("lab: other\nnetworks: {out: nat}\nguests: {}\n" + USER)
    before = machine.forwarding()
    uplink = f"/proc/sys/net/ipv4/conf/{UPLINK}/forwarding"
    place.qlan("up", "--no-wait")
    place.qlan("up", "--no-wait", "-f", str(other))
    assert machine.forwarding()[uplink] == "1"
    assert machine.forwarding()["/proc/sys/net/ipv4/ip_forward"] == "0", "the machine is no router for others"
    place.qlan("down", "--force", "-f", str(nat))
    assert machine.forwarding()[uplink] == "1", "the other lab needs it"
    place.qlan("down", "--force", "-f", str(other))
    assert machine.forwarding() == before
    assert not place.run_dir.exists()


def test_the_script_is_up(machine: Machine, nat: Path) -> None:
    script = machine.place.folder / "up.sh"
    script.write_text(machine.place.qlan("plan", "--script").stdout)
    machine.place.run("sh", str(script))
    assert machine.place.plan(nat) == []
    nat.write_text(nat.read_text().replace("kind: nat", "kind: host-only").replace(", reach: [more]", ""))
    edit = machine.place.qlan("plan", "--script").stdout
    if not IS_ROOT:
        head, ends_pasta, _ = edit.partition("# pasta/uplink ends\n")
        assert ends_pasta
        script.write_text(head)
        machine.place.run("sh", str(script))
        assert "- pasta/uplink" in machine.place.qlan("plan").stdout, "a script that was stopped halfway"
    script.write_text(edit)
    machine.place.run("sh", str(script))
    assert machine.place.plan(nat) == []
    assert not any("pasta" in words for _, words in machine.place.processes())
    machine.place.qlan("down", "--force")
    assert machine.place.processes() == []


@pytest.mark.skipif(not IS_ROOT, reason="a rootless lab has a realm of its own: the same in the run as root")
def test_a_machine_that_forwards_anyway_forwards_nothing_for_host_only(machine: Machine, nat: Path) -> None:
    """As beside Docker; and the guest takes the host for its router by hand."""
    place = machine.place
    nat.write_text(
        f"lab: demo\n{USER}\nnetworks:\n  lan: {{kind: host-only, subnet: 10.83.0.0/24, ipv6: 'fd83::/64'}}\n"
    )
    machine.run(*machine.setup, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    for route in ("10.83.0.0/24 via " + HERE, "fd83::/64 via " + HERE6):
        machine.run(*machine.outside, "ip", "route", "add", *route.split())
    place.qlan("up", "--no-wait")
    inside = machine.guest("lan", "ga", "10.83.0.9", "10.83.0.1")
    for words in ("address add fd83::9/64 dev eth0 nodad", "route add default via fd83::1"):
        machine.run(*inside, "ip", "-6", *words.split())
    ways = [(inside, BEYOND), (inside, BEYOND6), (machine.outside, "10.83.0.9"), (machine.outside, "fd83::9")]
    assert [pings(machine, *way) for way in ways] == [False] * 4
    assert pings(machine, inside, "10.83.0.1") and pings(machine, inside, "fd83::1")
    assert place.plan(nat) == []
    machine.in_realm("nft", "delete", "table", "inet", "qlan.demo.lan")
    assert [pings(machine, *way) for way in ways] == [True] * 4, "the test knows the ways"
    place.qlan("up", "--no-wait")
    assert [pings(machine, *way) for way in ways[:2]] == [False] * 2
    machine.in_realm("ip", "link", "del", "ga")
    place.qlan("down", "--force")
    assert "qlan" not in machine.run(*machine.setup, "nft", "list", "ruleset").stdout

"""A network of more NICs than a bridge has room for: a star of bridges, in both realms, with room for two NICs each."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .place import IS_ROOT, Place

HERE = Path(__file__).parent
PORTS = 2
USER = f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}\n" if IS_ROOT else ""
GUEST = "  {0}: {{qemu_args: [-S], memory: 16M, accel: tcg, nics: [{1}]}}\n"


class Star:
    """One lab with one network, `lan`."""

    def __init__(self, place: Place, network: str = "kind: host-only, subnet: 10.9.0.0/24") -> None:
        self.place, self.network = place, network
        self.file = place.folder / "qlan.yaml"

    def write(self, **guests: int) -> None:
        nics = {name: ", ".join(["lan"] * count) for name, count in guests.items()}
        text = f"lab: demo\n{USER}networks:\n  lan: {{{self.network}}}\nguests:\n"
        self.file.write_text(text + "".join(GUEST.format(name, words) for name, words in nics.items()))

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.place.run(sys.executable, str(HERE / "few_ports.py"), str(PORTS), *words, check=check)

    def qlan(self, *words: str) -> str:
        return self.run("qlan", *words).stdout

    def drift(self) -> list[str]:
        """What `up` would do now."""
        return [line for line in self.qlan("plan").splitlines() if line[:1] in "+-~"]

    def at(self, verb: str, how: str = "count", number: int = -1) -> list[str]:
        """The commands, counted; killed at one of them: none."""
        done = self.run(str(HERE / "lab_at.py"), str(self.file), verb, how, str(number), check=False)
        assert "Traceback" not in done.stderr, done.stderr
        assert how == "kill" or done.returncode == 0, done.stderr
        return done.stderr.splitlines()

    def inside(self, *argv: str) -> str:
        """A command where the network is."""
        if IS_ROOT:
            return self.place.run(*argv).stdout
        pid = (self.place.run_dir / "demo" / "namespace" / "realm").read_text().split()[0]
        words = ("nsenter", f"--target={pid}", "--user", "--net", "--preserve-credentials")
        return self.place.run(*words, *argv).stdout

    def links(self) -> dict[str, dict[str, Any]]:
        """Every link of the lab by its key, as `ip` has it."""
        rows = json.loads(self.inside("ip", "-j", "-d", "link"))
        marked = {row.get("ifalias", ""): row for row in rows if row}
        return {mark.removeprefix("qlan:demo:"): row for mark, row in marked.items() if mark.startswith("qlan:")}

    def shape(self) -> dict[str, str]:
        """The key of the bridge of every port."""
        links = self.links()
        names = {row["ifname"]: key for key, row in links.items()}
        return {key: names[row["master"]] for key, row in links.items() if "master" in row}

    def pids(self) -> dict[str, int]:
        guests = json.loads(self.qlan("status", "--json"))["labs"][0]["guests"]
        return {one["name"]: one["pid"] for one in guests}


def test_it_grows_and_shrinks_under_running_guests(place: Place) -> None:
    star = Star(place)
    star.write(a=2)
    star.qlan("up", "--no-wait")
    assert star.shape() == {"tap/a/0": "bridge/lan", "tap/a/1": "bridge/lan"}
    before = star.pids()
    star.write(a=2, b=3)
    star.qlan("up", "--no-wait")
    assert star.shape() == {
        "tap/a/0": "bridge/lan", "tap/a/1": "bridge/lan", "trunk/lan/1": "bridge/lan", "trunk/lan/2": "bridge/lan",
        "tap/b/0": "branch/lan/1", "tap/b/1": "branch/lan/1", "trunk/lan/1/far": "branch/lan/1",
        "tap/b/2": "branch/lan/2", "trunk/lan/2/far": "branch/lan/2",
    }  # fmt: skip
    assert star.pids()["a"] == before["a"]
    assert star.drift() == []
    shown = json.loads(star.qlan("status", "--json"))["labs"][0]
    assert {nic["network"] for guest in shown["guests"] for nic in guest["nics"]} == {"lan"}
    assert "5 of" not in star.qlan("show", "lan")
    star.write(a=2)
    star.qlan("up", "--no-wait")
    assert star.shape() == {"tap/a/0": "bridge/lan", "tap/a/1": "bridge/lan"}
    assert star.pids() == before
    assert [key for key in star.links() if key.startswith(("branch", "trunk"))] == []
    star.qlan("down", "--force")
    assert place.processes() == []


@pytest.mark.parametrize("option", ["isolated: true", "mtu: 1400, stp: true"])
def test_frames_go_across_as_on_one_bridge(place: Place, option: str) -> None:
    """A port of ours by hand on each of three bridges, as a TAP would be: what isolation lets through, and the host."""
    star = Star(place, f"kind: host-only, subnet: 10.9.0.0/24, {option}")
    star.write(a=2, b=2, c=2)
    star.qlan("up", "--no-wait")
    links = star.links()
    isolated = option.startswith("isolated")
    for number, bridge in enumerate(("bridge/lan", "branch/lan/1", "branch/lan/2"), 1):
        port, name = f"link set p{number}", links[bridge]["ifname"]
        assert links[bridge]["mtu"] == (1500 if isolated else 1400)
        assert links[bridge]["linkinfo"]["info_data"]["stp_state"] == int(not isolated)
        lines = [
            f"link add p{number} type veth peer name q{number}",
            f"{port} master {name}",
            f"{port} type bridge_slave isolated {'on' if isolated else 'off'}",
            f"{port} up",
        ]
        for line in lines:
            star.inside("ip", *line.split())
    reached = {}
    with_own = "ip link set lo up; ip addr add 10.9.0.1{0}/24 dev q{0}; ip link set q{0} up; echo; exec sleep 60"
    holders = {}
    try:
        for number in (1, 2, 3):
            holders[number] = _inside_of_its_own(star, number, with_own)
        for number, target in ((1, 2), (2, 3), (3, 1), (2, 0)):
            address = f"10.9.0.1{target}" if target else "10.9.0.1"
            reached[number, target] = _pings(star, holders[number], address, 20 if not isolated or not target else 2)
    finally:
        for holder in holders.values():
            holder.kill()
            holder.wait()
    expected = {(1, 2): not isolated, (2, 3): not isolated, (3, 1): not isolated, (2, 0): True}
    assert reached == expected
    star.qlan("down", "--force")


def _inside_of_its_own(star: Star, number: int, script: str) -> subprocess.Popen[bytes]:
    """A namespace that has the other end of the port."""
    pid = "" if IS_ROOT else (star.place.run_dir / "demo" / "namespace" / "realm").read_text().split()[0]
    words = [] if IS_ROOT else ["nsenter", f"--target={pid}", "--user", "--net", "--preserve-credentials"]
    argv = [
        *star.place.enter,
        *words,
        "unshare",
        "--net",
        "sh",
        "-c",
        "echo; read go; " + script.format(number),
    ]
    holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin and holder.stdout
    holder.stdout.read(1)
    star.inside("ip", "link", "set", f"q{number}", "netns", str(holder.pid))
    holder.stdin.write(b"go\n")
    holder.stdin.flush()
    holder.stdout.read(1)
    return holder


def _pings(star: Star, holder: subprocess.Popen[bytes], address: str, tries: int) -> bool:
    """A bridge with STP lets nothing through for the first seconds."""
    user = [] if IS_ROOT else ["--user", "--preserve-credentials"]
    words = ["nsenter", f"--target={holder.pid}", *user, "--net", "ping", "-c", "1", "-W", "1", address]
    return any(subprocess.run(words, capture_output=True, check=False).returncode == 0 for _ in range(tries))


@pytest.mark.parametrize("damage", [
    "link del {trunk/lan/1}", "link set {trunk/lan/1/far} nomaster", "link set {trunk/lan/1} down",
    "link set {trunk/lan/1} type bridge_slave isolated off", "link del {branch/lan/1}",
])  # fmt: skip
def test_what_somebody_breaks_is_drift_and_up_repairs_it(place: Place, damage: str) -> None:
    star = Star(place, "kind: host-only, subnet: 10.9.0.0/24, isolated: true, dhcp: false")
    star.write(a=4)
    star.qlan("up", "--no-wait")
    shape, pids = star.shape(), star.pids()
    names = {key: row["ifname"] for key, row in star.links().items()}
    for key, name in names.items():
        damage = damage.replace(f"{{{key}}}", name)
    star.inside("ip", *damage.split())
    assert star.drift(), damage
    star.qlan("up", "--no-wait")
    assert star.drift() == []
    assert (star.shape(), star.pids()) == (shape, pids)
    star.qlan("down", "--force")
    assert place.processes() == []


def test_killed_at_every_command_that_makes_the_star(place: Place) -> None:
    """The next `up` completes it, and `down` leaves nothing."""
    star = Star(place, "kind: host-only, subnet: 10.9.0.0/24, dhcp: false")
    star.write(a=3)
    empty = place.snapshot()
    commands = star.at("up")
    shape = star.shape()
    star.at("down")
    assert place.snapshot() == empty
    made = [number for number, words in enumerate(commands) if re.search(r"lan\.[btf]1", words)]
    assert len(made) > 7
    for number in range(made[0] + 1, made[-1] + 2):  # what is killed is what comes after the command before it
        if number not in made and number - 1 not in made:
            continue
        star.at("up", "kill", number)
        star.at("up")
        assert star.drift() == [], commands[number]
        assert star.shape() == shape
        star.at("down")
        assert place.snapshot() == empty, commands[number]

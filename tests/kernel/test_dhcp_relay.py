"""A network whose addresses a server elsewhere gives: faults at every command, a lost relay, who else is there."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from .place import IS_ROOT, Place
from .test_edit import edit
from .test_faults import faults_at_commands

TEST_USER = os.environ.get("QLAN_TEST_USER", "nobody")
LAB = """\
lab: demo
networks:
  srv: {kind: host-only, subnet: 10.81.0.0/24, dhcp: true}
  lan: {kind: host-only, subnet: 10.82.0.0/24, dns: false, ipv6: false, dhcp: {relay: 10.81.0.5}}
"""
# bound as a server that takes all links for itself
GREEDY = "import socket; s = socket.socket(2, 2); s.bind(('', 67)); print(flush=True); import time; time.sleep(60)"

# In the lab's network: a server at 10.81.0.5, and frames of a guest; argv: the bridges of `lan` and `srv`.
EXCHANGE = """
import socket, struct, subprocess, sys
def ip(line): subprocess.run(["ip", *line.split()], check=True)
ip(f"address add 10.81.0.5/32 dev {sys.argv[2]}")
ip("link add v0 type veth peer name v1"); ip(f"link set v0 master {sys.argv[1]} up"); ip("link set v1 up")
def server(address):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); one.setsockopt(1, socket.SO_REUSEADDR, 1)
    one.bind((address, 67)); one.settimeout(5); return one
def bootp(op, xid, giaddr="0.0.0.0", hops=0):
    head = struct.pack("!BBBBIHH4x4x4x", op, 1, 6, hops, xid, 0, 0x8000) + socket.inet_aton(giaddr)
    return (head + b"\\x02\\0\\0\\0\\0\\x07").ljust(300, b"\\0")
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data)); total = (total & 0xffff) + (total >> 16)
    return ~((total & 0xffff) + (total >> 16)) & 0xffff
guest = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x800)); guest.bind(("v1", 0x800))
def ask(data):
    udp = struct.pack("!HHHH", 68, 67, 8 + len(data), 0) + data
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), b"\\xff" * 4)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    guest.send(b"\\xff" * 6 + b"\\x02\\0\\0\\0\\0\\x07" + b"\\x08\\0" + head + udp)
def heard():
    found = set()
    guest.settimeout(1)
    try:
        while True:
            frame = guest.recv(2000)
            if frame[23] == 17 and frame[34:38] == struct.pack("!HH", 67, 68) and frame[42] == 2:
                found.add(struct.unpack("!I", frame[46:50])[0])
    except TimeoutError:
        return sorted(found)
right, other = server("10.81.0.5"), server("10.81.0.1")
ask(bootp(1, 7)); ask(bootp(1, 8, "10.81.0.1")); ask(bootp(1, 9))
asked = [right.recvfrom(2000) for _ in range(2)]
print(sorted((struct.unpack("!I", data[4:8])[0], data[3], socket.inet_ntoa(data[24:28]), who) for data, who in asked))
right.settimeout(0.5)
try: print("too many", right.recv(2000))
except TimeoutError: pass
for sender, xid in ((right, 7), (right, 6), (other, 9)):
    sender.sendto(bootp(2, xid, "10.82.0.1"), ("10.82.0.1", 67))
print(heard())
"""


@pytest.fixture
def lab(place: Place) -> Path:
    file = place.folder / "qlan.yaml"
    file.write_text(LAB)
    return file


@pytest.mark.parametrize("verb", ["up", "down"])
def test_a_fault_at_every_command(place: Place, lab: Path, verb: str) -> None:
    faults_at_commands(place, lab, verb)


def test_a_lost_relay_is_made_again_and_the_script_makes_it_too(place: Place, lab: Path) -> None:
    script = place.folder / "up.sh"
    script.write_text(place.qlan("plan", "--script").stdout)
    place.run("sh", str(script))
    assert place.plan(lab) == []
    [relay] = relays(place)
    place.run("kill", "-9", str(relay))
    assert [line.split()[1] for line in place.plan(lab)] == ["relay", "dhcprelay/lan"]
    assert "relay" in place.qlan("status").stdout
    place.qlan("up")
    assert place.plan(lab) == []


def test_answers_come_to_who_asked_and_from_who_was_asked(place: Place, lab: Path) -> None:
    """Neither a guest that pretends to be the server nor one that names another network gets through."""
    edit(lab, "dhcp: true", "dhcp: false, dns: false, ipv6: false")
    place.qlan("up")
    names = bridges(place)
    done = place.qlan("exec", "--", sys.executable, "-c", EXCHANGE, names["lan"], names["srv"])
    way = ("10.82.0.1", 67)
    assert done.stdout.splitlines() == [str([(7, 1, "10.82.0.1", way), (9, 1, "10.82.0.1", way)]), "[7]"]
    log = place.run_dir / "demo" / "relay" / "log"
    assert "an answer from 10.81.0.1 was dropped: 10.81.0.5 is asked" in log.read_text()


def test_a_bridge_that_got_another_name_is_made_anew_with_its_relay(place: Place, lab: Path) -> None:
    place.qlan("up")
    bridge = bridges(place)["lan"]
    place.qlan("exec", "--", "ip", "link", "set", bridge, "down")
    place.qlan("exec", "--", "ip", "link", "set", bridge, "name", "zz")
    place.qlan("up")
    assert place.plan(lab) == []


def test_the_relay_goes_with_the_last_network_that_needs_it(place: Place, lab: Path) -> None:
    place.qlan("up")
    edit(lab, "dhcp: {relay: 10.81.0.5}", "dhcp: {relay: 10.81.0.6}")
    place.qlan("up")
    assert "by 10.81.0.6, which is asked through a relay" in place.qlan("show", "lan").stdout
    edit(lab, "dhcp: {relay: 10.81.0.6}", "dhcp: true")
    place.qlan("up")
    assert place.plan(lab) == []
    assert relays(place) == []


@pytest.mark.skipif(not IS_ROOT, reason="an ordinary user's relay is his own anyway: in the run as root")
def test_the_relay_is_the_user_s_without_guests_too(place: Place, lab: Path) -> None:
    place.qlan("up")
    [before] = relays(place)
    assert Path(f"/proc/{before}").stat().st_uid == 0, "nobody else is known"
    edit(lab, "lab: demo", f"lab: demo\nuser: {TEST_USER}")
    place.qlan("up")
    [now] = relays(place)
    assert Path(f"/proc/{now}").stat().st_uid == pwd.getpwnam(TEST_USER).pw_uid
    assert place.plan(lab) == []


@pytest.mark.skipif(
    not IS_ROOT, reason="only as root is a lab where this machine's own servers are: in the run as root"
)
def test_a_server_that_takes_all_links_is_named(place: Place, lab: Path) -> None:
    holder = subprocess.Popen([*place.enter, "python3", "-c", GREEDY], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        edit(lab, "dhcp: true", "dhcp: false, dns: false, ipv6: false")
        done = place.qlan("up", check=False)
        assert done.returncode == 4
        assert f"dhcp port 67 of 10.82.0.1 is taken by python3 (process {holder.pid})" in done.stderr
        assert "hear its own links alone" in done.stderr
    finally:
        holder.kill()
        holder.wait()


def bridges(place: Place) -> dict[str, str]:
    """Their names by network."""
    rows = json.loads(place.qlan("exec", "--", "ip", "-j", "link", "show", "type", "bridge").stdout)
    return {row["ifalias"].rpartition("/")[2]: row["ifname"] for row in rows if row}


def relays(place: Place) -> list[int]:
    return [pid for pid, words in place.processes() if "qlan.relay" in words]

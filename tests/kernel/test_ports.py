"""Published ports of a bridged network: opened, followed, repaired, refused; with a fault at every command."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .place import IS_ROOT, Place
from .test_edit import edit
from .test_faults import at, count, faults_at_commands

LAB = """\
lab: demo
%s
networks:
  lan: {kind: host-only, subnet: 10.77.0.0/24, dhcp: false, dns: false}
guests:
  web:
    qemu_args: [-S]
    memory: 16M
    accel: tcg
    nics:
      - {network: lan, forwards: ["28080:10.77.0.1:80", "0.0.0.0:28081:10.77.0.1:80", "udp:28053:10.77.0.1:53"]}
      - {user: true, forwards: ["28022:22"]}
"""

# In the lab's network, where the bridge's address is: says who called, and whatever it hears.
SERVER = """
import socket, threading
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("10.77.0.1", 53))
def datagrams():
    while True:
        data, caller = udp.recvfrom(9000)
        udp.sendto(f"{caller[0]} {data.decode()}".encode(), caller)
threading.Thread(target=datagrams, daemon=True).start()
tcp = socket.create_server(("10.77.0.1", 80))
print(flush=True)
def serve(one, caller):
    while data := one.recv(9000):
        one.sendall(f"{caller[0]} {data.decode()}".encode())
while True:
    threading.Thread(target=serve, args=tcp.accept(), daemon=True).start()
"""

CLIENT = """
import socket, sys
kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
one = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
one.settimeout(5); one.connect((address, port)); one.sendall(b"hello"); print(one.recv(9000).decode())
"""


FAULTS = 6  # the machine, the relay, its ports


@pytest.fixture
def lab(place: Place) -> Path:
    file = place.folder / "qlan.yaml"
    file.write_text(LAB % (f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}" if IS_ROOT else ""))
    return file


@contextmanager
def serving(place: Place, program: str = SERVER) -> Iterator[None]:
    argv = [*place.enter, *realm(place), sys.executable, "-c", program]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as server:
        assert server.stdout
        server.stdout.read(1)
        try:
            yield
        finally:
            server.kill()


def realm(place: Place) -> list[str]:
    if IS_ROOT:
        return []
    pid = (place.run_dir / "demo" / "namespace" / "realm").read_text().split()[0]
    return ["nsenter", f"--target={pid}", "--user", "--net", "--preserve-credentials"]


def says(place: Place, kind: str, port: int, address: str = "127.0.0.1") -> str:
    done = place.run(sys.executable, "-c", CLIENT, kind, address, str(port), check=False)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def relay_pid(place: Place) -> int:
    return next(pid for pid, words in place.processes() if "qlan.relay" in words)


def status(place: Place) -> dict[str, object]:
    [found] = json.loads(place.qlan("status", "--json").stdout)["labs"]
    assert isinstance(found, dict)
    return found


def test_they_lead_into_the_network_and_a_lost_relay_is_made_again(place: Place, lab: Path) -> None:
    empty = place.snapshot()
    place.qlan("up", "--no-wait")
    assert place.plan(lab) == []
    for again in (False, True):
        with serving(place):
            assert says(place, "tcp", 28080) == "10.77.0.1 hello"
            assert says(place, "tcp", 28081, "127.0.0.2") == "10.77.0.1 hello"
            assert says(place, "udp", 28053) == "10.77.0.1 hello"
        assert "Connection reset" in says(place, "tcp", 28080), "nobody listens there any more"
        if not again:
            os.kill(relay_pid(place), signal.SIGKILL)
            assert "+ relay" in "\n".join(status(place)["drift"])  # type: ignore[arg-type]
            place.qlan("up", "--no-wait")
            assert place.plan(lab) == []
    os.kill(relay_pid(place), signal.SIGSTOP)
    assert "- relay" in "\n".join(place.plan(lab)), "one that does not answer is made anew"
    place.qlan("up", "--no-wait")
    (place.run_dir / "demo" / "relay" / "process").write_text("")
    assert place.plan(lab) == [], "it is found without its record"
    place.qlan("down", "--force")
    assert place.snapshot() == empty


def test_an_edit_opens_and_closes_ports_under_open_connections(place: Place, lab: Path) -> None:
    place.qlan("up", "--no-wait")
    guests = [pid for pid, words in place.processes() if "qemu-system" in words]
    with serving(place), held(place) as one:
        edit(lab, '"28080:10.77.0.1:80", ', '"28090:10.77.0.1:80", ')
        done = place.qlan("up", "--no-wait")
        assert "runs as it was" not in done.stdout
        assert says(place, "tcp", 28090) == "10.77.0.1 hello"
        assert "refused" in says(place, "tcp", 28080)
        one.sendall(b"on")
        assert one.recv(100) == b"10.77.0.1 on"
    assert [pid for pid, words in place.processes() if "qemu-system" in words] == guests
    assert place.plan(lab) == []
    place.qlan("down", "web", "--force")
    assert "refused" in says(place, "tcp", 28090), "the ports of a guest that is down are closed"
    place.qlan("down", "--force")


@contextmanager
def held(place: Place, port: int = 28080, *, says_hello: bool = True) -> Iterator[socket.socket]:
    """A connection through a port, made in the test's place."""
    from qlan.host.namespace import open_inside

    def opener() -> list[int]:
        one = socket.create_connection(("127.0.0.1", port), timeout=5)
        return [one.detach()]

    pid = int(place.enter[1].partition("=")[2]) if place.enter else None
    [fd] = open_inside(pid, opener)
    with socket.socket(fileno=fd) as one:
        one.settimeout(5)
        if says_hello:
            one.sendall(b"in")
            assert one.recv(100) == b"10.77.0.1 in"
        yield one


def test_they_are_opened_and_closed_by_hand(place: Place, lab: Path) -> None:
    place.qlan("up", "--no-wait")
    with serving(place), held(place) as one:
        place.qlan("forward", "add", "web", "28090:10.77.0.1:80", "udp:auto:10.77.0.1:53")
        assert says(place, "tcp", 28090) == "10.77.0.1 hello"
        rows = json.loads(place.qlan("forward", "list", "web", "--json").stdout)["forwards"]
        [udp] = [row for row in rows if row["protocol"] == "udp" and row["host_port"] != 28053]
        assert says(place, "udp", udp["host_port"]) == "10.77.0.1 hello"
        assert (udp["backend"], udp["seen_as"]) == ("relay", "10.77.0.1")
        assert udp["owner"] == f"relay:demo (process {relay_pid(place)})"
        assert [row["connections"] for row in rows if row["host_port"] == 28080] == [1]
        assert len(status(place)["unsaved"]) == 2  # type: ignore[arg-type]
        assert status(place)["drift"] == []
        place.qlan("forward", "remove", "web", "28080", f"{udp['host_port']}/udp")
        assert "refused" in says(place, "tcp", 28080)
        one.sendall(b"on")
        assert one.recv(100) == b"10.77.0.1 on"
        refused = place.qlan("forward", "add", "web", "0.0.0.0:28081:1", check=False)
        assert refused.returncode == 4
        assert "is forwarded already: to port 80 of guest `web`" in refused.stderr
    place.qlan("up", "--no-wait")
    assert status(place)["unsaved"] == ["+ port/web/0/tcp:127.0.0.1:28090", "- port/web/0/tcp:127.0.0.1:28080"]
    place.qlan("up", "--no-wait", "--discard")
    assert status(place)["unsaved"] == []
    assert {row["host_port"] for row in json.loads(place.qlan("forward", "list", "--json").stdout)["forwards"]} == {
        28080,
        28081,
        28053,
        28022,
    }
    assert place.qlan("forward", "remove", "web", "7", check=False).returncode == 2
    place.qlan("down", "--force")


def test_they_are_written_into_the_file_where_asked(place: Place, lab: Path) -> None:
    edit(lab, "guests:", "guests:  # a word")
    place.qlan("up", "--no-wait")
    before = lab.read_text()
    place.qlan("forward", "add", "web", "28090:10.77.0.1:80", "udp:0.0.0.0:28091:91", "--save")
    assert lab.read_text() == before.replace(
        '10.77.0.1:53"', '10.77.0.1:53", "28090:10.77.0.1:80", "udp:0.0.0.0:28091:91"'
    )
    assert place.plan(lab) == []
    found = status(place)
    assert (found["unsaved"], found["edited"]) == ([], False)
    place.qlan("forward", "remove", "web", "28090", "28091", "--save")
    assert lab.read_text() == before
    assert place.plan(lab) == []
    place.qlan("down", "--force")


def test_those_of_a_user_nic_too_and_its_machine_runs_on(place: Place, lab: Path) -> None:
    """The guest is stopped at its first instruction: slirp takes callers all the same, and they wait."""
    place.qlan("up", "--no-wait")
    guests = machines(place)
    place.qlan("forward", "add", "web", "28023:23", "--nic", "1")
    assert place.plan(lab) == []
    assert "- forward/web/1/tcp:127.0.0.1:28023" in place.qlan("plan", "--discard").stdout
    with held(place, 28023, says_hello=False) as one:
        [row] = forwards(place, 28023)
        assert (row["backend"], row["seen_as"], row["connections"]) == ("slirp", "10.0.2.2", 1)
        assert row["owner"] == f"qemu:web (process {guests[0]})"
        place.qlan("forward", "remove", "web", "28023")
        assert "refused" in says(place, "tcp", 28023)
        one.settimeout(0.3)
        with pytest.raises(TimeoutError):  # no reset, no end: it is still open
            one.recv(1)
    edit(lab, '"28022:22"', '"28024:22", "udp:28025:25"')
    assert "runs as it was" not in place.qlan("up", "--no-wait").stdout
    assert "refused" in says(place, "tcp", 28022)
    assert "timed out" in says(place, "tcp", 28024)
    assert place.plan(lab) == []
    assert machines(place) == guests
    place.qlan("down", "--force")


LAB6 = """\
lab: demo
%s
networks:
  lan: {kind: host-only, subnet: 10.77.0.0/24, dhcp: false, dns: false, ipv6: "fd77::/64"}
guests:
  web:
    qemu_args: [-S]
    memory: 16M
    accel: tcg
    nics:
      - network: lan
        address6: fd77::9
        forwards: ["[::1]:28080:[fd77::1]:80", "udp:[::]:28053:[fd77::1]:53", "[::1]:28081:10.77.0.1:80",
                   "28080:10.77.0.1:80", "[::1]:auto:22"]
"""
SERVER6 = """
import socket, threading
def serve(one):
    def talk(channel, caller):
        while data := channel.recv(9000):
            channel.sendall(f"{caller[0]} {data.decode()}".encode())
    while True:
        threading.Thread(target=talk, args=one.accept(), daemon=True).start()
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); udp.bind(("fd77::1", 53))
for address, family in (("fd77::1", socket.AF_INET6), ("10.77.0.1", socket.AF_INET)):
    threading.Thread(target=serve, args=(socket.create_server((address, 80), family=family),), daemon=True).start()
print(flush=True)
while True:
    data, caller = udp.recvfrom(9000)
    udp.sendto(f"{caller[0]} {data.decode()}".encode(), caller)
"""


def test_ipv6_in_and_from_one_family_to_the_other(place: Place, lab: Path) -> None:
    empty = place.snapshot()
    lab.write_text(LAB6 % (f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}" if IS_ROOT else ""))
    place.qlan("up", "--no-wait")
    assert place.plan(lab) == []
    listed = json.loads(place.qlan("forward", "list", "--json").stdout)["forwards"]
    [auto] = [row for row in listed if row["guest_port"] == 22]
    assert (auto["host_address"], auto["guest_address"]) == ("::1", "fd77::9"), "the guest's own of that family"
    with serving(place, SERVER6):
        assert says(place, "tcp", 28080, "::1") == "fd77::1 hello"
        assert says(place, "udp", 28053, "::1") == "fd77::1 hello"
        assert says(place, "tcp", 28080) == "10.77.0.1 hello", "another socket, another forward"
        assert says(place, "tcp", 28081, "::1") == "10.77.0.1 hello", "a guest without IPv6"
        assert "refused" in says(place, "tcp", 28081)
        place.qlan("forward", "add", "web", "[::]:28090:[fd77::1]:80")
        assert says(place, "tcp", 28090, "::1") == "fd77::1 hello"
        assert "[::]:28090 -> 80/tcp" in place.qlan("status").stdout
        taken = place.qlan("forward", "add", "web", "[::1]:28090:[fd77::1]:80", check=False)
        assert taken.returncode == 4 and "is forwarded already" in taken.stderr
        place.qlan("forward", "remove", "web", "[::]:28090:80")
        assert "refused" in says(place, "tcp", 28090, "::1")
        before = lab.read_text()
        place.qlan("forward", "add", "web", "[::1]:28091:[fd77::1]:80", "--save")
        assert '"[::1]:28091:[fd77::1]:80"' in lab.read_text()
        place.qlan("forward", "remove", "web", "28091", "--save")
        assert lab.read_text() == before
    assert place.plan(lab) == []
    place.qlan("down", "--force")
    assert place.snapshot() == empty


@pytest.mark.parametrize("how", ["fail", "kill"])
def test_a_fault_at_every_command_of_a_live_change(place: Place, lab: Path, how: str) -> None:
    before, after = '"28022:22"', '"28024:22"'
    place.qlan("up", "--no-wait")
    guests, old = machines(place), open_ports(place)
    edit(lab, before, after)
    edit(lab, '"28080:', '"28090:')
    total = count(place, lab, "up")
    new = open_ports(place)
    assert total == 8
    for number in range(total):
        edit(lab, after, before)
        edit(lab, '"28090:', '"28080:')
        count(place, lab, "up")
        assert open_ports(place) == old
        edit(lab, before, after)
        edit(lab, '"28080:', '"28090:')
        at(place, lab, "up", how, number)
        if how == "fail":
            assert open_ports(place) == old, f"refused at command {number}"
        count(place, lab, "up")
        assert open_ports(place) == new, f"{how} at command {number}"
        assert place.plan(lab) == []
    assert machines(place) == guests
    place.qlan("down", "--force")


def machines(place: Place) -> list[int]:
    return [pid for pid, words in place.processes() if "qemu-system" in words]


def forwards(place: Place, port: int) -> list[dict[str, object]]:
    rows = json.loads(place.qlan("forward", "list", "--json").stdout)["forwards"]
    return [row for row in rows if row["host_port"] == port]


def open_ports(place: Place) -> list[str]:
    """What really listens: as the kernel has it."""
    rows = place.run("ss", "-Hlntu").stdout.splitlines()
    return sorted(word for row in rows for word in row.split() if ":280" in word)


def test_a_port_that_is_taken_is_named_before_and_while_it_is_done(place: Place, lab: Path) -> None:
    empty = place.snapshot()
    script = "import socket, time; s = socket.create_server(('127.0.0.1', 28080)); print(flush=True); time.sleep(60)"
    with subprocess.Popen([*place.enter, sys.executable, "-c", script], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        holder.stdout.read(1)
        name = Path(f"/proc/{holder.pid}/comm").read_text().strip()
        done = place.qlan("up", "--no-wait", check=False)
        holder.kill()
    assert done.returncode in (2, 4)
    assert f"tcp port 28080 of 127.0.0.1 is taken by {name} (process {holder.pid})" in done.stderr
    assert place.snapshot() == empty


@pytest.mark.parametrize("verb", ["up", "down"])
def test_a_fault_at_every_command(place: Place, lab: Path, verb: str) -> None:
    """What comes before the machine on the way up, and after it on the way down, is test_faults' matter."""
    faults_at_commands(place, lab, verb, most=FAULTS)

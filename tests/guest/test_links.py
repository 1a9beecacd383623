"""What networks ask of their bridges and NICs of their ports, as booted guests see it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .lab import BootedLab, booted
from .machine import GuestImage

pytestmark = pytest.mark.guest

LAB = """\
lab: office
networks:
  lan: {kind: host-only, subnet: 10.79.0.0/24, isolated: true, multicast_snooping: true}
guests:
  web: {KERNEL, nics: [lan]}
  db: {KERNEL, nics: [lan]}
  printer: {KERNEL, nics: [{network: lan, isolated: false, rate: {in: 40mbit, out: 10mbit}}]}
"""

# Listens; when somebody has connected, sends (or receives) and counts for some seconds after the first one.
SERVER = """
import socket, sys, time
server = socket.create_server(("10.79.0.1", 9000))
server.settimeout(20)
server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100_000)
peer, _ = server.accept()
step = (lambda: peer.send(bytes(20_000))) if sys.argv[1] == "in" else (lambda: len(peer.recv(20_000)))
start = time.monotonic()
while time.monotonic() - start < 1:
    step()
count, start = 0, time.monotonic()
while time.monotonic() - start < 3:
    count += step()
print(count * 8 / (time.monotonic() - start) / 1e6)
"""


@pytest.fixture(scope="module")
def office(guest_image: GuestImage) -> Iterator[BootedLab]:
    with booted(guest_image, LAB) as one:
        yield one


def pings(office: BootedLab, guest: str, target: str) -> bool:
    return not office.fails(guest, f"ping -c 1 -W 2 {target}")


def link_local(office: BootedLab, guest: str) -> str:
    office.shell(guest).wait_for("! ip -6 addr show dev eth0 | grep -q tentative")
    return office.sh(guest, "ip -o -6 addr show dev eth0 scope link").split()[3].partition("/")[0]


def test_isolated_guests_reach_the_host_and_who_is_not_and_nobody_else(office: BootedLab) -> None:
    db, printer = office.address("db"), office.address("printer")
    assert pings(office, "web", "10.79.0.1")
    assert pings(office, "web", printer)
    assert pings(office, "printer", db)
    assert not pings(office, "web", db)
    assert office.in_realm("ping", "-c", "1", "-W", "2", db).returncode == 0


def test_isolation_holds_for_ipv6_and_for_a_neighbour_that_is_told_by_hand(office: BootedLab) -> None:
    """Even the answer to who has an address is not needed: the frame itself does not pass."""
    db, printer = link_local(office, "db"), link_local(office, "printer")
    assert pings(office, "web", f"{printer}%eth0")
    assert not pings(office, "web", f"{db}%eth0")
    mac = office.sh("db", "cat /sys/class/net/eth0/address").strip()
    before = int(office.sh("db", "cat /sys/class/net/eth0/statistics/rx_packets"))
    office.sh("web", f"arp -s {office.address('db')} {mac}")
    office.shell("web").try_run(f"ping -c 20 -i 0.05 -W 1 {office.address('db')}")
    assert int(office.sh("db", "cat /sys/class/net/eth0/statistics/rx_packets")) - before < 10
    office.sh("web", f"arp -d {office.address('db')}")


def test_a_bridge_that_snoops_asks_who_listens_and_ipv6_goes_on(
    office: BootedLab,
) -> None:
    links = office.in_realm("ip", "-br", "link", "show", "type", "bridge").stdout
    bridge = next(line.split()[0] for line in links.splitlines() if line.startswith("lan"))
    # A membership lasts longer than two questions and the time for an answer, as with the kernel's own values.
    brief = ("mcast_snooping", "1", "mcast_membership_interval", "300", "mcast_query_interval", "100",
             "mcast_startup_query_interval", "100", "mcast_query_response_interval", "50")  # fmt: skip
    before = multicasts(office, "printer")
    office.in_realm("ip", "link", "set", "dev", bridge, "type", "bridge", "mcast_snooping", "0")  # it begins anew
    office.in_realm("ip", "link", "set", "dev", bridge, "type", "bridge", *brief)
    office.in_realm("sleep", "5")
    assert multicasts(office, "printer") >= before + 3
    office.sh("printer", "ip -6 neigh flush dev eth0")
    assert pings(office, "printer", f"{link_local(office, 'db')}%eth0")


def multicasts(office: BootedLab, guest: str) -> int:
    """How many IPv4 multicasts a guest has heard."""
    names, values = (line.split() for line in office.sh(guest, "grep ^IpExt: /proc/net/netstat").splitlines() if line)
    return int(dict(zip(names, values, strict=True))["InMcastPkts"])


def test_isolation_ends_and_begins_under_running_guests(office: BootedLab) -> None:
    db, lab = office.address("db"), office.lab
    text = lab.topology.source.read_text()  # type: ignore[union-attr]
    lab.topology.source.write_text(text.replace("isolated: true", "isolated: false"))  # type: ignore[union-attr]
    type(lab).load(lab.topology.source).up()  # type: ignore[union-attr,arg-type]
    assert pings(office, "web", db)
    lab.topology.source.write_text(text)  # type: ignore[union-attr]
    type(lab).load(lab.topology.source).up()  # type: ignore[union-attr,arg-type]
    assert not pings(office, "web", db)


def test_tcp_gets_the_rate_in_each_direction_and_another_one_while_it_runs(office: BootedLab) -> None:
    """What arrives within some seconds of a connection that has begun, headers of its packets included."""
    rates = {"in": speed_mbit(office, "printer", "in"), "out": speed_mbit(office, "printer", "out")}
    assert 34 <= rates["in"] <= 42, rates
    assert 8.5 <= rates["out"] <= 10.5, rates
    source = office.lab.topology.source  # type: ignore[union-attr]
    assert source is not None
    text = source.read_text()
    source.write_text(text.replace("{in: 40mbit, out: 10mbit}", "20mbit"))
    type(office.lab).load(source).up()
    rates = {"out": speed_mbit(office, "printer", "out")}
    assert 17 <= rates["out"] <= 21, rates
    source.write_text(text)
    type(office.lab).load(source).up()


def speed_mbit(office: BootedLab, guest: str, direction: str) -> float:
    """What one TCP connection with the host carries, as its server counts it."""
    pipe = "sleep 9 | nc 10.79.0.1 9000" if direction == "in" else "nc 10.79.0.1 9000 </dev/zero"
    office.sh(guest, f"( sleep 1; {pipe} ) >/dev/null 2>&1 &")
    return float(office.in_realm("python3", "-c", SERVER, direction).stdout)

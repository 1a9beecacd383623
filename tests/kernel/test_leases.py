"""A server that is started anew keeps its leases, but for those of guests that are gone; who has one is listed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .place import IS_ROOT, Place
from .test_faults import at, count, kernel_view

STRANGER = "4102444800 52:54:00:00:00:99 10.10.10.200 thing *\n"


@pytest.fixture
def file(place: Place, lab: Path) -> Path:
    user = lab.read_text().splitlines()[1]
    lab.write_text(f"""\
lab: demo
{user}
networks:
  lan: {{kind: host-only, subnet: 10.10.10.0/24, ipv6: "fd00:1::/64"}}
guests:
  web: {{qemu_args: [-S], memory: 16M, accel: tcg, nics: [{{network: lan, mac: "52:54:00:00:00:01"}}]}}
  db: {{qemu_args: [-S], memory: 16M, accel: tcg, nics: [{{network: lan, mac: "52:54:00:00:00:02"}}]}}
""")
    return lab


def leases(place: Place) -> Path:
    return place.run_dir / "demo/dnsmasq/lan/leases"


def pretend(place: Place) -> None:
    """Leases as dnsmasq writes them; it reads them when it starts."""
    with leases(place).open("a") as out:
        out.write("4102444800 52:54:00:00:00:01 10.10.10.64 web *\n")
        out.write("4102444800 52:54:00:00:00:02 10.10.10.65 db *\n" + STRANGER)
        out.write("duid 00:01:00:01:30:b5:c4:43:52:54:00:00:00:ff\n")
        out.write("4102444800 5 fd00:1::64 web 00:01:00:01:30:b5:c4:43:52:54:00:00:00:01\n")


def listed(place: Place, file: Path) -> set[tuple[str, str, str]]:
    found = json.loads(place.qlan("leases", "-f", str(file), "--json").stdout)["leases"]
    return {(one["address"], one["guest"], one["how"]) for one in found}


def test_leases_outlive_a_restart_of_the_server_and_not_their_guest(place: Place, file: Path) -> None:
    count(place, file, "up")
    pretend(place)
    text = file.read_text()
    file.write_text(text.replace("subnet:", "dhcp: {lease: 30m}, subnet:"))
    assert [line[:14] for line in place.plan(file)] == ["~ dnsmasq/lan "]
    count(place, file, "up")
    assert listed(place, file) == {
        ("10.10.10.64", "web", "reserved"), ("10.10.10.65", "db", "reserved"), ("10.10.10.200", "", "dynamic"),
        ("fd00:1::64", "web", "reserved"),
    }  # fmt: skip
    file.write_text("".join(line for line in text.splitlines(keepends=True) if "db:" not in line))
    count(place, file, "up")
    assert {address for address, _, _ in listed(place, file)} == {"10.10.10.64", "10.10.10.200", "fd00:1::64"}
    assert "10.10.10.65" not in leases(place).read_text()
    assert place.plan(file) == []
    shown = place.qlan("leases", "-f", str(file)).stdout
    assert "52:54:00:00:00:99" in shown and "thing" in shown
    count(place, file, "down")


def test_the_bridge_has_our_ipv6_addresses_alone_and_hears_no_router(place: Place, file: Path) -> None:
    """What the kernel is told to listen to, and what becomes of an address of somebody else's."""
    count(place, file, "up")
    enter: tuple[str, ...] = ()
    if not IS_ROOT:
        record = place.run_dir / "demo/namespace/realm"
        enter = ("nsenter", f"--target={record.read_text().split()[0]}", "--user", "--net", "--preserve-credentials")
    rows = json.loads(place.run(*enter, "ip", "-j", "address", "show", "type", "bridge").stdout)
    [bridge] = [row for row in rows if row]
    there = {one["local"]: one for one in bridge["addr_info"] if one["family"] == "inet6"}
    assert there.pop("fd00:1::1")["nodad"] is True
    assert all(local.startswith("fe80:") for local in there)
    for name, value in (("accept_ra", "0"), ("autoconf", "0"), ("accept_redirects", "0"), ("disable_ipv6", "0")):
        path = f"/proc/sys/net/ipv6/conf/{bridge['ifname']}/{name}"
        assert place.run(*enter, "cat", path).stdout.strip() == value, name
    place.run(*enter, "ip", "address", "add", "fd00:bad::1/64", "dev", bridge["ifname"])
    assert len(place.plan(file)) == 1, "an address of somebody else's is drift"
    count(place, file, "up")
    assert place.plan(file) == []
    count(place, file, "down")


def test_a_fault_at_every_command_of_a_restart(place: Place, file: Path) -> None:
    """Refused anywhere, the server runs as it did."""
    count(place, file, "up")
    text = file.read_text()
    edited = text.replace("subnet:", "dhcp: {lease: 30m}, subnet:")
    full = kernel_view(place)
    file.write_text(edited)
    total = count(place, file, "up")
    for number in range(total):
        file.write_text(text)
        count(place, file, "up")
        file.write_text(edited)
        assert at(place, file, "up", "fail", number)[0] == 3
        assert kernel_view(place) == full, number
        file.write_text(text)
        assert place.plan(file) == [], number
    count(place, file, "down")

"""`routed`, as root: guests keep their addresses, and the machine is left as it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .place import IS_ROOT, Place
from .world import UPLINK, World, run, world

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="routed networks need the host realm: in the run as root")
LAB = f"""\
lab: demo
user: {os.environ.get("QLAN_TEST_USER", "nobody")}
networks:
  dmz: {{kind: routed, subnet: 10.99.1.0/24, uplink: {UPLINK}, proxy_arp: true}}
  out: {{kind: nat, subnet: 10.99.2.0/24}}
guests:
  web: {{qemu_args: [-S], memory: 16M, accel: tcg, nics: [dmz]}}
"""
SETTINGS = [f"net.ipv4.conf.{UPLINK}.forwarding", f"net.ipv4.conf.{UPLINK}.proxy_arp"]


@pytest.fixture
def there(place: Place) -> Iterator[World]:
    with world(place) as one:
        yield one


@pytest.fixture
def lab(place: Place) -> Path:
    file = place.folder / "qlan.yaml"
    file.write_text(LAB)
    return file


def settings(there: World) -> list[str]:
    return there.on_machine("sysctl", "-n", *SETTINGS).split()


def answered(there: World, address: str) -> bool:
    """Whether somebody on the link outside says that the address is there (ARP)."""
    there.at_outside("ip", "route", "replace", address, "dev", "lan0")
    there.at_outside("sh", "-c", f"ping -c 1 -W 2 {address} || true")
    rows = json.loads(there.at_outside("ip", "-j", "neigh", "show", "to", address))
    return any("lladdr" in row for row in rows)


def test_the_host_answers_for_its_guests_and_is_left_as_it_was(there: World, lab: Path) -> None:
    assert settings(there) == ["0", "0"]
    there.machine.qlan("up", "--no-wait")
    assert settings(there) == ["1", "1"]
    rules = [row["rule"] for row in json.loads(run(*there.here, "nft", "-j", "list", "ruleset"))["nftables"]
             if "rule" in row]  # fmt: skip
    masqueraded = {rule["table"] for rule in rules if "masquerade" in json.dumps(rule["expr"])}
    assert masqueraded == {"qlan.demo.out"}
    assert answered(there, "10.99.1.77"), "proxy ARP"
    assert there.machine.plan(lab) == []
    there.on_machine("sysctl", "-q", "-w", f"{SETTINGS[1]}=0")
    assert [line.split()[:2] for line in there.machine.plan(lab)] == [["~", f"proxy_arp/{UPLINK}"]]
    there.machine.qlan("up", "--no-wait")
    assert settings(there) == ["1", "1"]
    there.machine.qlan("down", "--force")
    assert settings(there) == ["0", "0"]
    assert not answered(there, "10.99.1.78")
    assert not there.machine.run_dir.exists()


def test_the_outside_opens_connections_to_routed_guests_only(there: World, lab: Path) -> None:
    """The host's side of the way in: `web` is paused, so its answer is the ARP request that the bridge sends for it."""
    there.machine.qlan("up", "--no-wait")
    there.at_outside("ip", "route", "add", "10.99.1.0/24", "via", "198.51.100.2")
    there.at_outside("ip", "route", "add", "10.99.2.0/24", "via", "198.51.100.2")
    for target, through in (("10.99.1.50", True), ("10.99.2.50", False)):
        there.at_outside("sh", "-c", f"ping -c 1 -W 1 {target} || true")
        asked = there.on_machine("ip", "neigh", "show", "to", target).strip()
        assert bool(asked) == through, f"{target}: {asked}"

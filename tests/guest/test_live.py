"""The file of a lab that is up is edited: its running guests get it, and who is not concerned notices nothing."""

from __future__ import annotations

import itertools
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from qlan.lab import Lab, UpReport

from .lab import BootedLab, booted
from .machine import GuestImage

pytestmark = pytest.mark.guest

LAB = """\
lab: live
networks:
  lan: {kind: host-only, subnet: 10.81.0.0/24}
  back: {kind: private, subnet: 10.82.0.0/24, dhcp: true}
guests:
  witness: {KERNEL, nics: [lan]}
  web: {KERNEL, nics: [lan]}   # web
  new: {KERNEL, machine: q35, hotplug: 1, nics: [back]}   # new
"""


@pytest.fixture(scope="module")
def live(guest_image: GuestImage) -> Iterator[BootedLab]:
    with booted(guest_image, LAB) as one:
        yield one


def edit(live: BootedLab, old: str, new: str) -> UpReport:
    """Change the file, and `up`."""
    assert live.lab.topology and live.lab.topology.source
    file = live.lab.topology.source
    text = file.read_text()
    assert text.count(old) == 1, text
    file.write_text(text.replace(old, new))
    live.lab = Lab.load(file)
    report = live.lab.up()
    assert report.postponed == {}
    assert not live.lab.plan(), "a second up has something to do"
    return report


def own_nics(live: BootedLab, guest: str, name: str) -> set[str]:
    found = live.sh(guest, f"ls /sys/class/net | grep -E '{name}' || true").split()
    return set(found)


def watch(live: BootedLab) -> None:
    """The witness pings ten times a second from now on.

    Its lease is on the server's file before its own script has set the address, and a ping without one ends at once.
    """
    live.shell("witness").wait_for("ping -c 1 -W 1 10.81.0.1")
    live.sh("witness", "[ ! -e /tmp/pid ] || kill $(cat /tmp/pid) || true")  # that of a test which failed
    live.sh("witness", "ping -i 0.1 10.81.0.1 >/tmp/pings 2>&1 & echo $! >/tmp/pid")


def witnessed(live: BootedLab) -> int:
    """The witness is answered yet, and every packet before was; how many."""
    told = "grep -c seq= /tmp/pings"
    now = int(live.sh("witness", told))
    live.shell("witness").wait_for(f"[ $({told}) -gt {now + 2} ]")
    live.sh("witness", "kill -INT $(cat /tmp/pid); while kill -0 $(cat /tmp/pid) 2>/dev/null; do sleep 0.1; done")
    pings = live.sh("witness", "cat /tmp/pings")
    numbers = [int(one) for one in re.findall(r"seq=(\d+) .*\n", pings)]
    assert numbers == list(range(len(numbers))), seen(live, pings)
    return len(numbers)


def seen(live: BootedLab, pings: str) -> str:
    """Where an answer is missing, and what all who are concerned say."""
    parts = {"the witness heard": "\n".join(one for one in pings.splitlines() if "seq=" not in one)}
    answers = [(int(number), line) for line, number in re.findall(r"(.*seq=(\d+) .*)", pings)]
    for (before, last), (after, first) in itertools.pairwise(answers):
        if after != before + 1:
            parts["the witness heard"] += f"\n{last}\n  (nothing)\n{first}"
    for guest in ("witness", "web"):
        words = "cat /proc/uptime /proc/net/dev; ip addr; ip route; ip neigh; dmesg | tail -n 20"
        parts[guest] = live.sh(guest, f"{words}; cat /run/udhcpc.eth0.log")
    for command in ("ip -s -d link", "ip neigh", "bridge fdb"):
        parts[command] = live.in_realm(*command.split(), check=False).stdout
    parts["the server"] = "".join((live.lab.layout.dnsmasq("lan") / "log").read_text().splitlines(keepends=True)[-60:])
    return "\n".join(f"--- {name}:\n{text}" for name, text in parts.items())


def test_nics_come_and_go_while_a_witness_loses_no_packet(live: BootedLab) -> None:
    watch(live)
    pid = live.lab.find_pid("web")
    live.sh("web", "true")  # the console's connection is a descriptor too
    before = counts(live, "web")
    for model in ("virtio", "e1000", "usb"):
        guest, line = ("new", "nics: [back]") if model == "usb" else ("web", "nics: [lan]")
        old, new = f"{line}}}   # {guest}", f"{line[:-1]}, {{network: back, model: {model}}}]}}   # {guest}"
        edit(live, old, new)
        name = live.shell(guest).wait_for("ls /run/lease | grep -v eth0", timeout_s=40).split()[0]
        assert live.sh(guest, f"ip -o -4 addr show dev {name}").split()[3].startswith("10.82.0.")
        assert live.address(guest, 1) in live.sh(guest, f"ip -o -4 addr show dev {name}")
        edit(live, new, old)
        assert own_nics(live, guest, "^(eth|usb|enx)") == {"eth0"}
        live.sh(guest, "rm -f /run/lease/[!e]* /run/lease/eth1")
    assert live.lab.find_pid("web") == pid
    assert counts(live, "web") == before
    assert witnessed(live) > 10


def test_random_edits_and_a_witness_that_loses_no_packet(live: BootedLab) -> None:
    """QLAN_EDITS: how many (a few, unless asked for more); QLAN_SEED: which."""
    chance = random.Random(int(os.environ.get("QLAN_SEED", "7")))
    number = int(os.environ.get("QLAN_EDITS", "4"))
    file = live.lab.topology.source if live.lab.topology else None
    assert file
    text = file.read_text()
    watch(live)
    for edit_number in range(number):
        first = chance.choice(["lan", "back", "{network: lan, link: down}", "{network: back, rate: 50mbit}"])
        rest = chance.sample(["lan", "back", "user", "{network: back, model: e1000}"], chance.randrange(3))
        ranges = f"10.82.0.{chance.randrange(20, 60)}-10.82.0.{chance.randrange(100, 250)}"
        more = chance.choice(["", "  extra: {kind: private}\n", "  other: {kind: host-only, subnet: 10.85.0.0/24}\n"])
        edited = text.replace("nics: [lan]}   # web", f"nics: [{', '.join([first, *rest])}]}}   # web")
        edited = edited.replace("dhcp: true}", f"dhcp: {{range: {ranges}}}}}").replace("guests:\n", f"{more}guests:\n")
        file.write_text(edited)
        live.lab = Lab.load(file)
        assert live.lab.up().postponed == {}, edited
        assert not live.lab.plan(), f"edit {edit_number}"
    file.write_text(text)
    live.lab = Lab.load(file)
    live.lab.up()
    print(f"{number} edits, {witnessed(live)} packets sent and answered")


def counts(live: BootedLab, guest: str) -> dict[str, int]:
    """What must be as before: QEMU's descriptors and threads, the lab's links."""
    pid = live.lab.find_pid(guest)
    links = live.in_realm("ip", "-o", "link").stdout.splitlines()
    return {"descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())), "links": len(links)}


def test_a_nic_moves_to_another_network_and_back(live: BootedLab) -> None:
    """Into another namespace even; the guest sees its cable pulled and put back."""
    flaps = int(live.sh("web", "cat /sys/class/net/eth0/carrier_changes"))
    for old, new, head in (("lan", "back", "10.82.0."), ("back", "lan", "10.81.0.")):
        edit(live, f"nics: [{old}]}}   # web", f"nics: [{new}]}}   # web")
        flaps += 2
        assert int(live.sh("web", "cat /sys/class/net/eth0/carrier_changes")) == flaps
        live.shell("web").wait_for(f"ip -o -4 addr show dev eth0 | grep -F {head}", timeout_s=20)
        assert live.address("web") in live.sh("web", "ip -o -4 addr show dev eth0")


def test_a_cable_is_pulled(live: BootedLab) -> None:
    for old, new, state in (
        ("[lan]", "[{network: lan, link: down}]", "0"),
        ("[{network: lan, link: down}]", "[lan]", "1"),
    ):
        edit(live, f"nics: {old}}}   # web", f"nics: {new}}}   # web")
        live.shell("web").wait_for(f"[ $(cat /sys/class/net/eth0/carrier) = {state} ]", timeout_s=10)


def test_a_guest_asks_for_its_new_address(live: BootedLab) -> None:
    """A reservation that only the server knows would be true at the lease's end."""
    pid = live.lab.find_pid("web")
    watch(live)
    fixed = "{network: lan, address: 10.81.0.77}"
    for old, new, address in (("lan", fixed, "10.81.0.77"), (fixed, "lan", live.address("web"))):
        edit(live, f"nics: [{old}]}}   # web", f"nics: [{new}]}}   # web")
        live.shell("web").wait_for(f"ip -o -4 addr show dev eth0 | grep -F {address}/", timeout_s=20)
        assert live.address("web") == address
        live.shell("witness").wait_for(f"ping -4 -c 1 -W 1 web | grep -F {address}", timeout_s=20)
    assert live.lab.find_pid("web") == pid
    assert witnessed(live) > 10

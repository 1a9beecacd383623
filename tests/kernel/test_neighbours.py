"""Labs beside other packet filters: who drops is said, what is said helps, and Docker's place for others is taken."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from .place import IS_ROOT
from .test_faults import at, count
from .test_nat import USER, Machine, machine, page
from .world import BEYOND, BEYOND6, HERE, HERE6

__all__ = ["machine"]  # a fixture

pytestmark = pytest.mark.skipif(
    not IS_ROOT, reason="a rootless lab has a realm of its own: the same in the run as root"
)

LAB = """\
lab: demo
%s
networks:
  out: {kind: nat, subnet: 10.81.0.0/24, ipv6: "fd81::/64"}
guests: {}
"""

# what Docker's iptables-nft makes of its rules
DOCKER = "".join(f"""
table {family} filter {{
    chain FORWARD {{
        type filter hook forward priority filter; policy drop;
        counter jump DOCKER-USER
        iifname "docker0" oifname != "docker0" counter accept
    }}
    chain DOCKER-USER {{
        counter return
    }}
}}
""" for family in ("ip", "ip6"))  # fmt: skip

DROPPING = {
    "policy": """
table ip filter {
    chain FORWARD {
        type filter hook forward priority filter; policy drop;
        iifname "docker0" counter accept
    }
}
table ip6 filter {
    chain FORWARD {
        type filter hook forward priority filter; policy drop;
    }
}
""",
    "rule": """
table inet fw {
    chain seldom {
        meta l4proto sctp accept
        counter reject
    }
    chain passing {
        type filter hook forward priority 10; policy accept;
        ct state established,related accept
        iifname vmap { "lo" : accept, "up0" : jump seldom }
        oifname "up0" jump seldom
    }
}
""",
}

ASKING = """
table inet fw {
    chain incoming {
        type filter hook input priority 0; policy drop;
        iifname "lo" accept
        ct state established,related accept
        udp dport { 53, 5353 } accept
    }
}
"""


@pytest.fixture
def lab(machine: Machine) -> Path:
    file = machine.place.folder / "qlan.yaml"
    file.write_text(LAB % USER)
    return file


def rules(machine: Machine, text: str) -> None:
    file = machine.place.folder / "rules.nft"
    file.write_text(text)
    machine.run(*machine.setup, "nft", "-f", str(file))


def ruleset(machine: Machine) -> str:
    """Without what counts, and without handles."""
    return re.sub(r"packets \d+ bytes \d+", "", machine.run(*machine.setup, "nft", "list", "ruleset").stdout)


def in_the_way(machine: Machine) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(machine.place.qlan("status", "--json").stdout)["labs"][0]["in_the_way"]
    return found


def both_pages(machine: Machine, inside: tuple[str, ...]) -> list[str]:
    return [page(machine, inside, BEYOND), page(machine, inside, f"[{BEYOND6}]")]


def guest(machine: Machine) -> tuple[str, ...]:
    """With addresses said by hand: a neighbour may drop what would tell them."""
    inside = machine.guest("out", "ga", "10.81.0.9", "10.81.0.1")
    for words in ("address add fd81::9/64 dev eth0 nodad", "route add default via fd81::1"):
        machine.run(*inside, "ip", "-6", *words.split())
    return inside


@pytest.mark.parametrize("how", DROPPING)
def test_who_drops_is_said_and_what_is_said_helps(machine: Machine, lab: Path, how: str) -> None:
    rules(machine, DROPPING[how])
    before = ruleset(machine)
    early = machine.place.qlan("plan").stdout
    said = machine.place.qlan("up", "--no-wait").stdout
    inside = guest(machine)
    assert both_pages(machine, inside) == ["", ""]
    chains = ["ip filter, chain FORWARD", "ip6 filter, chain FORWARD"] if how == "policy" else ["inet fw, chain seldom"]
    by = "policy drop" if how == "policy" else "reject in the rule with handle"
    for chain in chains:
        for text in (early, said, machine.place.qlan("status").stdout):
            line = next(line for line in text.splitlines() if f"in the way of out: table {chain}" in line)
            assert "from guests to outside" in line and by in line
    found = in_the_way(machine)
    assert len(found) == len(chains)
    for one in found:
        for command in one["hint"].split("; "):
            machine.run(*machine.setup, *command.split())
    assert both_pages(machine, inside) == [HERE, HERE6]
    assert in_the_way(machine) == []
    machine.in_realm("ip", "link", "del", "ga")
    machine.place.qlan("down", "--force")
    accepted = [line for line in ruleset(machine).splitlines() if "out-" not in line]
    assert accepted == before.splitlines(), "nothing of others was touched"


def test_who_drops_what_guests_ask_of_the_host(machine: Machine, lab: Path) -> None:
    rules(machine, ASKING)
    machine.place.qlan("up", "--no-wait")
    assert [one["what"] for one in in_the_way(machine)] == [
        "table inet fw, chain incoming drops the DHCP of guests, the DHCPv6 of guests (policy drop)"
    ]
    machine.place.qlan("down", "--force")


def test_docker_s_own_place_for_others_is_taken_and_given_back(machine: Machine, lab: Path) -> None:
    rules(machine, DOCKER)
    before = ruleset(machine)
    assert "in the way" not in machine.place.qlan("plan").stdout, "not said of what `up` will do something about"
    assert "in the way" not in machine.place.qlan("up", "--no-wait").stdout
    inside = guest(machine)
    assert both_pages(machine, inside) == [HERE, HERE6]
    assert machine.place.plan(lab) == []
    for family in ("ip", "ip6"):
        chain = machine.run(*machine.setup, "nft", "list", "chain", family, "filter", "DOCKER-USER").stdout
        counted = re.findall(r'(.ifname) "out-\w+" counter packets (\d+) .* accept comment "qlan:demo:out"', chain)
        assert [way for way, _ in counted] == ["iifname", "oifname"]
        assert all(int(packets) > 3 for _, packets in counted), "a page each went through"
        if shutil.which("iptables"):  # it understands what we put there
            tool = "iptables" if family == "ip" else "ip6tables"
            listed = machine.run(*machine.setup, tool, "-S", "DOCKER-USER").stdout
            assert listed.count('--comment "qlan:demo:out" -j ACCEPT') + listed.count("--comment qlan:demo:out -j") == 2
    machine.run(*machine.setup, "nft", "flush", "chain", "ip", "filter", "DOCKER-USER")
    assert [line.split()[:2] for line in machine.place.plan(lab)] == [["+", "admission/ip/out"]]
    machine.place.qlan("up", "--no-wait")
    assert both_pages(machine, inside) == [HERE, HERE6]
    machine.run(*machine.setup, "nft", "add", "rule", "ip", "filter", "DOCKER-USER", "counter", "return")
    machine.in_realm("ip", "link", "del", "ga")
    machine.place.qlan("down", "--force")
    assert ruleset(machine) == before


@pytest.mark.parametrize(("verb", "how"), [("up", "kill"), ("down", "fail")])
def test_a_fault_at_every_command(machine: Machine, lab: Path, verb: str, how: str) -> None:
    rules(machine, DOCKER)
    lab.write_text((LAB % USER).replace('ipv6: "fd81::/64"', "ipv6: false, dhcp: false, dns: false"))
    place = machine.place
    settings, empty = machine.forwarding(), place.snapshot()
    total, gone = count(place, lab, "up"), count(place, lab, "down")
    assert (place.snapshot(), machine.forwarding()) == (empty, settings)
    for number in range(total if verb == "up" else gone):
        if verb == "down":
            count(place, lab, "up")
        at(place, lab, verb, how, number)
        if verb == "up":
            count(place, lab, "up")
        assert place.plan(lab) == [], f"{how} at {number} of {verb}"
        count(place, lab, "down")
        assert (place.snapshot(), machine.forwarding()) == (empty, settings), f"{how} at {number} of {verb}"

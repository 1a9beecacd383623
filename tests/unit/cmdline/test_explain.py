"""What a line means and what is probably not meant by it."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import pytest

from qlan import cmdline
from qlan.facts.machine import Facts, UsedPort

Q = "qemu-system-x86_64 "
RULES = cmdline.rules("10.0")
FACTS = Facts(seed="", uid=1000, arch="x86_64", used_ports=(UsedPort("tcp", IPv4Address("127.0.0.1"), 8080, "nginx"),))


def explained(text: str, facts: Facts | None = None, version: str = "10.0") -> cmdline.Explanation:
    rules = cmdline.rules(version)
    return cmdline.explain(cmdline.read(text, rules), rules, facts)


def codes(text: str, facts: Facts | None = None) -> set[str]:
    return {warning.code for warning in explained(text, facts).warnings}


GOOD = Q + "-nic user,model=virtio,hostfwd=tcp:127.0.0.1:2222-:22"


@pytest.mark.parametrize(
    ("code", "bad", "good"),
    [
        ("default-mac", "-nic tap,model=virtio", "-nic tap,model=virtio,mac=52:54:00:00:00:01"),
        ("default-mac", "-nic socket,model=virtio,mcast=230.0.0.1:5", "-nic user,model=virtio"),
        ("same-mac", "-device e1000,mac=52:54:00:00:00:01 -device e1000,mac=52:54:00:00:00:01", "-device e1000"),
        ("multicast-mac", "-device e1000,mac=53:54:00:00:00:01", "-device e1000,mac=52:54:00:00:00:01"),
        ("open-forward", "-nic user,hostfwd=tcp::2222-:22", "-nic user,hostfwd=tcp:127.0.0.1:2222-:22"),
        ("open-forward", "-nic user,hostfwd=tcp:0.0.0.0:2222-:22", "-nic user,hostfwd=unix:/x-:22"),
        ("stray-text", "-nic user,hostfwd=tcp:127.0.0.1:2222-:22-", "-nic user,hostfwd=tcp:127.0.0.1:2222-:22"),
        ("tap-alone", "-nic tap,script=no,ifname=t", "-nic tap,fd=3"),
        ("tap-script", "-nic tap,ifname=t", "-nic tap,script=no"),
        ("helper", "-nic bridge,br=lan", "-nic user"),
        ("slow-model", "-nic user", "-nic user,model=virtio"),
        ("slow-model", "-device rtl8139", "-device virtio-net-pci"),
        ("old-net", "-net nic -net user", "-net none"),
        ("bare-boolean", "-nic user,noipv6", "-nic user,ipv6=off"),
        ("no-nic", "-netdev user,id=a", "-netdev user,id=a -device e1000,netdev=a"),
        ("no-netdev", "-device e1000", "-nic user"),
        ("no-such-model", "-nic user,model=foo", "-nic user,model=virtio"),
        ("restrict-forward", "-nic user,restrict=on,hostfwd=tcp::1-:2", "-nic user,restrict=on"),
        ("guest-command", "-nic user,guestfwd=tcp::80-cmd:sh", "-nic user,guestfwd=tcp::80-chardev:c"),
        ("missing-dash", "x.img netdev user,id=a", "x.img"),
        ("alias-global", "-global virtio-net.mq=on", "-global virtio-net-pci.mq=on"),
    ],
)
def test_warnings(code: str, bad: str, good: str) -> None:
    assert code in codes(Q + bad)
    assert code not in codes(Q + good)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("port-taken", "-nic user,hostfwd=tcp::8080-:80"),
        ("port-taken", "-nic user,hostfwd=tcp:127.0.0.1:8080-:80"),
        ("low-port", "-nic user,hostfwd=tcp::80-:80"),
        ("tap-root", "-nic tap"),
    ],
)
def test_what_only_the_machine_knows(code: str, text: str) -> None:
    assert code in codes(Q + text, FACTS)
    assert code not in codes(Q + text)
    assert code not in codes(
        Q + text.replace("8080-", "8081-").replace("::80-", "::8088-").replace("tap", "user"), FACTS
    )


def test_the_bridge_helper() -> None:
    asked = []

    def refusal(helper: str, bridge: str) -> tuple[str, str] | None:
        asked.append((helper, bridge))
        return None if bridge == "lan" else (f"no {bridge}", "ask")

    def said(words: str) -> list[str]:
        reading = cmdline.read(f"{Q}-nic bridge,model=virtio,mac=52:54:00:00:00:01{words}", RULES)
        return [f"{found.code}: {found.what}" for found in cmdline.explain(reading, RULES, FACTS, refusal).warnings]

    assert said(",br=lan") == []
    assert said("") == ["helper-denied: no br0"]
    assert said(",br=lan,helper=/x") == []
    assert asked == [("", "lan"), ("", "br0"), ("/x", "lan")]


def test_guests_that_run_at_once() -> None:
    text = (
        "kvm -nic tap,ifname=a,script=no -nic user,hostfwd=tcp::2222-:22 &\n"
        "kvm -nic tap,ifname=b,script=no -nic user,hostfwd=tcp:127.0.0.1:2222-:22\n"
        "kvm -nic user\nkvm -nic tap,mac=52:54:00:00:00:07,ifname=c\n"
    )
    found = [cmdline.explain(reading, RULES) for reading in cmdline.read_script(text, RULES)]
    clashes = list(cmdline.clashes_of(found))
    assert [clash.code for clash in clashes] == ["same-mac-guests", "port-twice"]
    assert [text[: clash.offset].count("\n") + 1 for clash in clashes] == [2, 2]


def test_a_good_line_has_no_warnings() -> None:
    assert explained(GOOD, FACTS).warnings == ()


def test_reach() -> None:
    reach = {view.type: view.reach for view in explained(Q + "-nic user -nic user,restrict=on -nic tap").netdevs}
    assert reach["tap"].guests == "those on the same bridge"
    user, closed = (view.reach for view in explained(Q + "-nic user,host=10.0.2.9 -nic user,restrict=on").netdevs)
    assert (user.host, user.outside, user.inbound) == ("as 10.0.2.9", "yes, as this machine", "nobody")
    assert (closed.host, closed.outside) == ("no", "no")


def test_nothing_said_is_a_user_network() -> None:
    (nic,) = explained(Q + "disk.img").nics
    assert (nic.model, nic.mac, nic.netdevs) == ("e1000", "52:54:00:12:34:56", ("default",))
    assert explained(Q + "-M q35 disk.img").nics[0].model == "e1000e"
    assert explained(Q + "-nic none").nics == ()
    assert "The guest has no NIC." in cmdline.explanation_text(explained(Q + "-nic none"))


def test_hub_joins_everything() -> None:
    nics = explained(Q + "-net nic -net nic -net user -net socket,listen=:1").nics
    assert [nic.netdevs for nic in nics] == [("net2", "net3"), ("net2", "net3")]


def test_two_netdevs_of_one_name_are_a_fault_and_no_crash() -> None:
    found = explained(Q + "-netdev user,id=a -netdev user,id=a,hostfwd=tcp::1-:2 -nic user,id=a,hostfwd=tcp::3-:4")
    assert not found.ok
    assert len(found.netdevs) == 3


def test_data_is_json_and_complete() -> None:
    data = cmdline.explanation_data(explained(GOOD + " -nic usr"))
    assert json.loads(json.dumps(data)) == data
    assert data["ok"] is False
    assert data["errors"][0]["column"] == (GOOD + " -nic usr").index("usr") + 1
    assert data["errors"][0]["nearest"] == "user"
    assert data["forwards"] == [
        {"netdev": "nic0", "protocol": "tcp", "listens": "127.0.0.1", "port": 2222, "guest_address": "10.0.2.15",
         "guest_port": 22, "who": "this machine only"}
    ]  # fmt: skip
    assert data["convertible"] == []


def test_text_has_picture_and_arrow() -> None:
    text = cmdline.explanation_text(explained(GOOD))
    assert "nic0 virtio-net-pci 52:54:00:12:34:56* ──[ nic0: user ]── outside" in text
    assert "◂── tcp 127.0.0.1:2222 to 10.0.2.15:22, for this machine only" in text


def test_long_and_broken_lines_are_shown_in_part() -> None:
    text = Q + "-append '" + "x" * 500 + "' -nic usr"
    lines = cmdline.explanation_text(explained(text)).splitlines()
    assert lines[2][lines[3].index("^") :].startswith("usr")
    assert len(lines[2]) <= 110

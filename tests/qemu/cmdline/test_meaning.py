"""What we say that a line means is what QEMU makes of it: `info network` and the NICs' own properties."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from qlan import cmdline
from qlan.cmdline import values

if TYPE_CHECKING:
    from conftest import Program

LINES = [
    "",
    "-nic none",
    "-nodefaults",
    "-nic user,model=rtl8139,mac=52:54:00:00:00:09",
    "-nic user -nic user,mac=7,model=virtio -nic none",
    "-netdev user,id=a,net=192.168.7.0/24,restrict=on -device virtio-net,netdev=a,id=first,mac=52-54-00-AA-bb-09",
    "-netdev user,id=a,net=172.16.5.1 -netdev user,id=b,net=10 -device e1000,netdev=b -device pcnet,netdev=a",
    "-net nic,model=ne2k_pci -net user,net=192.168.9.0/28 -net nic",
    "-netdev user,id=a -netdev hubport,id=h,hubid=3,netdev=a -device e1000e,netdev=h2 -netdev hubport,id=h2,hubid=3",
    "-machine q35,accel=tcg -net nic -net user",
    "-netdev socket,id=s,listen=127.0.0.1:0 -device tulip,netdev=s,mac=52:54:00:00:00:01 -device tulip",
    "-netdev user,id=a -device e1000,netdev=a,mac=52:54:00:12:34:56 -device e1000",
    "-netdev user,id=a -device e1000,netdev=a -device e1000,mac=52:54:00:12:34:58 -device e1000 -nic user",
    "-net nic -nic user -net nic,macaddr=52:54:00:12:34:57 -net user -device tulip",
]


@pytest.mark.parametrize("text", LINES)
def test_same_nics_and_networks(program: Program, text: str) -> None:
    words = text.split()
    machine = words[words.index("-machine") + 1] if "-machine" in words else "pc,accel=tcg"
    rest = [word for word in words if word not in ("-machine", machine)]
    line = cmdline.parse(["qemu-system-x86_64", *words], program.rules)
    wiring = cmdline.wire(line, program.rules)
    verdict = program.start(rest, "human-monitor-command info network", machine=machine)
    assert verdict.accepted, verdict.said
    shown = str(verdict.replies[2]["return"])
    nics = re.findall(r"type=nic,model=([\w-]+),macaddr=([0-9a-f:]+)", shown)
    assert sorted(nics) == sorted((card.model, card.mac) for card in wiring.cards)
    nets = re.findall(r"type=user,net=([\d.]+),restrict=(\w+)", shown)
    assert sorted(nets) == sorted(user_networks(wiring, program.rules))


def user_networks(wiring: cmdline.Wiring, rules: cmdline.Rules) -> list[tuple[str, str]]:
    found = []
    for plug in wiring.plugs:
        if plug.type == "user":
            mode = cmdline.read_user_mode(plug.clause, rules.version) if plug.clause else None
            base = str(mode.network.network_address) if mode else "10.0.2.0"
            found.append((base, "on" if mode and mode.restrict else "off"))
    return found


def test_forwards_are_those_that_qemu_opens(program: Program) -> None:
    rules = ["tcp::2222-:22", "udp:127.0.0.1:5353-10.0.2.99:53", "tcp:127.0.0.1:8080-:80"]
    words = ["-nic", "user," + ",".join(f"hostfwd={rule}" for rule in rules)]
    verdict = program.start(words, "human-monitor-command info usernet")
    shown = str(verdict.replies[2]["return"])
    opened = set(re.findall(r"(TCP|UDP)\[HOST_FORWARD\]\s+\d+\s+(\S+)\s+(\d+)\s+(\S+)\s+(\d+)", shown))
    expected = set()
    for rule in rules:
        found = cmdline.parse_host_forward(rule, program.rules.version)
        host = str(found.host_address) if found.host_address else "*"
        guest = str(found.guest_address or "10.0.2.15")
        expected.add((found.protocol.upper(), host, str(found.host_port), guest, str(found.guest_port)))
    assert opened == expected, shown


def test_properties_have_the_values_that_we_read(program: Program) -> None:
    """qom-get, of a device whose values are written in unusual ways."""
    text = (
        "qemu-system-x86_64 -netdev user,id=n -device virtio-net-pci,netdev=n,id=x,mac=52-54-00-AA-bb-0C,csum=no,"
        "mrg_rxbuf=y,host_mtu=0x578,rx_queue_size=01000,x-txburst=+7,rombar=0"
    )
    line = cmdline.parse(text, program.rules)
    device = line.clauses[1]
    names = ["mac", "csum", "mrg_rxbuf", "host_mtu", "rx_queue_size", "x-txburst", "rombar"]
    asked = [
        json.dumps({"execute": "qom-get", "arguments": {"path": "/machine/peripheral/x", "property": name}})
        for name in names
    ]
    verdict = program.start(cmdline.render(line)[1:], *asked)
    assert verdict.accepted, verdict.said
    shown = dict(zip(names, (reply["return"] for reply in verdict.replies[2:]), strict=False))
    read = {name: typed(device.value(name) or "", program.rules, name) for name in names}
    assert shown == read


def typed(text: str, rules: cmdline.Rules, name: str) -> object:
    kind = rules.devices["virtio-net-pci"].options[name]
    if name == "mac":
        return values.parse_device_mac(text)
    return values.parse_bool(text) if kind == "bool" else values.parse_integer(text, kind)

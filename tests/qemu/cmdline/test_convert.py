"""A converted line makes the same NICs on the same networks with the same forwards, in the real QEMU."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from qlan import cmdline

if TYPE_CHECKING:
    from conftest import Program

LINES = [
    "-nic user,hostfwd=tcp::2222-:22,id=x,model=virtio,mac=52:54:00:00:00:01 -nic none",
    "-nic user -nic user,net=192.168.7.0/24,model=rtl8139",
    "-netdev user,id=a,noipv6,hostfwd=udp:127.0.0.1:53-:53 -device e1000,netdev=a",
    "-netdev user,id=a -device virtio-net,netdev=a,mac=52-54-00-00-00-01 -nic user,model=pcnet",
    "-netdev user,id=a -device e1000,netdev=a,addr=5 -netdev user,id=b -device tulip,netdev=b",
    "-net nic,model=virtio -net user,hostfwd=tcp::2222-:22",
    "-net nic -net nic,macaddr=52:54:00:00:00:09,model=pcnet -net user,net=10.5.0.0/16 -net user",
    "-netdev user,id=a -device e1000,netdev=a -object filter-dump,id=f,netdev=a,file=/dev/null -nic user",
    "-device virtio-net,netdev=a -netdev user,id=a -nic user,model=e1000e",
    '-netdev {"type":"user","id":"a","hostfwd":[{"str":"tcp::2222-:22"}],"ipv6":false} -device e1000,netdev=a',
    "-net nic,addr=9 -net user",
    "-net none",
    "-nic none",
]


def shown(program: Program, words: list[str]) -> tuple[list[object], list[object], list[object]]:
    verdict = program.start(words, "human-monitor-command info network", "human-monitor-command info usernet")
    assert verdict.accepted, f"{shlex.join(words)}: {verdict.said}"
    network, usernet = (str(reply["return"]) for reply in verdict.replies[2:4])
    nics = re.findall(r"type=nic,model=([\w-]+),macaddr=([0-9a-f:]+)", network)
    nets = re.findall(r"type=user,(\S+)", network)
    forwards = re.findall(r"(TCP|UDP)\[HOST_FORWARD\]\s+\d+\s+(\S+)\s+(\d+)\s+(\S+)\s+(\d+)", usernet)
    return sorted(nics), sorted(nets), sorted(forwards)


@pytest.mark.parametrize("to", ["nic", "netdev"])
@pytest.mark.parametrize("text", LINES)
def test_same_network(program: Program, text: str, to: str) -> None:
    if "{" in text and program.rules.version < (7, 2):
        text = "-netdev user,id=a,hostfwd=tcp::2222-:22,ipv6=off -device e1000,netdev=a"
    words = text.split(" ")
    line = cmdline.parse(["qemu-system-x86_64", *words], program.rules)
    change = cmdline.to_nic if to == "nic" else cmdline.to_netdev
    converted = change(line, program.rules)
    again = cmdline.render(converted.line)[1:]
    assert shown(program, again) == shown(program, words), shlex.join(again)
    old = {"nic": {"-netdev", "-net"}, "netdev": {"-nic", "-net"}}[to]
    if not converted.notes and again != ["-nic", "none"] and "none" not in text:
        assert not old & set(again), shlex.join(again)

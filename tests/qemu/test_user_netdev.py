"""QEMU takes our `-netdev user` with every option, and says of it what we meant (`info network`, `info usernet`)."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path

import pytest

from qlan.render import user_netdev
from qlan.resources.model import PortForward, UserBackend


def monitor(words: Sequence[str], *commands: str) -> list[str]:
    """What a paused QEMU with these words answers to monitor commands."""
    asked = [{"execute": "qmp_capabilities"}]
    asked += [{"execute": "human-monitor-command", "arguments": {"command-line": one}} for one in commands]
    asked += [{"execute": "quit"}]
    argv = [
        "qemu-system-x86_64",
        "-S",
        "-nodefaults",
        "-display",
        "none",
        "-accel",
        "tcg",
        "-m",
        "16M",
        "-qmp",
        "stdio",
    ]
    done = subprocess.run([*argv, *words], input="\n".join(map(json.dumps, asked)), text=True, capture_output=True,
                          timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [one["return"] for one in answers if isinstance(one.get("return"), str)]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def netdev(backend: UserBackend, forwards: Sequence[PortForward] = ()) -> list[str]:
    value = user_netdev.render("net0", backend, list(forwards))
    return ["-netdev", value, "-device", "virtio-net-pci,netdev=net0,id=nic0,romfile="]


def test_every_option_at_once(tmp_path: Path) -> None:
    backend = UserBackend(
        subnet=IPv4Network("10.9.0.0/24"),
        host=IPv4Address("10.9.0.1"),
        dhcp_start=IPv4Address("10.9.0.50"),
        dns=IPv4Address("10.9.0.3"),
        domain="lab.test",
        search=("one.test", "two.test"),
        hostname="box",
        ipv6=True,
        ipv6_prefix=IPv6Network("fd00:9::/64"),
        restrict=True,
        tftp=tmp_path,
        bootfile="a,b.bin",
        guestfwd=("tcp:10.9.0.100:1234-cmd:cat",),
    )
    (text,) = monitor(netdev(backend), "info network")
    assert "net=10.9.0.0" in text
    assert "restrict=on" in text


def test_forwards_listen_where_we_say() -> None:
    tcp, udp = free_port(), free_port()
    forwards = [
        PortForward("box", 0, "tcp", IPv4Address("127.0.0.1"), tcp, None, 22),
        PortForward("box", 0, "udp", IPv4Address("127.0.0.1"), udp, IPv4Address("10.0.2.15"), 53),
    ]
    (text,) = monitor(netdev(UserBackend(), forwards), "info usernet")
    rows = [line.split() for line in text.splitlines() if "HOST_FORWARD" in line]
    assert sorted((row[0], row[2], row[3], row[4], row[5]) for row in rows) == [
        ("TCP[HOST_FORWARD]", "127.0.0.1", str(tcp), "10.0.2.15", "22"),
        ("UDP[HOST_FORWARD]", "127.0.0.1", str(udp), "10.0.2.15", "53"),
    ]


@pytest.mark.parametrize("ipv4,ipv6", [(True, False), (False, True)])
def test_one_family_alone(ipv4: bool, ipv6: bool) -> None:
    (text,) = monitor(netdev(UserBackend(ipv4=ipv4, ipv6=ipv6)), "info network")
    assert "user" in text

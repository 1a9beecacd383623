"""The data that everything rests on: complete, and the same as what QEMU's programs and manuals say elsewhere."""

from __future__ import annotations

import pytest

from qlan import cmdline

ALL_TYPES = {
    "none", "nic", "user", "tap", "bridge", "l2tpv3", "socket", "stream", "dgram", "vde", "netmap", "af-xdp", "passt",
    "vhost-user", "vhost-vdpa", "hubport", "vmnet-host", "vmnet-shared", "vmnet-bridged",
}  # fmt: skip


def test_every_type_is_known() -> None:
    assert set(cmdline.rules().backends) == ALL_TYPES


@pytest.mark.parametrize(
    ("version", "type_", "option", "there"),
    [
        ("7.1", "stream", "addr", False),
        ("7.2", "stream", "addr", True),
        ("7.2", "stream", "reconnect", False),
        ("8.0", "stream", "reconnect", True),
        ("9.1", "stream", "reconnect-ms", False),
        ("9.2", "stream", "reconnect-ms", True),
        ("10.2", "stream", "reconnect", False),
        ("8.1", "af-xdp", "ifname", False),
        ("8.2", "af-xdp", "ifname", True),
        ("10.0", "af-xdp", "map-path", False),
        ("10.1", "af-xdp", "map-path", True),
        ("10.0", "passt", "mtu", False),
        ("10.1", "passt", "mtu", True),
        ("5.2", "vmnet-host", "isolated", False),
        ("5.2", "vhost-vdpa", "x-svq", False),
        ("5.2", "vhost-vdpa", "vhostfd", False),
        ("7.1", "vmnet-host", "isolated", True),
        ("5.2", "user", "hostfwd", True),
        ("12.0", "user", "hostfwd", True),
    ],
)
def test_since_when(version: str, type_: str, option: str, there: bool) -> None:
    backend = cmdline.rules(version).backends.get(type_)
    assert (backend is not None and option in backend.options) is there


def test_types_of_values() -> None:
    options = cmdline.rules("10.2").backends
    assert options["user"].options["hostfwd"].kind == "list"
    assert options["tap"].options["sndbuf"].kind == "size"
    assert options["l2tpv3"].options["src"].required
    assert options["l2tpv3"].options["txcookie"].kind == "uint64"
    assert options["af-xdp"].options["mode"].kind == "native|skb"
    assert options["stream"].options["addr"].kind == "addr"


def test_devices_and_their_aliases() -> None:
    rules = cmdline.rules("7.2")
    device = rules.device("virtio-net")
    assert device is not None and device.name == "virtio-net-pci"
    assert device.options["mq"] == "bool"
    assert "igb" not in rules.devices and "igb" in cmdline.rules("10.0").devices
    assert rules.words["netdev"] and not rules.words["S"]

"""Lines nobody thought of: grown from the schema with values good and bad, and given to the real QEMU and to us."""

from __future__ import annotations

import os
import random
import shlex
from typing import TYPE_CHECKING

import pytest

from qlan import cmdline

if TYPE_CHECKING:
    from conftest import Program

LINES = int(os.environ.get("QLAN_GENERATED_LINES", "60"))
SEED = os.environ.get("QLAN_GENERATED_SEED", "qlan")

WORDS = {
    "bool": ["on", "off", "yes", "no", "true", "y", "n", "1", "", "On", "maybe"],
    "int": ["0", "1", "64", "-1", "0x10", "010", "08", "1k", "", "x", "99999999999999999999", " 7"],
    "size": ["0", "1", "1k", "1.5M", "2G", "-1", "x", "1kb", "0x10", "1.5"],
    "str": ["x", "a,,b", "", "a=b", "10.0.2.0/24"],
    "list": [
        "tcp::0-:22",
        "udp:127.0.0.1:0-:53",
        "tcp::0-:22x",
        "::0-:1",
        "tcp:2222::22",
        "bad",
        "",
        "tcp::0-10.0.2.9:80",
    ],
}
# Good values where any text will not do, and only such as touch nothing outside of the namespace.
OWN = {
    "net": ["10.0.2.0/24", "192.168.5.0/24", "10.0.2.0/255.255.255.0", "10.0.2.0", "10.0.2.0/2", "x", "10.0.2.0/24/3"],
    "host": ["10.0.2.2", "10.0.2.77", "192.168.5.1", "10.2", "x", ""],
    "dns": ["10.0.2.3", "8.8.8.8", "10.0.2.2", "0x0a000203", "x"],
    "dhcpstart": ["10.0.2.15", "10.0.2.2", "10.0.2.33", "192.168.5.9", "x"],
    "ip": ["10.0.2.0", "192.168.5.0", "x"],
    "ipv6-prefix": ["fec0::", "fd00::", "x", "fd00::/64"],
    "ipv6-prefixlen": ["64", "0", "126", "127", "-1", "x"],
    "ipv6-host": ["fec0::2", "fd00::2", "x"],
    "ipv6-dns": ["fec0::3", "2001:db8::53", "x"],
    "smb": ["/no-such"],
    "smbserver": ["10.0.2.4", "x"],
    "guestfwd": ["tcp:10.0.2.100:80-cmd:true", "tcp::80-cmd:true", "udp:10.0.2.100:80-cmd:true", "x"],
    "script": ["no"],
    "downscript": ["no"],
    "helper": ["/bin/false"],
    "fd": ["99"],
    "fds": ["98:99"],
    "vhostfd": ["97"],
    "vhostfds": ["96:97"],
    "ifname": ["t0", "t1"],
    "listen": [":0", "127.0.0.1:0", "0", "127.0.0.1:x", "x"],
    "connect": ["127.0.0.1:1", "1", "127.0.0.x:1"],
    "mcast": ["230.0.0.1:1234", "10.0.0.1:1234", "230.0.0.1", "x"],
    "udp": ["127.0.0.1:1234", "x", "on"],
    "localaddr": ["127.0.0.1:1235", "127.0.0.1", "x"],
    "src": ["127.0.0.1"],
    "dst": ["127.0.0.2"],
    "srcport": ["16384"],
    "dstport": ["16385"],
    "mac": ["52:54:00:00:00:09", "52-54-00-00-00-09", "53:54:00:00:00:09", "x", "", "77", "52:54:00:00:00"],
    "model": ["e1000", "virtio", "rtl8139", "e1000e"],
    "hubid": ["0", "3", "x", "-1", "4294967296"],
    "chardev": ["c0"],
    "vhostdev": ["/dev/no-such-vdpa"],
    "netdev": ["n0", "n1", ""],
    "addr": ["05", "5.1", "20", "x"],
    "bootindex": ["1", "x", "-1"],
    "file": ["/dev/null"],
    "queue": ["all", "rx", "tx", "both"],
    "status": ["on", "off", "maybe"],
    "insert": ["before", "behind", "beside"],
    "position": ["head", "tail", "middle"],
    "interval": ["1", "1000", "0", "x"],
    "maxlen": ["65536", "0", "x"],
    "rx_queue_size": ["256", "512", "1024", "2048", "300", "128", "x"],
    "tx_queue_size": ["256", "512", "1024", "2048", "300", "0x100", "x"],
    "duplex": ["half", "full", "both", ""],
    "speed": ["-1", "0", "1000", "-2", "x"],
    "host_mtu": ["0", "1500", "65535", "65536", "x"],
    "tx": ["bh", "timer", "other"],
    "romfile": ["", "/no-such.rom"],
    "failover_pair_id": [""],
    "group": ["nogroup"],
    "sock": ["/no-such"],
    "path": ["/no-such"],
}
# Their acceptance hangs on the host or on a device's own start, not on the words.
LEFT_OUT = {
    "romfile", "romsize", "failover_pair_id", "failover", "acpi-index", "multifunction", "vectors", "netdev", "bus",
    "ebpf-rss-fds", "rss", "hash", "x-svq", "busnr", "sock", "x-disable-pcie",
    "page-per-vq", "ats", "iommu_platform", "use-started", "disable-legacy",
    "disable-modern", "rombar", "packed", "subsys_ven", "subsys", "poll-us", "vhost", "vhostforce", "sndbuf",
    "mq", "event_idx", "sriov-pf", "ari", "x-max-bounce-buffer-size", "addr", "vnet_hdr", "queues",
}  # fmt: skip
TYPES = (
    "user",
    "user",
    "user",
    "user",
    "tap",
    "socket",
    "l2tpv3",
    "hubport",
    "vhost-user",
    "vhost-vdpa",
    "usr",
    "bridge",
    "passt",
)


def value(dice: random.Random, key: str, kind: str) -> str:
    if key in OWN:
        return dice.choice(OWN[key])
    if kind in ("str", "list", "bool", "size"):
        return dice.choice(WORDS[kind])
    return dice.choice([*kind.split("|"), "x"]) if "|" in kind else dice.choice(WORDS["int"])


def settings(dice: random.Random, options: dict[str, str], most: int) -> list[str]:
    found = []
    for key in dice.sample(sorted(set(options) - LEFT_OUT), k=min(len(set(options) - LEFT_OUT), dice.randint(0, most))):
        wrong = dice.random() < 0.05
        name = key + "x" if wrong else key
        if options[key] == "bool" and dice.random() < 0.3:
            found.append(dice.choice(["", "no"]) + name)
        else:
            found.append(f"{name}={value(dice, key, options[key])}")
    return found


def netdev(dice: random.Random, rules: cmdline.Rules, kind: str, option: str) -> str:
    known = rules.backends.get(kind)
    options = {key: item.kind for key, item in known.options.items()} if known else {"bogus": "str"}
    if option == "nic":
        options |= {"mac": "str", "model": "str"}
    words = settings(dice, options, 3)
    if known:
        words += [
            f"{key}={value(dice, key, item.kind)}"
            for key, item in known.options.items()
            if item.required and not any(word.startswith(f"{key}=") for word in words) and dice.random() < 0.9
        ]
    if kind == "tap":
        words = [word for word in words if not word.startswith(("script", "downscript"))]
        if not any(word.startswith(("fd=", "fds=", "helper=")) for word in words):
            words += ["script=no", "downscript=no"]
    if kind == "bridge" and not any(word.startswith("helper=") for word in words):
        words.append("helper=/bin/false")
    if option == "netdev" and dice.random() < 0.95:
        words.insert(dice.randint(0, len(words)), f"id={dice.choice(['n0', 'n0', 'n0', 'n1', '0n', 'n 0'])}")
    return ",".join([kind if dice.random() < 0.9 else f"type={kind}", *words])


def line(dice: random.Random, rules: cmdline.Rules) -> list[str]:
    shape = dice.random()
    if shape < 0.45:
        words = ["-netdev", netdev(dice, rules, dice.choice(TYPES), "netdev")]
        if dice.random() < 0.3:
            words += ["-device", f"e1000,netdev={dice.choice(['n0', 'n1'])}"]
        return words
    if shape < 0.7:
        return ["-nic", netdev(dice, rules, dice.choice([*TYPES, "none"]), "nic")]
    if shape < 0.8:
        return ["-net", netdev(dice, rules, dice.choice(["user", "none", "nic", "hubport"]), "net"), "-net", "nic"]
    if shape < 0.86:
        kind = dice.choice(["filter-dump", "filter-buffer", "filter-rewriter", "filter-replay", "filter-dumb"])
        options = dict(rules.filters.get(kind, {"bogus": "str"}))
        words = [f"id={dice.choice(['f', 'f', '9'])}", f"netdev={dice.choice(['n0', 'n0', 'n0', 'n1'])}"]
        words += [word for word in settings(dice, options, 4) if dice.random() < 0.9]
        return ["-netdev", "user,id=n0", "-object", ",".join([kind, *words])]
    if shape < 0.9:
        model = dice.choice(["e1000", "virtio-net-pci", "rtl8139", "e1000x"])
        known = rules.devices.get(model)
        name, *_ = settings(dice, dict(known.options) if known else {"x": "str"}, 1) or ["mac=x"]
        return ["-global", f"{model}.{name if '=' in name else name + '=on'}", "-nic", "user,model=e1000"]
    models = [name for name, model in rules.devices.items() if model.bus == "PCI" and name not in ("rocker", "pvrdma")]
    model = dice.choice(models)
    options = dict(rules.devices[model].options)
    model = "virtio-net-pci" if dice.random() < 0.4 else model
    options = dict(rules.devices[model].options)
    return ["-device", ",".join([model, *settings(dice, options, 4)])]


@pytest.mark.parametrize("number", range(LINES))
def test_generated_line(program: Program, number: int) -> None:
    dice = random.Random(f"{SEED}-{number}-{program.version}")
    words = line(dice, program.rules)
    reading = cmdline.read(["qemu-system-x86_64", *words], program.rules)
    verdict = program.start(words)
    if verdict.host:
        return  # QEMU stopped at what this machine lacks, before it had judged everything
    faults = [fault.shown(reading.line.text) for fault in reading.faults]
    assert reading.accepted == verdict.understood, (
        f"{shlex.join(words)}\n{program.version}: {verdict.said}\nours: {faults}"
    )
    if not verdict.accepted:
        return
    again = cmdline.render(reading.line)[1:]
    assert program.start(again).accepted, f"rendered: {shlex.join(again)}"

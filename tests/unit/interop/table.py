"""What each format says of each key, found out by exporting a lab with and without it: docs/interop.md's tables."""

from __future__ import annotations

import re
from types import ModuleType

from qlan.cli.export import stream
from qlan.interop import document, libvirt, qemu
from qlan.interop.formats import EXPORTS
from qlan.interop.imported import Source
from qlan.topology import load

from .labs import differences, settled

BASE = """\
lab: shop
networks:
  lan: {{kind: host-only, subnet: 10.1.0.0/24, dhcp: {dhcp}, dns: {dns}{network}, ipv6: {ipv6}}}
  back: {{kind: private{private}}}
guests:
  web: {{{boot}{guest}, nics: [{{network: lan, mac: "52:54:00:00:00:01"{nic}}}, {{user: {{{user}}}{user_nic}}}]}}
"""
PLAIN = {
    "dhcp": "{range: 10.1.0.10-10.1.0.90}", "dns": "false", "ipv6": "false", "network": "", "private": "",
    "nic": "", "user_nic": "", "boot": "disk: {path: /d.img, format: raw}", "guest": "", "user": "ipv4: true",
}  # fmt: skip

# title -> what is other than in PLAIN
KEYS: dict[str, dict[str, str]] = {
    "network: the host's `address`": {"network": ", address: 10.1.0.254"},
    "network: `dhcp: false`": {"dhcp": "false"},
    "network: `dhcp: range`": {"dhcp": "{range: 10.1.0.10-10.1.0.91}"},
    "network: `dhcp: lease`": {"dhcp": "{range: 10.1.0.10-10.1.0.90, lease: 5m}"},
    "network: `dns`": {"dns": "true"},
    "network: `mtu`": {"network": ", mtu: 1400"},
    "network: `bridge_name`": {"network": ", bridge_name: shopbr"},
    "network: `isolated`": {"network": ", isolated: true"},
    "network: `stp`": {"network": ", stp: true"},
    "network: `multicast_snooping`": {"network": ", multicast_snooping: true"},
    "network: `vlan_filtering`, `vlan`": {"network": ", vlan_filtering: true, vlan: 5"},
    "network: `dhcp` on a private one": {"private": ", subnet: 10.2.0.0/24, dhcp: true"},
    "network: `dhcp: routes`, `ntp`, `options`": {
        "dhcp": "{range: 10.1.0.10-10.1.0.90, routes: {10.9.0.0/16: 10.1.0.5}, ntp: 10.1.0.5, options: {66: b.example}}"
    },
    "network: `dhcp: relay`": {"dhcp": "{relay: 10.9.0.5}"},
    "network: `tftp`, `bootfile`": {"network": ", tftp: /t, bootfile: pxelinux.0"},
    "network: `dns: records`": {"dns": "{records: {repo.example: 10.1.0.5}}"},
    "network: `ipv6`": {"ipv6": '"fd00:1::/64"'},
    "network: `ipv6: slaac: false`": {"ipv6": '{prefix: "fd00:1::/64", slaac: false}'},
    "NIC: `address6`": {"ipv6": '{prefix: "fd00:1::/64", slaac: false}', "nic": ', address6: "fd00:1::77"'},
    "guest: `disk`": {"boot": "disk: {path: /other.img, format: raw}"},
    "guest: `kernel`, `append`": {"boot": "kernel: /k, append: quiet"},
    "guest: `memory`, `cpus`": {"guest": ", memory: 1G, cpus: 3"},
    "guest: `machine`": {"guest": ", machine: q35"},
    "guest: `accel`": {"guest": ", accel: kvm"},
    "guest: `display`": {"guest": ", display: vnc"},
    "guest: `cloud_init`": {"guest": ", cloud_init: true"},
    "guest: `qemu_args`": {"guest": ", qemu_args: [-snapshot]"},
    "NIC: `network`, `address`": {"nic": ", address: 10.1.0.77"},
    "NIC: `model`": {"nic": ", model: e1000"},
    "NIC: `boot`": {"nic": ", boot: network"},
    "NIC: `link`": {"nic": ", link: down"},
    "NIC: `mtu`": {"nic": ", mtu: 1300"},
    "NIC: `vlan`, `trunk`": {"network": ", vlan_filtering: true", "nic": ", vlan: 10, trunk: [20-30]"},
    "NIC: `rate`": {"nic": ", rate: {in: 8mbit, out: 16mbit}"},
    "NIC: `isolated`": {"nic": ", isolated: true"},
    "NIC: `vhost`": {"nic": ", vhost: true"},
    "NIC: `reverse`": {"nic": ', reverse: ["5432:5432"]'},
    "NIC: `forwards`": {"user_nic": ', forwards: ["2222:22"]'},
    "user: `subnet`": {"user": "subnet: 10.0.7.0/24"},
    "user: `host`, `dns`, `dhcp_start`": {"user": "host: 10.0.2.9, dns: 10.0.2.8, dhcp_start: 10.0.2.20"},
    "user: `hostname`, `domain`, `search`": {"user": "hostname: w, domain: a.example, search: b.example"},
    "user: `ipv6`": {"user": "ipv6: false"},
    "user: `restrict`": {"user": "restrict: true"},
    "user: `backend`": {"user": "backend: passt"},
    "user: `tftp`, `bootfile`": {"user": "tftp: /t, bootfile: pxelinux.0"},
}


def lab(**other: str) -> str:
    return BASE.format(**(PLAIN | other))


def exported(name: str, text: str) -> tuple[str, str]:
    """(what the program reads, the comments)."""
    whole = stream(EXPORTS[name].export_lab(settled(text)), name)
    if name == "libvirt":
        comments = "\n".join(re.findall(r"<!--.*?-->", whole, re.DOTALL))
        return re.sub(r"\s*<!--.*?-->", "", whole, flags=re.DOTALL), comments
    lines = whole.splitlines()
    # the commands in comments of --to qemu are typed by somebody
    comments = "\n".join(line for line in lines if line.lstrip().startswith("#") and not line.startswith("#   "))
    is_said = [line for line in lines if not line.lstrip().startswith("#") or line.startswith("#   ")]
    return "\n".join(is_said), comments


def says(name: str, other: dict[str, str]) -> str:
    """yes, words or -."""
    before, after = exported(name, lab()), exported(name, lab(**other))
    if before[0] != after[0]:
        return "yes, words" if before[1] != after[1] and name in ("libvirt", "qemu") else "yes"
    return "words" if before[1] != after[1] else "-"


def keeps(form: ModuleType, other: dict[str, str]) -> str:
    """Whether the key comes back."""
    before = settled(lab(**other))
    files = form.export_lab(before)
    text = document.write(form.import_sources([Source(file.path, file.text) for file in files]))
    lost = differences(before.topology, load.parse(text, "/lab/qlan.yaml")).keys()
    base = settled(lab())
    files = form.export_lab(base)
    text = document.write(form.import_sources([Source(file.path, file.text) for file in files]))
    usual = differences(base.topology, load.parse(text, "/lab/qlan.yaml")).keys()
    changed = differences(base.topology, before.topology).keys()
    gone = {path for path in lost - usual if any(path.startswith(one) or one.startswith(path) for one in changed)}
    return "no" if gone else "yes"


def export_table() -> str:
    names = list(EXPORTS)
    lines = [f"| | {' | '.join(names)} |", "| --- |" + " --- |" * len(names)]
    lines += [f"| {title} | {' | '.join(says(name, other) for name in names)} |" for title, other in KEYS.items()]
    return "\n".join(lines)


def round_trip_table() -> str:
    lines = ["| | qemu | libvirt |", "| --- | --- | --- |"]
    lines += [f"| {title} | {keeps(qemu, other)} | {keeps(libvirt, other)} |" for title, other in KEYS.items()]
    return "\n".join(lines)

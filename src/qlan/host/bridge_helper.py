"""`qlan-bridge-helper`: what QEMU's `-netdev bridge,br=LAB/NETWORK,helper=...` runs to get a TAP on a rootless bridge.

It speaks qemu-bridge-helper's protocol (qemu-bridge-helper.c, net_bridge_run_helper in net/tap.c):
`--use-vnet --fd=N --br=NAME`, and the TAP's descriptor goes over the unix socket N with one byte.  No setuid bit and no
ACL are needed: whoever may enter the lab's namespace may plug into its bridges.
"""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Collection
from typing import Any

from qlan.errors import CommandFailed, QlanError, UsageError
from qlan.host import files, user
from qlan.host.link import Row, parse_alias, rows
from qlan.host.namespace import find_holder, holder, inside
from qlan.host.run import run
from qlan.host.tap import open_taps
from qlan.names import interface_name, link_group
from qlan.render.enter import REALM
from qlan.render.ip import alias
from qlan.render.layout import Layout

NAME = "qlan-bridge-helper"
_HAND = "hand/"


def main() -> int:
    """Hand one TAP over; what goes wrong is said on standard error, which is QEMU's own."""
    parser = argparse.ArgumentParser(prog=NAME, description="for QEMU's -netdev bridge,br=LAB/NETWORK,helper=...")
    parser.add_argument("--use-vnet", action="store_true")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--br", required=True, metavar="LAB/NETWORK[/NUMBER]")
    args = parser.parse_args()
    try:
        lab, network, number = parse_bridge(args.br)
        hand_over(args.fd, plug(user.layout(lab), network, number))
    except QlanError as error:
        print(f"{NAME}: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


def parse_bridge(text: str) -> tuple[str, str, int]:
    """`shop/lan/2` as (shop, lan, 2); without a number it is 0 (any), without a lab it is the only one that is up."""
    parts = text.split("/")
    number = int(parts.pop()) if len(parts) == 3 and parts[-1].isdecimal() else 0
    if len(parts) == 1:
        parts.insert(0, _only_lab())
    if len(parts) != 2:
        raise UsageError(f"`{text}` is no network of a lab", hint="write br=LAB/NETWORK, for instance br=shop/lan")
    return parts[0], parts[1], number


def plug(layout: Layout, network: str, number: int) -> int:
    """A TAP in the network's namespace, on its bridge and up; its descriptor.  HostError, UsageError."""
    key = namespace_of(layout, network)
    links = rows(inside(layout, key))
    bridge = next((row for row in links if parse_alias(row, layout.lab) == f"bridge/{network}"), None)
    if bridge is None:
        raise UsageError(f"lab `{layout.lab}` has no network `{network}` that is up", hint="`qlan status` lists them")
    taken = {str(row["ifname"]) for row in links}
    numbers = [number] if number else range(1, len(links) + 2)
    number = next((one for one in numbers if tap_name(network, one) not in taken), number)
    name = tap_name(network, number)
    [tap] = open_taps(holder(layout, key), [name])
    _join(layout, key, bridge, network, name, f"alias {alias(layout.lab, mark_of(network, number))} up")
    return tap


def rejoin(layout: Layout, key: str, networks: Collection[str]) -> None:
    """Put the TAPs of QEMUs that were started by hand back, as the bridges of these networks were made anew under them.

    key: of the namespace.
    """
    links = rows(inside(layout, key))
    marked = [(row, parse_alias(row, layout.lab) or "") for row in links]
    bridges = {mark.removeprefix("bridge/"): row for row, mark in marked if mark.startswith("bridge/")}
    for row, mark in marked:
        network = mark.removeprefix(_HAND).rpartition("/")[0] if mark.startswith(_HAND) else ""
        if network in networks and network in bridges and "master" not in row:
            name = str(row["ifname"])
            try:
                _join(layout, key, bridges[network], network, name)
            except CommandFailed:
                if any(one["ifname"] == name for one in rows(inside(layout, key))):
                    raise  # else its QEMU has ended just now


def _join(layout: Layout, key: str, bridge: Row, network: str, name: str, state: str = "up") -> None:
    line = f"link set dev {name} master {bridge['ifname']} mtu {bridge['mtu']} group {link_group(layout.lab)}"
    wanted = _wanted(layout, network)
    if wanted.get("isolates"):
        line, state = f"{line}\nlink set dev {name}", f"{state} type bridge_slave isolated on"
    run([*inside(layout, key), "ip", "-batch", "-"], stdin=f"{line} {state}\n")
    if bridge["linkinfo"]["info_data"].get("vlan_filtering"):
        vid = wanted.get("vlan", 1)
        run([*inside(layout, key), "bridge", "vlan", "add", "dev", name, "vid", str(vid), "pvid", "untagged"])


def _wanted(layout: Layout, network: str) -> dict[str, Any]:
    """The network's bridge as the lab's record has it; without one its ports are isolated, to be on the safe side."""
    record = files.read_json(layout.record)
    if not isinstance(record, dict):
        return {"isolates": True}
    rows = [one for one in record.get("wanted", ()) if one.get("type") == "Bridge" and one.get("network") == network]
    return dict(rows[0]) if rows else {}


def namespace_of(layout: Layout, network: str) -> str:
    """The key of the namespace that holds a network's bridge: its own (`private`), else the realm."""
    own = f"namespace/{network}"
    return own if find_holder(layout, own) else REALM


def hand_over(channel: int, tap: int) -> None:
    """The descriptor over QEMU's socket."""
    with socket.socket(fileno=channel) as qemu:
        socket.send_fds(qemu, [b"\0"], [tap])


def tap_name(network: str, number: int) -> str:
    """The interface of the Nth hand-started NIC on a network."""
    return interface_name(f"hand{number}", f"{network}/{number}")


def mark_of(network: str, number: int) -> str:
    """Its mark: ours, but no resource of the lab's file, so that `up` and `status` leave it alone."""
    return f"{_HAND}{network}/{number}"


def _only_lab() -> str:
    roots = user.layout("x").run_root
    up = [path.name for path in roots.iterdir() if find_holder(user.layout(path.name), REALM)] if roots.is_dir() else []
    if len(up) != 1:
        raise UsageError("which lab?", hint=f"write br=LAB/NETWORK; up now: {', '.join(sorted(up)) or 'none'}")
    return up[0]


if __name__ == "__main__":
    sys.exit(main())

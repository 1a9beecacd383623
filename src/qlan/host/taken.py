"""What is taken on this machine: ranges of addresses and listening ports, each with who has it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from qlan.facts import UsedPort, UsedSubnet
from qlan.host.run import run
from qlan.names import link_group
from qlan.render.ip import MARK

_LISTEN, _UDP_UNCONNECTED = "0A", "07"  # include/net/tcp_states.h


def read_subnets(lab: str) -> list[UsedSubnet]:
    """Every range that this machine has an address in or a route to, but for those of `lab` itself.

    `-d`: without it iproute2 leaves out the alias, our mark.
    """
    links = [row for row in json.loads(run(["ip", "-j", "-d", "-4", "address", "show"]).stdout or "[]") if row]
    routes = json.loads(run(["ip", "-j", "-4", "route", "show", "table", "all"]).stdout or "[]")
    owners = {row["ifname"]: _owner(row.get("ifalias", ""), row["ifname"]) for row in links}
    group = str(link_group(lab))  # somebody may have taken our mark off
    own = {row["ifname"] for row in links if owners[row["ifname"]] == f"lab {lab}"
           or (not row.get("ifalias") and row.get("group") == group)}  # fmt: skip
    found = {}
    for row in links:
        for one in row.get("addr_info", ()):
            if row["ifname"] not in own and one.get("local"):
                subnet = IPv4Network(f"{one['local']}/{one['prefixlen']}", strict=False)
                found[subnet] = f"the address {one['local']} of {owners[row['ifname']]}"
    for route in routes:
        device = route.get("dev", "")
        if route.get("dst") in (None, "default") or device in own or route.get("type", "unicast") != "unicast":
            continue
        with suppress(ValueError):
            subnet = IPv4Network(route["dst"])
            found.setdefault(subnet, f"a route to it via {owners.get(device, device) or route.get('type', '')}")
    return [UsedSubnet(subnet, owner) for subnet, owner in found.items() if subnet.prefixlen]


def read_ports() -> list[UsedPort]:
    """Every listening TCP port and bound UDP port; the owner is filled by `owner_of_port` when it matters."""
    found = []
    for protocol, state in (("tcp", _LISTEN), ("udp", _UDP_UNCONNECTED)):
        for family in ("", "6"):
            found += [
                UsedPort(protocol, address, port, owner)
                for address, port, owner in _sockets(Path(f"/proc/net/{protocol}{family}"), state)
            ]
    return found


def name_owner(port: UsedPort) -> UsedPort:
    """The same with the process that holds it, as far as this user may see (its own processes; all for root)."""
    for pid in (entry.name for entry in os.scandir("/proc") if entry.name.isdigit()):
        if _holds(pid, port.owner):
            name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
            return UsedPort(port.protocol, port.address, port.port, f"{name} (process {pid})")
    return UsedPort(port.protocol, port.address, port.port, "a process of another user")


def _holds(pid: str, socket: str) -> bool:
    with suppress(OSError):
        return any(str(entry.readlink()) == socket for entry in Path(f"/proc/{pid}/fd").iterdir())
    return False


def _sockets(table: Path, state: str) -> Iterator[tuple[IPv4Address, int, str]]:
    """/proc/net/tcp and its like, proc(5): local address and port in hex, host byte order; owner: its socket's name."""
    try:
        lines = table.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return
    for line in lines:
        words = line.split()
        if words[3] != state:
            continue
        address, _, port = words[1].partition(":")
        yield _address(address), int(port, 16), f"socket:[{words[9]}]"


def _address(text: str) -> IPv4Address:
    """The IPv4 side of an address; an IPv6 socket that listens everywhere has IPv4 too, others are no concern."""
    if len(text) == 8:
        return IPv4Address(int.from_bytes(bytes.fromhex(text), "little"))
    if text.startswith("0000000000000000FFFF0000"):
        return IPv4Address(int.from_bytes(bytes.fromhex(text[24:]), "little"))
    return IPv4Address(0) if set(text) == {"0"} else IPv4Address("127.255.255.254")


def _owner(alias: str, name: str) -> str:
    mark, _, rest = alias.partition(":")
    return f"lab {rest.partition(':')[0]}" if mark == MARK and rest else name

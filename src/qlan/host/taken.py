"""What is taken on this machine: ranges of addresses and listening ports, each with who has it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any

from qlan.facts.machine import NO_IPV6, LinkFacts, UsedLink, UsedPort, UsedPrefix, UsedSubnet
from qlan.host import files
from qlan.host.run import run
from qlan.names import link_group
from qlan.render.ip import MARK

_CLAIM_MIN = 8  # shorter prefixes (2000::/3, fc00::/7) are ways out of VPNs, no claim to addresses
_IPV6 = Path("/proc/sys/net/ipv6/conf")
_LISTEN, _UDP_UNCONNECTED = "0A", "07"  # include/net/tcp_states.h


def read_subnets(lab: str) -> list[UsedSubnet]:
    """Every range that this machine has an address in or a route to, but for those of `lab` itself.

    `-d`: without it iproute2 leaves out the alias, our mark.
    """
    links = [row for row in json.loads(run(["ip", "-j", "-d", "-4", "address", "show"]).stdout or "[]") if row]
    routes = json.loads(run(["ip", "-j", "-4", "route", "show", "table", "all"]).stdout or "[]")
    owners = {row["ifname"]: _owner(row.get("ifalias", ""), row["ifname"]) for row in links}
    own = _own_links(links, owners, lab)
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


def read_links(lab: str) -> list[UsedLink]:
    """Every interface of this machine, but for those of `lab` itself."""
    rows = [row for row in json.loads(run(["ip", "-j", "-d", "link", "show"]).stdout or "[]") if row]
    group = str(link_group(lab))
    return [
        UsedLink(row["ifname"], _owner(row.get("ifalias", ""), row.get("linkinfo", {}).get("info_kind", "a NIC")))
        for row in rows
        if row.get("group") != group
    ]


def read_prefixes(lab: str) -> list[UsedPrefix]:
    """Every IPv6 prefix that this machine has a route to (those of its own addresses are among them)."""
    links = [row for row in json.loads(run(["ip", "-j", "-d", "link", "show"]).stdout or "[]") if row]
    owners = {row["ifname"]: _owner(row.get("ifalias", ""), row["ifname"]) for row in links}
    own = _own_links(links, owners, lab)
    found: dict[IPv6Network, str] = {}
    for route in json.loads(run(["ip", "-j", "-6", "route", "show", "table", "all"]).stdout or "[]"):
        device = route.get("dev", "")
        if device in own or "/" not in route.get("dst", "") or route.get("type", "unicast") != "unicast":
            continue
        with suppress(ValueError):
            prefix = IPv6Network(route["dst"])
            if prefix.prefixlen >= _CLAIM_MIN and not prefix.is_link_local and not prefix.is_multicast:
                found.setdefault(prefix, owners.get(device, device))
    return [UsedPrefix(prefix, f"a route to it via {owner}") for prefix, owner in found.items()]


def why_no_ipv6(*, on_host: bool) -> str:
    """Why a lab on this machine gets no IPv6 unasked, or "".  on_host: in the machine's own network namespace."""
    folder = Path("/proc/sys/net/ipv6/conf/all")
    if not folder.exists():
        return NO_IPV6
    switched_off = on_host and (folder / "disable_ipv6").read_text(encoding="ascii").strip() != "0"
    return "it is switched off on this machine (net.ipv6.conf.all.disable_ipv6)" if switched_off else ""


def find_links(names: Collection[str]) -> dict[str, LinkFacts]:
    """Those of the interfaces that are there."""
    rows = [row for row in json.loads(run(["ip", "-j", "-d", "link", "show"]).stdout or "[]") if row]
    return {
        row["ifname"]: LinkFacts(
            row["ifname"], row.get("linkinfo", {}).get("info_kind", ""), "UP" in row["flags"], row["mtu"],
            _lab(row.get("ifalias", "")), row.get("master", ""),
            Path(f"/sys/class/net/{row['ifname']}/phy80211").exists(),
        )
        for row in rows
        if row["ifname"] in names
    }  # fmt: skip


def _lab(alias: str) -> str:
    head, _, rest = alias.partition(":")
    return rest.partition(":")[0] if head == MARK else ""


def read_uplinks() -> tuple[str, ...]:
    """The links that a default route leads over, in any table."""
    routes = json.loads(run(["ip", "-j", "-4", "route", "show", "default", "table", "all"]).stdout or "[]")
    return tuple(sorted({route["dev"] for route in routes if route.get("dev") not in (None, "lo")}))


def read_uplinks6() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The same of IPv6; and those of them whose route the kernel has by a router advertisement that it listens to.

    Of which a daemon of the machine has it, the daemon knows; the kernel is deaf there (accept_ra 0).
    """
    routes = json.loads(run(["ip", "-j", "-6", "route", "show", "default", "table", "all"]).stdout or "[]")
    found = {
        route["dev"]: route.get("protocol")
        for route in routes
        if route.get("dev") not in (None, "lo") and route.get("type", "unicast") == "unicast"
    }
    told = [link for link, protocol in found.items() if protocol == "ra" and _accepts_ra(link)]
    return tuple(sorted(found)), tuple(sorted(told))


def _accepts_ra(link: str) -> bool:
    return files.read_text(_IPV6 / link / "accept_ra").strip() in ("1", "2")


def forwards() -> bool:
    """Whether packets of every link may be forwarded: it is a router, or Docker has been here."""
    paths = (Path("/proc/sys/net/ipv4/ip_forward"), _IPV6 / "all" / "forwarding")
    return any(files.read_text(path).strip() == "1" for path in paths)


def has_force_forwarding() -> bool:
    """Whether IPv6 can be forwarded from single links (Linux 6.17)."""
    return (_IPV6 / "all" / "force_forwarding").exists()


def read_links_of() -> dict[IPv4Address | IPv6Address, str]:
    """This machine's addresses with their links, but for links of labs."""
    rows = [row for row in json.loads(run(["ip", "-j", "-d", "address", "show"]).stdout or "[]") if row]
    return {
        ip_address(one["local"]): row["ifname"]
        for row in rows
        if not _lab(row.get("ifalias", ""))
        for one in row.get("addr_info", ())
        if one.get("local")
    }


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


def find_owner(protocol: str, address: str, port: int) -> str:
    """Who has a port on that address, or on one that overlaps it; "": nobody that can be seen."""
    asked = ip_address(address)
    for one in read_ports():
        same = one.address.version == asked.version
        overlaps = one.address == asked or (same and 0 in (int(one.address), int(asked)))
        if overlaps and (one.protocol, one.port) == (protocol, port):
            return name_owner(one).owner
    return ""


def _holds(pid: str, socket: str) -> bool:
    with suppress(OSError):
        return any(str(entry.readlink()) == socket for entry in Path(f"/proc/{pid}/fd").iterdir())
    return False


def _sockets(table: Path, state: str) -> Iterator[tuple[IPv4Address | IPv6Address, int, str]]:
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
        for one in _addresses(address):
            yield one, int(port, 16), f"socket:[{words[9]}]"


def _addresses(text: str) -> list[IPv4Address | IPv6Address]:
    """What it listens on; a socket of IPv6 that listens everywhere has IPv4 too (unless it said IPV6_V6ONLY)."""
    words = [int.from_bytes(bytes.fromhex(text[at : at + 8]), sys.byteorder) for at in range(0, len(text), 8)]
    if len(words) == 1:
        return [IPv4Address(words[0])]
    found = IPv6Address(b"".join(word.to_bytes(4, "big") for word in words))
    if found.ipv4_mapped:
        return [found.ipv4_mapped]
    return [found] if int(found) else [IPv4Address(0), found]


def _own_links(links: list[dict[str, Any]], owners: dict[str, str], lab: str) -> set[str]:
    """The names of the lab's links, also of those whose mark somebody took off."""
    group = str(link_group(lab))
    return {row["ifname"] for row in links if owners[row["ifname"]] == f"lab {lab}"
            or (not row.get("ifalias") and row.get("group") == group)}  # fmt: skip


def _owner(alias: str, name: str) -> str:
    mark, _, rest = alias.partition(":")
    return f"lab {rest.partition(':')[0]}" if mark == MARK and rest else name

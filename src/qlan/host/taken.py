"""What is taken on this machine: ranges of addresses and listening ports, each with who has it."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Any

from msgspec.json import decode as parse_json

from qlan.facts.machine import NO_IPV6, LinkFacts, UsedLink, UsedPort, UsedPrefix, UsedSubnet
from qlan.host import files, link
from qlan.host.run import run
from qlan.names import link_group
from qlan.render.ip import MARK

_CLAIM_MIN = 8  # shorter prefixes (2000::/3, fc00::/7) are ways out of VPNs, no claim to addresses
_PART_MAX = 3  # the longest prefix that stands for the world: 2000::/3; 224.0.0.0/4 is multicast
_IPV6 = Path("/proc/sys/net/ipv6/conf")
_LISTEN, _UDP_UNCONNECTED = "0A", "07"  # include/net/tcp_states.h


class Kernel:
    """What the kernel says of this machine's links and routes: asked when it is wanted first, and once."""

    @cached_property
    def links(self) -> list[link.Row]:
        """All of them, with their addresses."""
        return link.rows(())

    @cached_property
    def routes(self) -> list[dict[str, Any]]:
        """Those of IPv4, of all tables."""
        return _routes("-4")

    @cached_property
    def routes6(self) -> list[dict[str, Any]]:
        """Those of IPv6, of all tables."""
        return _routes("-6")


def _routes(family: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parse_json(run(_routes_words(family)).stdout or "[]")
    return found


def _routes_words(family: str) -> list[str]:
    return ["ip", "-j", family, "route", "show", "table", "all"]


# what a Kernel always asks, as `run.ahead` takes it
PROGRAMS = [(link.words(()), ""), (_routes_words("-4"), ""), (_routes_words("-6"), "")]


def read_subnets(kernel: Kernel, lab: str) -> list[UsedSubnet]:
    """Every range that this machine has an address in or a route to, but for those of `lab` itself."""
    links, routes = kernel.links, kernel.routes
    owners = {row["ifname"]: _owner(row.get("ifalias", ""), row["ifname"]) for row in links}
    own = _own_links(links, owners, lab)
    found: dict[IPv4Network, tuple[str, str]] = {}
    for row in links:
        for one in row.get("addr_info", ()):
            if row["ifname"] not in own and one.get("local") and one["family"] == "inet":
                subnet = IPv4Network(f"{one['local']}/{one['prefixlen']}", strict=False)
                found[subnet] = (f"the address {one['local']} of {owners[row['ifname']]}", row["ifname"])
    for route in routes:
        device = route.get("dev", "")
        if route.get("dst") in (None, "default") or device in own or route.get("type", "unicast") != "unicast":
            continue
        with suppress(ValueError):
            subnet = IPv4Network(route["dst"])
            owner = f"a route to it via {owners.get(device, device) or route.get('type', '')}"
            found.setdefault(subnet, (owner, "" if "gateway" in route else device))
    known = [one for one in _known(routes, own) if isinstance(one, IPv4Address)]
    return [
        UsedSubnet(subnet, owner, device, tuple(one for one in known if one in subnet))
        for subnet, (owner, device) in found.items()
        if subnet.prefixlen
    ]


def _known(routes: Iterable[dict[str, Any]], own: Collection[str]) -> Iterator[IPv4Address | IPv6Address]:
    """Addresses of this machine and of its gateways, but for those on links of the lab itself."""
    routes = [one for one in routes if one.get("dev") not in own]
    local = [one["dst"] for one in routes if one.get("type") == "local"]
    hops = [hop for one in routes for hop in (one, *one.get("nexthops", ()))]
    for text in dict.fromkeys([*local, *(one["gateway"] for one in hops if "gateway" in one)]):
        with suppress(ValueError):
            yield ip_address(text)


def read_links(kernel: Kernel, lab: str) -> list[UsedLink]:
    """Every interface of this machine, but for those of `lab` itself."""
    group = str(link_group(lab))
    return [
        UsedLink(row["ifname"], _owner(row.get("ifalias", ""), row.get("linkinfo", {}).get("info_kind", "a NIC")))
        for row in kernel.links
        if row.get("group") != group
    ]


def read_prefixes(kernel: Kernel, lab: str) -> list[UsedPrefix]:
    """Every IPv6 prefix that this machine has a route to (those of its own addresses are among them)."""
    links, routes = kernel.links, kernel.routes6
    owners = {row["ifname"]: _owner(row.get("ifalias", ""), row["ifname"]) for row in links}
    own = _own_links(links, owners, lab)
    found: dict[IPv6Network, tuple[str, str]] = {}
    for route in routes:
        device = route.get("dev", "")
        if device in own or "/" not in route.get("dst", "") or route.get("type", "unicast") != "unicast":
            continue
        with suppress(ValueError):
            prefix = IPv6Network(route["dst"])
            if prefix.prefixlen >= _CLAIM_MIN and not prefix.is_link_local and not prefix.is_multicast:
                found.setdefault(prefix, (owners.get(device, device), "" if "gateway" in route else device))
    known = [one for one in _known(routes, own) if isinstance(one, IPv6Address)]
    return [
        UsedPrefix(prefix, f"a route to it via {owner}", device, tuple(one for one in known if one in prefix))
        for prefix, (owner, device) in found.items()
    ]


def why_no_ipv6(*, on_host: bool) -> str:
    """Why a lab on this machine gets no IPv6 unasked, or "".  on_host: in the machine's own network namespace."""
    folder = Path("/proc/sys/net/ipv6/conf/all")
    if not folder.exists():
        return NO_IPV6
    switched_off = on_host and (folder / "disable_ipv6").read_text(encoding="ascii").strip() != "0"
    return "it is switched off on this machine (net.ipv6.conf.all.disable_ipv6)" if switched_off else ""


def find_links(kernel: Kernel, names: Collection[str]) -> dict[str, LinkFacts]:
    """Those of the interfaces that are there."""
    return {
        row["ifname"]: LinkFacts(
            row["ifname"], row.get("linkinfo", {}).get("info_kind", ""), "UP" in row["flags"], row["mtu"],
            _lab(row.get("ifalias", "")), row.get("master", ""),
            Path(f"/sys/class/net/{row['ifname']}/phy80211").exists(),
        )
        for row in kernel.links
        if row["ifname"] in names
    }  # fmt: skip


def _lab(alias: str) -> str:
    head, _, rest = alias.partition(":")
    return rest.partition(":")[0] if head == MARK else ""


def read_uplinks(kernel: Kernel) -> tuple[str, ...]:
    """The links that lead to most of the world, in any table."""
    return tuple(sorted({route["dev"] for route in _ways(kernel.routes)}))


def _ways(routes: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Default routes, halves of one as VPNs have them (0.0.0.0/1, 2000::/3), and each hop of one with several."""
    for route in routes:
        to, _, length = str(route.get("dst", "")).partition("/")
        if to != "default" and not 0 < int(length or 128) <= _PART_MAX:
            continue
        for hop in route.get("nexthops", (route,)):
            if hop.get("dev") not in (None, "lo"):
                yield route | hop


def read_uplinks6(kernel: Kernel) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The same of IPv6; and those of them whose route the kernel has by a router advertisement that it listens to.

    Of which a daemon of the machine has it, the daemon knows; the kernel is deaf there (accept_ra 0).
    """
    ways = [route for route in _ways(kernel.routes6) if route.get("type", "unicast") == "unicast"]
    found = {route["dev"]: route.get("protocol") for route in ways}
    told = [link for link, protocol in found.items() if protocol == "ra" and accepts_ra(link)]
    return tuple(sorted(found)), tuple(sorted(told))


def accepts_ra(link: str) -> bool:
    """Whether the kernel itself listens to router advertisements there."""
    return files.read_text(_IPV6 / link / "accept_ra").strip() in ("1", "2")


def forwards() -> bool:
    """Whether packets of every link may be forwarded: it is a router, or Docker has been here."""
    paths = (Path("/proc/sys/net/ipv4/ip_forward"), _IPV6 / "all" / "forwarding")
    return any(files.read_text(path).strip() == "1" for path in paths)


def has_force_forwarding() -> bool:
    """Whether IPv6 can be forwarded from single links (Linux 6.17)."""
    return (_IPV6 / "all" / "force_forwarding").exists()


def read_links_of(kernel: Kernel) -> dict[IPv4Address | IPv6Address, str]:
    """This machine's addresses with their links, but for links of labs."""
    return {
        ip_address(one["local"]): row["ifname"]
        for row in kernel.links
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
    for pid in (entry.name for entry in os.scandir("/proc") if entry.name.isdecimal()):
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

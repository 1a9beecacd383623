"""Uplinks as they are: what a NIC or its bridge carries (`ip`, /proc/sys/net), and what stands against a NIC as one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from ipaddress import ip_interface
from itertools import pairwise
from pathlib import Path
from typing import Any

from msgspec.json import decode as parse_json

from qlan.facts.machine import NicFacts
from qlan.host import files, link, manager, process
from qlan.host.run import run
from qlan.names import MARK
from qlan.render.layout import Layout
from qlan.resources import codec
from qlan.resources.model import Carried, Resource, Uplink
from qlan.values import Value, replace

_FLAGS = ("home", "nodad", "mngtmpaddr", "noprefixroute", "autojoin")  # CONFFLAG of ip-address(8)
_SHOWN_ONLY = {
    "linkdown",
    "dead",
    "offload",
    "rt_offload",
    "trap",
    "rt_trap",
    "pervasive",
    "offload_failed",
    "unresolved",
}
_SETTINGS = {  # of an interface, which its bridge must have too
    "ipv4": ("rp_filter", "arp_ignore", "arp_announce", "arp_filter", "accept_local", "proxy_arp", "route_localnet"),
    "ipv6": (
        "accept_ra",
        "accept_ra_defrtr",
        "accept_ra_pinfo",
        "autoconf",
        "use_tempaddr",
        "accept_redirects",
        "accept_dad",
    ),
}
_GEN_MODES = {"0": "eui64", "1": "none", "2": "stable_secret", "3": "random"}  # of linux/if_link.h, in words of `ip`
_SYS = Path("/proc/sys/net")
_FOREVER = 0xFFFFFFFF


class Guarded(Value):
    """An uplink's watchdog.  left_s: seconds until it puts everything back, None: it does not run (any more).

    ended: what it did, in words, "" if nothing.
    """

    network: str
    nic: str
    bridge: str
    left_s: int | None
    ended: str


def probe(name: str, lab: str) -> NicFacts | None:
    """A NIC of this machine as an uplink of a lab; None if there is none of that name."""
    table = link.rows(())
    row = next((one for one in table if one["ifname"] == name), None)
    if row is None:
        return None
    what, hint = _fault(row, table, lab)
    source, found = name, None
    if master := row.get("master"):
        source = name if what else master  # a port of our own bridge: what it carried is there now
    elif not what:
        found = manager.find(row) if _is_machine_network() else None
        what, hint = ("", "") if found else _has_dhcp_client(row)
    carried = read_carried(source, table)
    return NicFacts(row.get("address", ""), row["mtu"], carried, what, hint, manager=found)


def names() -> list[str]:
    """Interfaces that may be meant."""
    return [row["ifname"] for row in link.rows(()) if row.get("link_type") == "ether"]


def read_carried(name: str, table: list[link.Row]) -> Carried:
    """Everything that an interface carries."""
    row = next(one for one in table if one["ifname"] == name)
    ipv6 = _setting(f"ipv6/conf/{name}/disable_ipv6") == "0"
    bare = _without_prefix_route(row)
    routes = [*_routes(name, "-4", bare), *(_routes(name, "-6", bare) if ipv6 else ())]
    routes.sort(key=lambda words: "via" in words.split())  # a gateway's own subnet is to be there before it
    return Carried(
        tuple(_address(one, name) for one in row.get("addr_info", ()) if not _is_bridges_own(one, row)),
        tuple(routes),
        tuple(_rules(name, "-4")),
        tuple(_rules(name, "-6")) if ipv6 else (),
        tuple(_prefixes6(name)) if ipv6 else (),
        ipv6,
        _GEN_MODES.get(_setting(f"ipv6/conf/{name}/addr_gen_mode"), "eui64"),
        "UP" in row.get("flags", ()),
        tuple(_settings(name)),
    )


def _is_bridges_own(address: Mapping[str, Any], row: link.Row) -> bool:
    """A link-local address out of a secret of the bridge's: no NIC ever had it (those that it got lack the flag)."""
    is_bridge = row.get("linkinfo", {}).get("info_kind") == "bridge"
    return is_bridge and address["scope"] == "link" and "stable-privacy" in address


def read(layout: Layout, table: list[link.Row], known: Mapping[str, Uplink]) -> Iterator[Uplink]:
    """The uplinks of a lab: NICs in its bridges (known by their common MAC, whatever files are lost), and what is left
    of others.  table: the machine's links.  known: by network.
    """
    bridges = {row["ifname"]: key.partition("/")[2] for row in table if (key := _bridge_key(row, layout.lab))}
    ports = {
        bridges[row["master"]]: row
        for row in table
        if row.get("master") in bridges and not row.get("ifalias", "").startswith(f"{MARK}:")
        and row.get("address") == next(one["address"] for one in table if one["ifname"] == row["master"])
    }  # fmt: skip
    left = {path.name for path in files.entries(layout.run / "uplink")}
    for network in sorted({*ports, *left}):
        saved = _saved(layout, network)
        if network in ports:
            row = ports[network]
            carried = read_carried(row["master"], table)
            if saved and not (layout.uplink(network) / "moved").exists():
                carried = _merged(carried, saved.carried)
            if saved:
                carried = replace(
                    _relabelled(carried, saved.carried), up=saved.carried.up, gen_mode=saved.carried.gen_mode
                )
            before = saved or known.get(network)
            handed = before.manager if before else manager.find_handed(row["ifname"], row["master"])
            yield Uplink(network, row["ifname"], row["master"], carried=carried, manager=handed)
        else:
            one = saved or known.get(network) or Uplink(network, "", "")
            yield replace(one, enslaved=False, carried=_stranded(layout, network, one, table))


def guarded(layout: Layout, uplink: Uplink) -> Guarded:
    """What the watchdog of an uplink is doing, or did."""
    folder = layout.uplink(uplink.network)
    ended = files.read_json(folder / "ended")
    told = files.read_json(folder / "guard.json")
    pid = process.find_recorded(folder / "process", mark=layout.guard_mark(uplink.network))
    left = None
    if pid is not None and isinstance(told, dict) and not isinstance(ended, dict):
        left = max(0, round(told["within_s"] - process.age_s(pid)))
    words = ""
    if isinstance(ended, dict):
        done = "put back" if ended["back"] else "kept" if "answered all" in ended["why"] else "not put back"
        words = f"{done}: {ended['why']}"
    return Guarded(uplink.network, uplink.nic, uplink.bridge, left, words)


def confirm(layout: Layout, uplink: Uplink) -> Guarded:
    """End the watchdog, unless it is putting back already; what it did then is in `ended`."""
    record = layout.uplink(uplink.network) / "process"
    pid = process.find_recorded(record, mark=layout.guard_mark(uplink.network))
    if pid is not None:
        process.end({pid: f"the watchdog of {uplink.nic}"}, grace_s=15.0)
    return guarded(layout, uplink)


# --- what a NIC carries


def _address(one: Mapping[str, Any], name: str) -> str:
    """An entry of `addr_info` as the words that make it."""
    words = [f"{one['local']}/{one['prefixlen']}"]
    if "address" in one:  # the other end of a point-to-point link
        words = [str(one["local"]), "peer", f"{one['address']}/{one['prefixlen']}"]
    for key, word in (("broadcast", "broadcast"), ("scope", "scope"), ("metric", "metric")):
        if key in one:
            words += [word, str(one[key])]
    if one.get("label", name) != name and str(one["label"]).startswith(f"{name}:"):
        words += ["label", f"%:{str(one['label']).partition(':')[2]}"]
    words += [flag for flag in _FLAGS if one.get(flag)]
    for key, word in (("valid_life_time", "valid_lft"), ("preferred_life_time", "preferred_lft")):
        if one.get(key, _FOREVER) != _FOREVER:
            words += [word, str(one[key])]
    return " ".join([*words, "dev", "%"])


def _without_prefix_route(row: link.Row) -> set[str]:
    """The subnets of which the kernel makes no route, because somebody else does (NetworkManager).  Of IPv4 it makes
    one for the first address in a subnet alone.
    """
    made: dict[str, bool] = {}
    for one in row.get("addr_info", ()):
        subnet = str(ip_interface(f"{one['local']}/{one['prefixlen']}").network)
        if not one.get("secondary"):
            made[subnet] = made.get(subnet, False) or not one.get("noprefixroute")
    return {subnet for subnet, is_made in made.items() if not is_made}


def _routes(name: str, family: str, bare: set[str]) -> Iterator[str]:
    """Its routes in all tables, those aside that the kernel makes of addresses, as the words that make them."""
    any_prefix = "::/0" if family == "-6" else "0.0.0.0/0"
    for line in run(["ip", family, "-o", "-d", "route", "show", "table", "all"]).stdout.splitlines():
        words = [word for word in line.replace("\\", " ").split() if word not in _SHOWN_ONLY]
        if not _names(words, "dev", name) or (_names(words, "proto", "kernel") and words[1] not in bare):
            continue
        words = _renamed(words, ("dev",), name)
        if words[1] == "default":
            words[1] = any_prefix
        yield re.sub(r"expires (\d+)sec", r"expires \1", " ".join(words))


def _prefixes6(name: str) -> Iterator[str]:
    """The routes that the kernel made of addresses with a lifetime: they stay behind when the address goes."""
    for line in run(
        ["ip", "-6", "-o", "route", "show", "table", "main", "proto", "kernel", "dev", name]
    ).stdout.splitlines():
        words = line.split()
        if "expires" in words:
            yield f"{words[0]} dev % proto kernel"


def _rules(name: str, family: str) -> Iterator[str]:
    """The rules that name it."""
    for line in run(["ip", family, "rule", "show"]).stdout.splitlines():
        priority, _, rest = line.partition(":")
        words = [word for word in rest.split() if word != "[detached]"]
        if _names(words, "iif", name) or _names(words, "oif", name):
            words = _renamed(words, ("iif", "oif"), name)
            yield f"priority {priority} {' '.join(words)}"


def _names(words: list[str], key: str, value: str) -> bool:
    return any(one == key and other == value for one, other in pairwise(words))


def _renamed(words: list[str], keys: tuple[str, ...], name: str) -> list[str]:
    pairs = zip(["", *words], words, strict=False)
    return ["%" if before in keys and word == name else word for before, word in pairs]


def _settings(name: str) -> Iterator[tuple[str, str]]:
    """All of them: a new bridge of ours has some of its own."""
    for family, keys in _SETTINGS.items():
        for key in keys:
            if value := _setting(f"{family}/conf/{name}/{key}"):
                yield f"net/{family}/conf/%/{key}", value


def _setting(path: str) -> str:
    try:
        return (_SYS / path).read_text(encoding="ascii").strip()
    except OSError:
        return ""


# --- what is known of one that is there


def _saved(layout: Layout, network: str) -> Uplink | None:
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        one: Resource = codec.decode(files.read_json(layout.uplink(network) / "resource.json"))
        return one if isinstance(one, Uplink) else None
    return None


def _merged(now: Carried, before: Carried) -> Carried:
    """Half a way forth: what is on the bridge, and what is nowhere yet."""

    def joined(here: tuple[str, ...], there: tuple[str, ...]) -> tuple[str, ...]:
        known = {_identity(words) for words in here}
        return (*here, *(words for words in there if _identity(words) not in known))

    return replace(
        now,
        addresses=joined(before.addresses, now.addresses),  # in their first order: the first address is the primary one
        routes=joined(now.routes, before.routes),
        rules=joined(now.rules, before.rules),
        rules6=joined(now.rules6, before.rules6),
        ipv6=before.ipv6,
    )


def _relabelled(now: Carried, before: Carried) -> Carried:
    """An address that came over without its label goes back with it."""
    labels = {words.split()[0]: words for words in before.addresses if " label " in words}

    def labelled(words: str) -> str:
        old = labels.get(words.split(maxsplit=1)[0])
        if old is None or " label " in words:
            return words
        return words.replace(" dev %", f" label {old.split(' label ')[1].split()[0]} dev %")

    return replace(now, addresses=tuple(map(labelled, now.addresses)))


def _identity(words: str) -> str:
    return re.sub(r" (expires|valid_lft|preferred_lft) \d+", "", words)


def _stranded(layout: Layout, network: str, one: Uplink, table: list[link.Row]) -> Carried:
    """What somebody left on the bridge who took the NIC out of it; nothing if it was put back, or never moved."""
    folder = layout.uplink(network)
    ended = files.read_json(folder / "ended")
    if (isinstance(ended, dict) and ended.get("back")) or not (folder / "moved").exists():
        return Carried()
    there = any(row["ifname"] == one.bridge for row in table)
    return _merged(read_carried(one.bridge, table), one.carried) if there else one.carried


def _bridge_key(row: link.Row, lab: str) -> str | None:
    key = link.parse_alias(row, lab)
    return key if key and key.startswith("bridge/") else None


# --- what stands against it


def _fault(row: link.Row, table: list[link.Row], lab: str) -> tuple[str, str]:
    """Why a NIC cannot be an uplink, and what to do instead; two empty texts if it can."""
    checks: tuple[Callable[[link.Row, list[link.Row]], tuple[str, str]], ...] = (
        _wrong_sort,
        _has_guests_of_its_own,
    )
    master = row.get("master")
    if master:
        alias = next((one.get("ifalias", "") for one in table if one["ifname"] == master), "")
        return ("", "") if alias.startswith(f"{MARK}:{lab}:bridge/") else _enslaved(master, alias, table)
    return next((found for check in checks if (found := check(row, table))[0]), ("", ""))


def _wrong_sort(row: link.Row, table: list[link.Row]) -> tuple[str, str]:
    name, kind = row["ifname"], row.get("linkinfo", {}).get("info_kind", "")
    if is_wireless(name):
        return (
            f"{name} is Wi-Fi: an access point takes frames from the MAC it knows alone, so it cannot be enslaved",
            "`kind: routed` with `proxy_arp: true` and a part of its subnet where nobody is; or `forwards:`",
        )
    if kind == "bridge":
        return f"{name} is a bridge itself", "plug in the Ethernet NIC, not a bridge"
    if row.get("link_type") != "ether":
        return f"{name} is no Ethernet NIC (it is {row.get('link_type')})", "forward ports to the guests (`forwards:`)"
    return "", ""


def is_wireless(name: str, sys_class_net: Path = Path("/sys/class/net"), proc_net: Path = Path("/proc/net")) -> bool:
    """By cfg80211's mark in sysfs, or by the table of the older wireless extensions."""
    if (sys_class_net / name / "phy80211").exists():
        return True
    with suppress(OSError):
        return re.search(rf"^\s*{re.escape(name)}:", (proc_net / "wireless").read_text(), re.MULTILINE) is not None
    return False


def _enslaved(master: str, alias: str, table: list[link.Row]) -> tuple[str, str]:
    if alias.startswith(f"{MARK}:"):
        _, other, key = alias.split(":", 2)
        what = f"it is the uplink of network `{key.partition('/')[2]}` of lab `{other}`"
        return what, f"one NIC, one lab: put the guests into that lab, or `qlan down -l {other}` first"
    kind = next((one.get("linkinfo", {}).get("info_kind", "") for one in table if one["ifname"] == master), "")
    if kind == "bond":
        return f"it is a port of the bond {master}", f"write `uplink: {master}`"
    return (
        f"it is a port of {kind or 'the device'} {master} already",
        "take it out there first: ip link set dev NIC nomaster",
    )


def _has_guests_of_its_own(row: link.Row, table: list[link.Row]) -> tuple[str, str]:
    """An interface has one receive handler (netdev_rx_handler_register): a bridge's, or a macvlan's."""
    for one in table:
        kind = one.get("linkinfo", {}).get("info_kind", "")
        if one.get("link") == row["ifname"] and kind in ("macvlan", "macvtap", "ipvlan", "ipvtap"):
            return (
                f"the {kind} {one['ifname']} sits on it: the kernel allows one or the other",
                f"remove {one['ifname']} first",
            )
    return "", ""


def _has_dhcp_client(row: link.Row) -> tuple[str, str]:
    """Who would take the bridge's addresses back to the NIC within minutes."""
    client = _dhcp_client(row["ifname"])
    if client:
        return (
            f"{client} renews its address, and would put it back on the NIC",
            "end it (the address stays until its lease is over), and start it again on the bridge after `qlan up`",
        )
    return "", ""


def find_ending(one: Uplink) -> list[tuple[str, int]]:
    """This machine's IPv4 addresses there that end, as `ADDRESS/LENGTH`, with the seconds left, if nobody renews them.

    It had them by DHCP; who renewed them on the NIC knows nothing of the bridge.
    """
    rows = [row for row in parse_json(run(["ip", "-j", "-4", "address", "show"]).stdout or "[]") if row]
    place = next((row for row in rows if row["ifname"] == one.bridge), None)
    if place is None or _dhcp_client(one.bridge) or (_is_machine_network() and manager.is_managed(place["ifindex"])):
        return []
    return [
        (f"{address['local']}/{address['prefixlen']}", address["valid_life_time"])
        for address in place["addr_info"]
        if address.get("valid_life_time", _FOREVER) != _FOREVER
    ]


def _is_machine_network() -> bool:
    """Whether this is the network namespace of the first process: those state files speak of its interfaces."""
    try:
        return Path("/proc/self/ns/net").readlink() == Path("/proc/1/ns/net").readlink()
    except OSError:
        return True


def _dhcp_client(name: str) -> str:
    """A DHCP client in this network namespace that has the NIC on its command line."""
    here = Path("/proc/self/ns/net").readlink()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            program = Path(words[0]).name
            if program in ("dhclient", "dhcpcd", "udhcpc") and name in words and (entry / "ns/net").readlink() == here:
                return f"{program} (process {entry.name})"
    return ""

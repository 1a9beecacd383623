"""Links and addresses as they are: `ip -j -d address`, one call a namespace, read into resources by our marks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from pathlib import Path
from typing import Any

from msgspec.json import decode as parse_json

from qlan.host.run import run
from qlan.names import GOING, MARK, link_group
from qlan.resources.model import Address, Bridge, Ifb, Macvlan, Macvtap, Resource, Tap, Trunk
from qlan.values import Value, replace

Row = dict[str, Any]  # one link of `ip -j -d address show`


class Intents(Value):
    """Links that the lab has or was about to get when we were stopped: by interface name, their key.

    A link gets its mark only after it exists, and somebody may take it off; then it is known by this, and by the lab's
    group.
    """

    names: Mapping[str, str]
    group: str


def rows(enter: Sequence[str]) -> list[Row]:
    """All links of a namespace with their addresses.  enter: the words of nsenter, or none."""
    text = run(words(enter)).stdout
    # iproute2 prints empty objects for links that a filter left out
    return [row for row in parse_json(text or "[]") if row]


def words(enter: Sequence[str]) -> list[str]:
    """What is run for `rows`."""
    return [*enter, "ip", "-j", "-d", "address", "show"]


def removal(names: Sequence[str], lab: str) -> list[str]:
    """Lines for `ip -batch` that remove several links at once, by a group of their own.

    One by one each costs the kernel a grace period (16 to 40 ms); so they share it.
    """
    group = link_group(lab) + GOING
    return [*(f"link set dev {name} group {group}" for name in names), f"link del group {group}"]


def parse_alias(row: Row, lab: str) -> str | None:
    """The key of a link's resource if it carries this lab's mark."""
    head = f"{MARK}:{lab}:"
    alias = str(row.get("ifalias", ""))
    return alias.removeprefix(head) if alias.startswith(head) else None


def key_of(row: Row, lab: str, intents: Intents) -> str | None:
    """The key of a link's resource, if it is ours."""
    key = parse_alias(row, lab)
    if key is None and not row.get("ifalias") and row.get("group") == intents.group:
        key = intents.names.get(str(row["ifname"]))
    return key


def parse(tables: Mapping[str, list[Row]], lab: str, intents: Intents) -> Iterator[Resource]:
    """The lab's bridges, TAPs and addresses out of the links of its namespaces (by namespace key)."""
    for namespace, table in tables.items():
        networks = {
            row["ifname"]: _branch(key)
            for row in table
            if (key := key_of(row, lab, intents)) and key.startswith(("bridge/", "branch/"))
        }
        yield from _trunks(table, lab, intents, namespace)
        for row in table:
            key = key_of(row, lab, intents)
            kind, _, name = (key or "").partition("/")
            if kind == "bridge":
                yield _bridge(row, name, namespace)
                yield from _addresses(row, f"bridge/{name}", namespace)
            elif kind == "branch":
                network, number = _branch(key or "")
                yield replace(_bridge(row, network, namespace), branch=number)
            elif kind == "tap":
                yield _tap(row, name, namespace, networks)
            elif kind == "macvtap":
                yield _macvtap(row, name, namespace)
            elif kind == "macvlan":
                yield Macvlan(name, *_above(row), namespace)
                yield from _addresses(row, key or "", namespace)
            elif kind == "ifb":
                guest, _, index = name.rpartition("/")
                yield Ifb(guest, int(index), row["ifname"], namespace, _is_up(row) and _is_marked(row))


def has_ipv6(name: str) -> bool:
    """Whether IPv6 is on, for a link of the machine's own: it may have no address yet."""
    try:
        return Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").read_text(encoding="ascii").strip() == "0"
    except OSError:
        return False


def _macvtap(row: Row, name: str, namespace: str) -> Macvtap:
    guest, _, index = name.rpartition("/")
    own, uplink, mac, mtu, up = _above(row)
    mode = row.get("linkinfo", {}).get("info_data", {}).get("mode", "")
    return Macvtap(guest, int(index), own, uplink, mode, mac, mtu, up, namespace)


def _above(row: Row) -> tuple[str, str, str, int, bool]:
    """Name, uplink, MAC, MTU, and whether it is up and finished."""
    return row["ifname"], row.get("link", ""), row.get("address", ""), row["mtu"], _is_up(row) and _is_marked(row)


def _bridge(row: Row, network: str, namespace: str) -> Bridge:
    data = row.get("linkinfo", {}).get("info_data", {})
    return Bridge(
        network,
        row["ifname"],
        row.get("address", ""),
        namespace,
        mtu_bytes=row["mtu"],
        up=_is_up(row) and _is_marked(row),
        stp=bool(data.get("stp_state")),
        forward_delay_cs=data.get("forward_delay", 0),
        hello_time_cs=data.get("hello_time", 0),
        max_age_cs=data.get("max_age", 0),
        ipv6=any(one.get("family") == "inet6" for one in row.get("addr_info", ())),
        multicast_snooping=bool(data.get("mcast_snooping")),
        multicast_querier=bool(data.get("mcast_querier")),
        vlan_filtering=bool(data.get("vlan_filtering")),
    )


def _branch(key: str) -> tuple[str, int]:
    """Of which network the bridge of this key is, and which of its bridges."""
    _, network, *number = key.split("/")
    return network, int(number[0]) if number else 0


def _trunks(table: Sequence[Row], lab: str, intents: Intents, namespace: str) -> Iterator[Trunk]:
    """The veth pairs of a namespace; one of which an end is gone, or not finished, is not whole."""
    ends: dict[str, dict[str, Row]] = {}
    for row in table:
        kind, *words = (key_of(row, lab, intents) or "").split("/")
        if kind == "trunk":
            network, number, *rest = words
            ends.setdefault(f"{network}/{number}", {})["far" if rest else "near"] = row
    for name, pair in ends.items():
        network, _, number = name.partition("/")
        near, far = pair.get("near", {}), pair.get("far", {})
        yield Trunk(
            network,
            int(number),
            near.get("ifname", ""),
            far.get("ifname", ""),
            near.get("master", ""),
            far.get("master", ""),
            namespace,
            min(row["mtu"] for row in pair.values()),
            up=all(_is_up(row) for row in pair.values()),
            isolated=_is_isolated(near),
            whole=len(pair) == 2 and all(_is_marked(row) for row in pair.values()),
        )


def _is_isolated(row: Row) -> bool:
    return bool(row.get("linkinfo", {}).get("info_slave_data", {}).get("isolated"))


def _tap(row: Row, name: str, namespace: str, networks: Mapping[str, tuple[str, int]]) -> Tap:
    guest, _, index = name.rpartition("/")
    bridge = row.get("master", "")
    network, branch = networks.get(bridge, ("", 0))
    return Tap(
        guest,
        int(index),
        row["ifname"],
        network,
        bridge,
        namespace,
        row["mtu"],
        _is_up(row) and _is_marked(row),
        isolated=_is_isolated(row),
        branch=branch,
    )


def _addresses(row: Row, link_key: str, namespace: str) -> Iterator[Resource]:
    """Of both families; the kernel's own link-local one aside."""
    for one in row.get("addr_info", ()):
        text = f"{one.get('local')}/{one.get('prefixlen')}"
        if one.get("family") == "inet":
            peer = one.get("address")  # of a point-to-point address, whose prefix is the peer's then
            interface = IPv4Interface(f"{one.get('local')}/32" if peer else text)
            yield Address(link_key, row["ifname"], interface, namespace, IPv4Address(peer) if peer else None)
        elif one.get("family") == "inet6" and one.get("scope") != "link":
            yield Address(link_key, row["ifname"], IPv6Interface(text), namespace)


def _is_marked(row: Row) -> bool:
    """A link of ours without its mark is not finished: what sets it up marks it."""
    return bool(row.get("ifalias"))


def _is_up(row: Row) -> bool:
    return "UP" in row.get("flags", ())

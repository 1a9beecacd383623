"""Links and addresses as they are: `ip -j -d address`, one call a namespace, read into resources by our marks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import Any

from qlan.host.run import run
from qlan.names import MARK
from qlan.resources.model import Address, Bridge, Resource, Tap

Row = dict[str, Any]  # one link of `ip -j -d address show`


@dataclass(frozen=True, slots=True)
class Intents:
    """Links that the lab has or was about to get when we were stopped: by interface name, their key.

    A link gets its mark only after it exists, and somebody may take it off; then it is known by this, and by the lab's
    group.
    """

    names: Mapping[str, str]
    group: str


def rows(enter: Sequence[str]) -> list[Row]:
    """All links of a namespace with their addresses.  enter: the words of nsenter, or none."""
    text = run([*enter, "ip", "-j", "-d", "address", "show"]).stdout
    # iproute2 prints empty objects for links that a filter left out
    return [row for row in json.loads(text or "[]") if row]


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
            row["ifname"]: key.partition("/")[2]
            for row in table
            if (key := key_of(row, lab, intents)) and key.startswith("bridge/")
        }
        for row in table:
            key = key_of(row, lab, intents)
            kind, _, name = (key or "").partition("/")
            if kind == "bridge":
                yield _bridge(row, name, namespace)
                yield from _addresses(row, f"bridge/{name}", namespace)
            elif kind == "tap":
                yield _tap(row, name, namespace, networks)


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
        ipv6=any(one.get("family") == "inet6" for one in row.get("addr_info", ())),
        multicast_snooping=bool(data.get("mcast_snooping")),
    )


def _tap(row: Row, name: str, namespace: str, networks: Mapping[str, str]) -> Tap:
    guest, _, index = name.rpartition("/")
    bridge = row.get("master", "")
    return Tap(
        guest,
        int(index),
        row["ifname"],
        networks.get(bridge, ""),
        bridge,
        namespace,
        row["mtu"],
        _is_up(row) and _is_marked(row),
    )


def _addresses(row: Row, link_key: str, namespace: str) -> Iterator[Resource]:
    for one in row.get("addr_info", ()):
        if one.get("family") == "inet":
            interface = IPv4Interface(f"{one['local']}/{one['prefixlen']}")
            yield Address(link_key, row["ifname"], interface, namespace)


def _is_marked(row: Row) -> bool:
    """A link of ours without its mark is not finished: what sets it up marks it."""
    return bool(row.get("ifalias"))


def _is_up(row: Row) -> bool:
    return "UP" in row.get("flags", ())

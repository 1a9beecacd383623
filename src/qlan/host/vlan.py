"""VLANs of bridges and their ports as they are: `bridge -j vlan show`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.json import decode as parse_json

from qlan.host.run import run
from qlan.resources.model import Bridge, Resource, Tap, Trunk
from qlan.values import replace

Ports = Mapping[str, Sequence[Mapping[str, Any]]]  # by interface name, as `bridge` prints them


def read(enter: Sequence[str]) -> Ports:
    """What is said of each link of a namespace.  enter: the words of nsenter, or none."""
    return parse(run([*enter, "bridge", "-j", "vlan", "show"]).stdout)


def parse(text: str) -> Ports:
    """The same from the text that `bridge` prints."""
    return {row["ifname"]: row.get("vlans", ()) for row in parse_json(text or "[]")}


def fill(ports: Ports, found: Mapping[str, Resource]) -> Iterator[Resource]:
    """The bridges that look at VLANs, and their TAPs and trunks, with what they have."""
    bridges = {one.name: one for one in found.values() if isinstance(one, Bridge) and one.vlan_filtering}
    for one in found.values():
        rows = ports.get(one.name, ()) if isinstance(one, Bridge | Tap) else ()
        if isinstance(one, Bridge) and one.name in bridges:
            yield replace(one, vlan=_untagged(rows) or 0)
        elif isinstance(one, Tap) and one.bridge in bridges:
            yield replace(one, vlan=_untagged(rows), trunk=_tagged(rows))
        elif isinstance(one, Trunk) and one.bridge in bridges:
            near, far = ports.get(one.near, ()), ports.get(one.far, ())
            same = _tagged(near) == _tagged(far) and _untagged(near) is _untagged(far) is None
            yield replace(one, vlans=_tagged(near), whole=one.whole and same)


def _untagged(rows: Sequence[Mapping[str, Any]]) -> int | None:
    return next((int(row["vlan"]) for row in rows if "PVID" in row.get("flags", ())), None)


def _tagged(rows: Sequence[Mapping[str, Any]]) -> tuple[tuple[int, int], ...]:
    """Everything else, neighbours together: a VLAN that leaves untagged and does not come in so is nobody's wish."""
    found: list[tuple[int, int]] = []
    for row in rows:
        if "PVID" in row.get("flags", ()):
            continue
        first, last = int(row["vlan"]), int(row.get("vlanEnd", row["vlan"]))
        if found and found[-1][1] + 1 == first:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return tuple(found)

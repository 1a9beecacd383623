"""Port maps as the kernel has them: their rules, and which ports are in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec.json import decode as parse_json

from qlan.host import files
from qlan.host.packet import steady
from qlan.host.run import run
from qlan.render import port_map
from qlan.resources.model import PortMap, PublishedPort, Resources
from qlan.values import replace

Elements = dict[tuple[str, tuple[str | int, ...]], tuple[str | int, ...]]  # (map, key) to target


def words(one: PortMap) -> list[str]:
    """What is run to read it."""
    return ["nft", "-j", "list", "table", "inet", port_map.table(one.lab, one.network)]


def read(known: Iterable[PortMap], ports: Mapping[str, PublishedPort], listings: Mapping[str, Path]) -> Resources:
    """The maps that are there, and the ports, each as led by its map or by the relay alone.

    listings: by key, how the kernel listed the rules when they were made.  A map is intact if it has no port that is
    not among these.
    """
    found: Resources = {}
    led = {key: replace(one, portmap="") for key, one in ports.items()}
    for one in known:
        done = run(words(one), ok=(0, 1))
        if done.returncode:
            continue
        rows = _rows(done.stdout)
        elements = _elements(rows)
        for key, port in ports.items():
            if port.network != one.network:
                continue
            named, target = port_map.element(port)
            place = (port_map.name_of_map(port), named)
            if elements.get(place) == target:
                led[key] = replace(port, portmap=one.key)
                del elements[place]
        intact = not elements and steady(_bare(rows)) == steady(_bare(_rows(files.read_text(listings[one.key]))))
        found[one.key] = replace(one, intact=intact)
    return found | led


def _rows(text: str) -> list[dict[str, Any]]:
    with suppress(ValueError):
        return [row for row in parse_json(text)["nftables"] if "metainfo" not in row]
    return []


def _bare(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the ports: those come and go."""
    return [{"map": {key: value for key, value in row["map"].items() if key != "elem"}} if "map" in row else row
            for row in rows]  # fmt: skip


def _elements(rows: list[dict[str, Any]]) -> Elements:
    """As libnftables-json(5) has them: pairs of two concatenations."""
    return {
        (row["map"]["name"], tuple(key["concat"])): tuple(target["concat"])
        for row in rows
        if "map" in row
        for key, target in row["map"].get("elem", ())
    }

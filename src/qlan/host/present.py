"""What of a lab is there: its namespaces, links, servers and machines, read from the kernel and from our records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qlan import names
from qlan.host import files, link, process
from qlan.host.namespace import find_holder
from qlan.render.enter import counted_in, enter
from qlan.render.layout import Layout
from qlan.resources import codec
from qlan.resources.model import (
    HOST,
    Address,
    Bridge,
    Dnsmasq,
    Machine,
    Namespace,
    Nic,
    Resource,
    Resources,
    Tap,
    TapBackend,
)


def read(layout: Layout, known: Mapping[str, Resource], intents: Iterable[Resource] = ()) -> Resources:
    """The lab's resources that are there now, by key.

    known: what was wanted last (it tells which namespaces to look into).  intents: what was being made when we were
    stopped last time.
    """
    being_made = list(intents)
    everything = [*known.values(), *being_made]
    namespaces = _namespaces(layout, everything)
    tables = _tables(layout, namespaces, everything)
    found: Resources = {key: replace(one, loopback_up=_has_loopback(tables[key])) for key, one in namespaces.items()}
    found.update(_links(layout, tables, being_made))
    found.update(_servers(layout, namespaces, found))
    found.update(_machines(layout, found))
    for key, one in found.items():
        if isinstance(one, Tap) and f"machine/{one.guest}" not in found:
            found[key] = replace(one, held=False)
    return found


def _namespaces(layout: Layout, known: Iterable[Resource]) -> dict[str, Namespace]:
    wanted = {one.key: one for one in known if isinstance(one, Namespace)}
    return {key: one for key, one in wanted.items() if find_holder(layout, key) is not None}


def _tables(layout: Layout, namespaces: Mapping[str, Namespace], known: list[Resource]) -> dict[str, list[link.Row]]:
    """The links of the lab's namespaces, by their keys; in the host realm those of the machine too."""
    rootless = any(one.user for one in namespaces.values())
    tables: dict[str, list[link.Row]] = {}
    on_host = not any(isinstance(one, Namespace) and one.user for one in known)
    if on_host and any(not isinstance(one, Machine | Nic) for one in known):
        tables[HOST] = link.rows(())
    for key in namespaces:
        pid = find_holder(layout, key)
        words = [word.replace(f"@{key}@", str(pid)) for word in enter(key, rootless=rootless)]
        tables[key] = link.rows(words) if pid is not None else []
    return tables


def _has_loopback(table: list[link.Row]) -> bool:
    return any(row["ifname"] == "lo" and "UP" in row["flags"] for row in table)


def _links(layout: Layout, tables: Mapping[str, list[link.Row]], being_made: list[Resource]) -> Resources:
    making = {one.name: one.key for one in being_made if isinstance(one, Bridge | Tap)}
    intents = link.Intents(making, str(names.link_group(layout.lab)))
    return {one.key: one for one in link.parse(tables, layout.lab, intents)}


def _servers(layout: Layout, namespaces: Mapping[str, Namespace], found: Resources) -> Resources:
    servers: Resources = {}
    rootless = any(one.user for one in namespaces.values())
    for folder in _folders(layout.run / "dnsmasq"):
        server = _decoded(files.read_json(folder / "resource.json"))
        if not isinstance(server, Dnsmasq) or find_server(layout, server, rootless=rootless) is None:
            continue
        address = found.get(f"address/{server.interface}/{server.address}")
        bound = isinstance(address, Address) and address.namespace == server.namespace
        servers[server.key] = replace(server, bound=bound)
    return servers


def find_server(layout: Layout, server: Dnsmasq, *, rootless: bool) -> int | None:
    """The process id of a network's dnsmasq, or None."""
    folder = layout.dnsmasq(server.network)
    counted = counted_in(server.namespace, rootless=rootless)
    inside = find_holder(layout, counted) if counted != HOST else None
    return process.find_recorded(folder / "pid", mark=str(folder / "conf"), inside=inside)


def find_machine(layout: Layout, guest: str) -> int | None:
    """The process id of a guest's QEMU, or None."""
    return process.find_recorded(layout.guest(guest) / "process")


def _machines(layout: Layout, found: Resources) -> Resources:
    """The machines that run, with their NICs and forwards as they were started.

    A NIC whose TAP is gone (somebody deleted the link) is not there any more, whatever QEMU believes.
    """
    there: Resources = {}
    for folder in _folders(layout.run / "guest"):
        if find_machine(layout, folder.name) is None:
            continue
        for data in files.read_json(folder / "guest.json") or ():
            one = _decoded(data)
            cut = isinstance(one, Nic) and isinstance(one.backend, TapBackend) and one.backend.tap not in found
            if one is not None and not cut:
                there[one.key] = one
    return there


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in path.iterdir() if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _decoded(data: Any) -> Resource | None:
    try:
        return codec.decode(data)
    except (ValueError, KeyError, TypeError):
        return None

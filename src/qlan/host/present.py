"""What of a lab is there: its namespaces, links, servers and machines, read from the kernel and from our records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

from qlan import names
from qlan.host import files, link, process
from qlan.host.namespace import find_holder
from qlan.render.enter import REALM, enter
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
    everything = [*known.values(), *intents]
    namespaces = _namespaces(layout, everything)
    tables = _tables(layout, namespaces, everything)
    found: Resources = {key: replace(one, loopback_up=_has_loopback(tables[key])) for key, one in namespaces.items()}
    found.update(_links(layout, tables, everything))
    found.update(_servers(layout, namespaces, everything, found))
    found.update(_machines(layout, everything, found))
    for key, one in found.items():
        if isinstance(one, Tap) and f"machine/{one.guest}" not in found:
            found[key] = replace(one, held=False)
    return found


def _namespaces(layout: Layout, known: Iterable[Resource]) -> dict[str, Namespace]:
    """Those that are known of, and those of which only the record of the holder is left."""
    wanted = {one.key: one for one in known if isinstance(one, Namespace)}
    recorded = [f"namespace/{path.name}" for path in _entries(layout.run / "namespace")]
    parent = REALM if REALM in wanted or REALM in recorded else HOST
    for key in recorded:
        name = key.partition("/")[2]
        wanted.setdefault(key, Namespace(name, user=True) if key == REALM else Namespace(name, parent=parent))
    there = {key: one for key, one in wanted.items() if find_holder(layout, key) is not None}
    return {key: one for key, one in there.items() if one.parent == HOST or one.parent in there}  # else it is dying


def _tables(layout: Layout, namespaces: Mapping[str, Namespace], known: list[Resource]) -> dict[str, list[link.Row]]:
    """The links of the lab's namespaces, by their keys; in the host realm those of the machine too."""
    rootless = any(one.user for one in namespaces.values())
    tables: dict[str, list[link.Row]] = {}
    on_host = not any(isinstance(one, Namespace) and one.user for one in [*known, *namespaces.values()])
    is_lost = not known and layout.run.exists()  # what was wanted last: anything may be there
    if on_host and (is_lost or any(not isinstance(one, Machine | Nic) for one in known)):
        tables[HOST] = link.rows(())
    for key in namespaces:
        pid = find_holder(layout, key)
        words = [word.replace(f"@{key}@", str(pid)) for word in enter(key, rootless=rootless)]
        tables[key] = link.rows(words) if pid is not None else []
    return tables


def _has_loopback(table: list[link.Row]) -> bool:
    return any(row["ifname"] == "lo" and "UP" in row["flags"] for row in table)


def _links(layout: Layout, tables: Mapping[str, list[link.Row]], known: list[Resource]) -> Resources:
    ours = {one.name: one.key for one in known if isinstance(one, Bridge | Tap)}
    intents = link.Intents(ours, str(names.link_group(layout.lab)))
    return {one.key: one for one in link.parse(tables, layout.lab, intents)}


def _servers(
    layout: Layout, namespaces: Mapping[str, Namespace], known: Iterable[Resource], found: Resources
) -> Resources:
    servers: Resources = {}
    for name in _names(layout.run / "dnsmasq", (one.network for one in known if isinstance(one, Dnsmasq))):
        server = _decoded(files.read_json(layout.dnsmasq(name) / "resource.json"))
        if not isinstance(server, Dnsmasq):
            server = _unknown_server(layout, name, namespaces)
        if find_server(layout, server) is None:
            continue
        address = found.get(f"address/{server.interface}/{server.address}")
        bound = isinstance(address, Address) and address.namespace == server.namespace
        servers[server.key] = replace(server, bound=bound)
    return servers


def _unknown_server(layout: Layout, network: str, namespaces: Mapping[str, Namespace]) -> Dnsmasq:
    """One that runs, and nobody knows how any more: good for being ended."""
    own = f"namespace/{network}"
    inside = own if own in namespaces else REALM if REALM in namespaces else HOST
    return Dnsmasq(network, "", "", IPv4Interface("0.0.0.0/0"), layout.lab, inside, bound=False)


def find_server(layout: Layout, server: Dnsmasq) -> int | None:
    """The process id of a network's dnsmasq, or None."""
    folder = layout.dnsmasq(server.network)
    inside = find_holder(layout, server.namespace) if server.namespace != HOST else None
    return process.find_recorded(folder / "pid", mark=layout.server_mark(server.network), inside=inside)


def find_machine(layout: Layout, guest: str) -> int | None:
    """The process id of a guest's QEMU, or None."""
    return process.find_recorded(layout.guest(guest) / "process", mark=layout.machine_mark(guest))


def _machines(layout: Layout, known: Iterable[Resource], found: Resources) -> Resources:
    """The machines that run, with their NICs and forwards as they were started.

    A NIC whose TAP is gone (somebody deleted the link) is not there any more, whatever QEMU believes.  A machine of
    which nobody knows any more how it was started is there all the same, like no machine that can be wanted.
    """
    there: Resources = {}
    for guest in _names(layout.run / "guest", (one.guest for one in known if isinstance(one, Machine))):
        if find_machine(layout, guest) is None:
            continue
        unknown = Machine(guest, layout.lab, "", "", "", 0, 0)
        there[unknown.key] = unknown
        data = files.read_json(layout.guest(guest) / "guest.json")
        for one in map(_decoded, data if isinstance(data, list) else ()):
            cut = isinstance(one, Nic) and isinstance(one.backend, TapBackend) and one.backend.tap not in found
            if one is not None and not cut:
                there[one.key] = one
    return there


def _names(path: Path, known: Iterable[str]) -> list[str]:
    """What has a folder there, and what should have one though somebody removed it."""
    if not path.parent.exists():
        return []
    return sorted({entry.name for entry in _entries(path)}.union(known))


def _entries(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _decoded(data: Any) -> Resource | None:
    try:
        return codec.decode(data)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None

"""What listens for a lab: relay and outlet with their ports, and the maps that lead most callers past the relay."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from qlan.errors import HostError
from qlan.host import files, process
from qlan.host.namespace import find_holder
from qlan.render.layout import Layout
from qlan.resources import codec
from qlan.resources.model import (
    HOST,
    DhcpRelay,
    Outlet,
    PortMap,
    PublishedPort,
    Relay,
    Resource,
    Resources,
    ReversePort,
)
from qlan.values import replace


def read(layout: Layout, known: list[Resource], *, inside: str) -> Resources:
    """What is there.  inside: the namespace of a relay that nobody knows any more."""
    return _ports(layout, known, inside) | _outlet(layout, known)


def programs(known: Iterable[Resource]) -> Iterator[tuple[Sequence[str], str]]:
    """What will be run to read these, words and standard input, as far as it can be told beforehand."""
    maps = [one for one in known if isinstance(one, PortMap)]
    if maps:
        from qlan.host import port_map  # what few labs have; `qlan status` would pay for it

        yield from ((port_map.words(one), "") for one in maps)


def _ports(layout: Layout, known: list[Resource], inside: str) -> Resources:
    """The relay with its ports, and the maps that lead most callers past it."""
    found = _relay(layout, known, inside)
    maps = {one.key: one for one in known if isinstance(one, PortMap)}
    for entry in files.entries(layout.run / "portmap"):
        one = codec.find(files.read_json(entry / "resource.json"))
        if isinstance(one, PortMap):
            maps[one.key] = one
    ports = {key: one for key, one in found.items() if isinstance(one, PublishedPort)}
    if not maps:
        return found | {key: replace(one, portmap="") for key, one in ports.items()}
    from qlan.host import port_map  # what few labs have; `qlan status` would pay for it

    listings = {one.key: layout.port_map(one.network) / "listing.json" for one in maps.values()}
    return found | port_map.read(maps.values(), ports, listings)


def _relay(layout: Layout, known: Iterable[Resource], inside: str) -> Resources:
    """The relay and the ports on which it says that it listens."""
    one = next((one for one in known if isinstance(one, Relay)), None)
    if one is None and not layout.relay.exists():
        return {}
    from qlan.host import relay  # what few labs have; `qlan status` would pay for it

    pid = relay.find(layout)
    if pid is None:
        return {}
    uid = process.owner(pid)
    run_as = None if uid == os.geteuid() else uid
    one = replace(one or Relay(layout.lab, inside), run_as=run_as)
    try:
        noted = _hearing(relay.ports(layout.relay))
    except HostError:
        return {one.key: replace(one, answers=False)}
    there: Resources = {one.key: replace(one, answers=True)}
    return there | {port.key: port for port in noted if isinstance(port, PublishedPort | DhcpRelay)}


def _hearing(ports: Iterable[Mapping[str, Any]]) -> list[Resource | None]:
    """What a relay listens on; not what hears nothing because its link is gone, or has got another name."""
    noted = ((codec.find(port["note"]), port["link"]) for port in ports)
    return [one for one, link in noted if (getattr(one, "link", "") or link) == link]


def _outlet(layout: Layout, known: Iterable[Resource]) -> Resources:
    """The outlet and its ports.  One that is older than the lab's network has sockets in what was there before."""
    if not layout.outlet.exists():
        return {}
    from qlan.host import relay  # what few labs have; `qlan status` would pay for it

    one = next((one for one in known if isinstance(one, Outlet)), Outlet(layout.lab))
    pid = relay.find_outlet(layout)
    stat = process.find_stat(pid) if pid is not None else None
    try:
        noted = _hearing(relay.ports(layout.outlet)) if stat else []
    except HostError:
        stat = None
    if stat is None:
        return {one.key: replace(one, answers=False)}  # only its folder is left, or it hangs
    ports = [port for port in noted if isinstance(port, ReversePort)]
    holders = [process.find_stat(find_holder(layout, key) or 0) for key in {port.namespace for port in ports} - {HOST}]
    is_current = all(holder is not None and holder.start <= stat.start for holder in holders)
    there: Resources = {one.key: replace(one, answers=is_current)}
    return there | {port.key: port for port in ports}

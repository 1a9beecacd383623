"""systemd-resolved, where it runs: what it knows of links."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path

from qlan.host.run import find_tool, run
from qlan.resources.model import LinkDns
from qlan.values import replace

_SOCKET = Path("/run/systemd/resolve/io.systemd.Resolve")  # its Varlink service; the folder outlives it
_WAIT_S = 2.0


def is_running() -> bool:
    """Whether it answers, and there is a resolvectl to speak to it."""
    if not _SOCKET.exists() or find_tool("resolvectl") is None:
        return False
    with suppress(OSError), socket.socket(socket.AF_UNIX) as one:
        one.settimeout(_WAIT_S)
        one.connect(str(_SOCKET))
        return True
    return False


def read(known: Iterable[LinkDns]) -> Iterator[LinkDns]:
    """What it has of those.  If it does not run there is nobody to be told anything: then they count as told."""
    wanted = list(known)
    if not wanted or not is_running():
        yield from wanted
        return
    servers, domains = (_words(what) for what in ("dns", "domain"))
    for one in wanted:
        if not servers.get(one.link) or not domains.get(one.link):
            continue
        server, domain = servers[one.link][0], domains[one.link][0].removeprefix("~")
        with suppress(ValueError):
            yield replace(one, server=IPv4Address(server), domain=domain)


def _words(what: str) -> dict[str, list[str]]:
    """By link, from lines like `Link 2 (br0): 10.1.1.1`."""
    found = {}
    for line in run(["resolvectl", what]).stdout.splitlines():
        head, _, rest = line.partition("): ")
        if head.startswith("Link ") and "(" in head:
            found[head.partition("(")[2]] = rest.split()
    return found

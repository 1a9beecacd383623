"""Which programs a lab needs: looked for before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable

from qlan.host import run
from qlan.resources.model import Address, Bridge, Dnsmasq, Machine, Namespace, Resource, Tap

_TOOLS: dict[type[Resource], tuple[str, ...]] = {
    Namespace: ("sh", "unshare", "nsenter", "env", "sleep"),
    Bridge: ("ip",),
    Address: ("ip",),
    Tap: ("ip",),
    Dnsmasq: ("dnsmasq",),
}


def require(resources: Iterable[Resource]) -> None:
    """MissingTool for the first one that is not installed, with the package to install."""
    wanted: dict[str, None] = {}
    for one in resources:
        wanted |= dict.fromkeys(_TOOLS.get(type(one), ()))
        if isinstance(one, Machine):
            wanted |= dict.fromkeys(("sh", one.binary, *(("setpriv",) if one.run_as is not None else ())))
    for name in wanted:
        run.tool(name)

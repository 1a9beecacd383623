"""Which programs a lab needs: looked for before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable

from qlan.host import run
from qlan.resources.model import (
    Address,
    Admission,
    Bridge,
    Dnsmasq,
    Filter,
    Ifb,
    LinkDns,
    Machine,
    Macvlan,
    Macvtap,
    Namespace,
    Outlet,
    Partition,
    Passt,
    Pasta,
    PortMap,
    ProxyNeighbor,
    Relay,
    Resource,
    Shaping,
    Tap,
    Trunk,
    Uplink,
)

_TOOLS: dict[type[Resource], tuple[str, ...]] = {
    Namespace: ("sh", "unshare", "nsenter", "env", "sleep"),
    Bridge: ("ip",),
    Trunk: ("ip",),
    Address: ("ip",),
    Uplink: ("ip", "python3"),
    Tap: ("ip",),
    Macvlan: ("ip",),
    Macvtap: ("ip",),
    Ifb: ("ip",),
    Shaping: ("tc",),
    Dnsmasq: ("dnsmasq",),
    Filter: ("nft",),
    Partition: ("nft",),
    Admission: ("nft",),
    LinkDns: ("resolvectl",),
    ProxyNeighbor: ("ip",),
    Pasta: ("pasta",),
    Passt: ("passt",),
    PortMap: ("nft",),
    Relay: ("sh",),
    Outlet: ("sh",),
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

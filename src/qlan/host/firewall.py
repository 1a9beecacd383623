"""The machine's packet filter as it is: nft's listing, and whether bridges show it their frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from msgspec.json import decode as parse_json

from qlan.firewall import Row
from qlan.host import files
from qlan.host.run import ahead, find_tool, run

_BRIDGES = {"ip": Path("/proc/sys/net/bridge/bridge-nf-call-iptables"),
            "ip6": Path("/proc/sys/net/bridge/bridge-nf-call-ip6tables")}  # fmt: skip
_LISTING = ["nft", "-j", "list", "ruleset"]
_HOOK = "DOCKER-USER"  # Docker makes it, jumps to it first and never changes what is in it


def listing_ahead() -> AbstractContextManager[None]:
    """Within, `read_listing` is being answered already, as long as nothing is changed."""
    return ahead([(_LISTING, "")])


def read_listing() -> Sequence[Row]:
    """All rules; nothing where nft is not there, or may not be asked by this user."""
    if os.geteuid() or find_tool("nft") is None:
        return []
    listing: list[Row] = parse_json(run(_LISTING).stdout or '{"nftables": []}')["nftables"]
    return listing


def bridged_families() -> tuple[str, ...]:
    """The families whose frames from port to port of a bridge are shown to the filter, too (br_netfilter)."""
    return tuple(family for family, path in _BRIDGES.items() if files.read_text(path).strip() == "1")


def read_hooks() -> tuple[tuple[str, str, str], ...]:
    """The chains in which a neighbour's packet filter leaves place for others: (family, table, chain)."""
    if os.geteuid() or find_tool("nft") is None:
        return ()
    rows = parse_json(run(["nft", "-j", "list", "chains"]).stdout or '{"nftables": []}')["nftables"]
    chains = [row["chain"] for row in rows if "chain" in row]
    return tuple((one["family"], one["table"], one["name"]) for one in chains if one["name"] == _HOOK)

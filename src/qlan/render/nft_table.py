"""A table of nftables that is all ours, as commands (nft(8)).

It is replaced in one transaction: `table X` makes it if it is not there, so that `delete table X` never fails.  How the
kernel lists it is kept: by that a later change by somebody else is seen.
"""

from __future__ import annotations

import json
from pathlib import Path

from qlan.render.command import Command, Nft, Remove, Save, Write
from qlan.resources import codec
from qlan.resources.model import Filter, Partition, PortMap


def made(
    one: Filter | Partition | PortMap, name: str, rules: str, folder: Path, *, is_there: bool = False
) -> list[Command]:
    """What it is, the table, its listing.  name: with its family.  is_there: another of that name, which goes.

    Of maps only what they are is listed: their elements come and go by themselves.
    """
    table = Nft(one.namespace, _fresh(name) + rules) if is_there else Nft(one.namespace, rules, new=name)
    return [
        Write(folder / "resource.json", json.dumps(codec.encode(one))),
        table,
        Save(one.namespace, name, folder / "listing.json", terse=isinstance(one, PortMap)),
    ]


def gone(one: Filter | Partition | PortMap, name: str, folder: Path) -> list[Command]:
    """The table, then its files."""
    return [Nft(one.namespace, _fresh(name), gone_is_fine=True), Remove(folder)]


def _fresh(name: str) -> str:
    return f"table {name}\ndelete table {name}\n"

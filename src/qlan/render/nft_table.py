"""A table of nftables that is all ours, as commands (nft(8)).

It is replaced in one transaction: `table X` makes it if it is not there, so that `delete table X` never fails.  How the
kernel lists it is kept: by that a later change by somebody else is seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from qlan.render.command import Command, Nft, Remove, Save, Write
from qlan.resources import codec
from qlan.resources.model import Filter, Partition, PortMap
from qlan.values import Value


class Table(Value):
    """name: with its family.  comment: our mark.  maps: what each has; chains: the rules of each, its hook first."""

    name: str
    comment: str
    chains: Mapping[str, Sequence[str]]
    maps: Mapping[str, str] = MappingProxyType({})

    def __str__(self) -> str:
        lines = [f"table {self.name} {{", f'\tcomment "{self.comment}"']
        lines += [f"\tmap {name} {{ {kind}; }}" for name, kind in self.maps.items()]
        for name, rules in self.chains.items():
            lines += [f"\tchain {name} {{", *(f"\t\t{rule}" for rule in rules), "\t}"]
        return "\n".join([*lines, "}"]) + "\n"


def made(
    one: Filter | Partition | PortMap, table: Table, folder: Path, *, is_there: bool = False, elements: str = ""
) -> list[Command]:
    """What it is, the table, its listing.  is_there: another of that name, which goes.  elements: lines for its maps.

    Of maps only what they are is listed: their elements come and go by themselves.
    """
    text = f"{table}{elements}"
    nft = Nft(one.namespace, text, new=table.name, comment=table.comment)
    return [
        Write(folder / "resource.json", codec.encode(one)),
        Nft(one.namespace, nft.replacing) if is_there else nft,
        Save(one.namespace, table.name, folder / "listing.json", terse=isinstance(one, PortMap)),
    ]


def gone(one: Filter | Partition | PortMap, name: str, folder: Path) -> list[Command]:
    """The table, then its files."""
    return [Nft(one.namespace, Nft("", "", new=name).replacing, gone_is_fine=True), Remove(folder)]

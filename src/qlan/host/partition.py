"""Tables that keep guests apart: `nft -j list table`, compared with how it looked when it was made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from qlan.host.packet import is_intact
from qlan.render import partition
from qlan.render.layout import Layout
from qlan.resources.model import Partition
from qlan.values import replace


def read(layout: Layout, known: Iterable[Partition], enter: Mapping[str, Sequence[str]]) -> Iterator[Partition]:
    """Those that are there.  enter: the words that lead into each namespace that is."""
    for one in known:
        if one.namespace in enter:
            listing = layout.partition(one.namespace) / "listing.json"
            intact = is_intact(partition.table(one), enter[one.namespace], listing)
            if intact is not None:
                yield replace(one, intact=intact)

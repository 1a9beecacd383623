"""Guests that somebody else started (`qlan adopt`), beside those of the file.

The lab's file does not know them: they are kept beside it, whatever it says, until they are released or have ended.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qlan.host import present
from qlan.journal import Record
from qlan.planning import scope
from qlan.render.layout import Layout

if TYPE_CHECKING:
    from qlan.topology.model import Topology


def living(layout: Layout, record: Record) -> Record:
    """Without the adopted guests that have ended: the lab has no part in that."""
    ended = [guest for guest in scope.adopted(record.wanted) if present.find_machine(layout, guest) is None]
    if not ended:
        return record
    wanted = scope.for_down(scope.given_back(record.wanted, ended), ended)
    return replace(record, wanted=wanted, changes=tuple(one for one in record.changes if one.guest not in ended))


def by_hand(record: Record) -> tuple[str, ...]:
    """In words, what was changed by hand and goes with the next `up`: of guests of the file."""
    if not record.changes:
        return ()
    from qlan.topology.changes import of_adopted

    stays = of_adopted(record.changes)
    return tuple(str(one) for one in record.changes if one not in stays)


def with_adopted(topology: Topology, record: Record | None) -> Topology:
    """The file's topology, and the adopted guests with what they were lent."""
    if record is None or not record.changes:
        return topology
    from qlan.topology.changes import changed, of_adopted

    return changed(topology, of_adopted(record.changes))

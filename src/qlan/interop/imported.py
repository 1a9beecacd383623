"""What an import makes: a topology in our words, and in words for people what could not be said in them.

A note belongs to a place: the file's head `()`, `("networks", NAME)`, `("guests", NAME)`, `("guests", NAME, INDEX)`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import TypeVar

from qlan.names import NAME_MAX
from qlan.topology.checks.names import name_fault
from qlan.topology.model import Topology
from qlan.topology.scalars import Unreadable
from qlan.values import Value, field

T = TypeVar("T")
Place = tuple[str | int, ...]

HEAD: Place = ()


class Notes(Value):
    """Notes by place, in the order in which they were found; the same one is kept once."""

    by_place: dict[Place, list[str]] = field(default_factory=dict)

    def add(self, place: Place, text: str) -> None:
        """One more; control characters are spelled out, so that a note stays a comment of one line."""
        line = "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)
        found = self.by_place.setdefault(place, [])
        if line not in found:
            found.append(line)

    def at(self, place: Place) -> list[str]:
        """The notes of a place."""
        return self.by_place.get(place, [])

    def value(self, place: Place, key: str, text: str | None, parse: Callable[[str], T]) -> T | None:
        """The value of a foreign text; what our words refuse becomes a note."""
        if text is None:
            return None
        try:
            return parse(text)
        except Unreadable as error:
            self.add(place, f"{key} {text}: {error.what}")
        return None

    @property
    def count(self) -> int:
        return sum(len(texts) for texts in self.by_place.values())


class Imported(Value):
    """The result.  source: what it was made of, in words for the head of the file."""

    topology: Topology
    notes: Notes
    source: str


class Source(Value):
    """A foreign text with its name.  folder: the name of the folder that it is in, or ""."""

    name: str
    text: str
    folder: str = ""


def our_name(sort: str, text: str, taken: Collection[str] = ()) -> str:
    """A name that qlan takes, made of a foreign one.  sort: `lab`, `network` or `guest`."""
    clean = re.sub(r"[^a-z0-9]+", "-", text.lower())[:NAME_MAX].strip("-") or sort
    if name_fault(sort, clean):
        clean = f"{sort}-{clean}"[:NAME_MAX].strip("-")
    name, number = clean, 2
    while name in taken:
        tail = f"-{number}"
        name, number = clean[: NAME_MAX - len(tail)].rstrip("-") + tail, number + 1
    return name

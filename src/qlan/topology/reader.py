"""Typed values from marked nodes; everything wrong on the way is collected, and reading goes on with the default."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TypeVar

from qlan import names
from qlan.problems import Mark, Problem
from qlan.topology.document import Mapping, Node, Scalar, Sequence
from qlan.topology.scalars import Unreadable, parse_flag, parse_text, quoted
from qlan.topology.vocabulary import MEANT, SORTS, Key

T = TypeVar("T")

ITEM = "ITEM"  # in a hint of `Reader.items`: what was written instead of a list

HINTS_MAX = 20  # so many unknown words get the nearest right one: looking for it is slow, and nobody reads more
_KNOWN_SHOWN_MAX = 16
_NOWHERE: dict[str, str] = {}


class Reader:
    """Reads one file.  folder: what its relative paths start from.  damaged: where something could not be read."""

    def __init__(self, folder: Path, problems: list[Problem] | None = None) -> None:
        self.folder = folder
        self.problems: list[Problem] = problems if problems is not None else []
        self.damaged: set[Mark] = set()

    def problem(self, mark: Mark, what: str, hint: str = "") -> None:
        """Note something wrong."""
        self.problems.append(Problem(mark, what, hint))

    def fields(
        self, node: Node, title: str, keys: dict[str, Key], *, hint: str = "", elsewhere: dict[str, str] = _NOWHERE
    ) -> Fields:
        """A mapping with these keys; problems for what is no mapping and for unknown keys.

        hint: what else to write.  elsewhere: keys that belong somewhere else, with the place.
        """
        found: dict[str, tuple[Scalar, Node]] = {}
        for key, value in self.pairs(node, title, hint):
            if key.text in keys:
                found[key.text] = (key, value)
            else:
                guess = len(self.problems) < HINTS_MAX
                where = elsewhere_hint(key.text, elsewhere) or (known_hint(key.text, keys) if guess else "")
                self.problem(key.mark, f"{title} has no key {quoted(key.text)}", where)
        return Fields(self, title, node.mark, keys, found)

    def pairs(self, node: Node, title: str, hint: str = "") -> Iterator[tuple[Scalar, Node]]:
        """The keys and values of what must be a mapping; nothing at all is an empty one."""
        if isinstance(node, Mapping):
            yield from node.pairs
        elif not (isinstance(node, Scalar) and node.is_null):
            self.problem(
                node.mark, f"{title} must be a mapping, not {called(node)}", hint or "write it as `key: value` lines"
            )

    def items(self, node: Node, title: str, hint: str) -> tuple[Node, ...]:
        """The items of what must be a list; nothing at all is an empty one."""
        if isinstance(node, Sequence):
            return node.items
        if not (isinstance(node, Scalar) and node.is_null):
            hint = hint.replace(ITEM, node.text if isinstance(node, Scalar) else "...")
            self.problem(node.mark, f"{title} must be a list, not {called(node)}", hint)
        return ()

    def scalar(self, node: Node, title: str, wanted: str, parse: Callable[[str], T]) -> T | None:
        """One value, or None with a problem noted."""
        if not isinstance(node, Scalar):
            self.problem(node.mark, f"{title} must be {wanted}, not {called(node)}")
            return None
        if node.is_null:
            self.problem(node.mark, f"{title} has no value", f"write {wanted}, or leave the key out")
            return None
        try:
            return parse(node.text)
        except Unreadable as error:
            self.problem(node.mark, f"{title}: {error.what}", error.hint)
            return None

    def path(self, text: str) -> Path:
        """A path from the file's folder; `~/` is the caller's home."""
        parse_text(text)
        if text == "~" or text.startswith("~/"):
            return Path.home() / text[2:]
        if text.startswith("~"):
            raise Unreadable(f"{quoted(text)}: another user's home is not looked up", "write the whole path")
        return self.folder / text


class Fields:
    """A mapping being read.  Every method takes a key of its table; None or the default: not there, or a problem."""

    def __init__(
        self, reader: Reader, title: str, mark: Mark, keys: dict[str, Key], found: dict[str, tuple[Scalar, Node]]
    ) -> None:
        self.reader = reader
        self.title = title
        self.mark = mark
        self._keys = keys
        self._found = found

    @property
    def marks(self) -> dict[str, Mark]:
        """Where each value stands."""
        return {key: value.mark for key, (_, value) in self._found.items()}

    def has(self, key: str) -> bool:
        """Whether the key is written."""
        return self.node(key) is not None

    def node(self, key: str) -> Node | None:
        """The key's value."""
        assert key in self._keys, key
        pair = self._found.get(key)
        return pair[1] if pair else None

    def key_mark(self, key: str) -> Mark:
        """Where the key itself stands."""
        return self._found[key][0].mark

    def called(self, key: str) -> str:
        """The key in a message."""
        return f"`{key}` of {self.title}"

    def value(self, key: str, parse: Callable[[str], T]) -> T | None:
        """One value, parsed."""
        node = self.node(key)
        if node is None:
            return None
        return self.reader.scalar(node, self.called(key), SORTS[self._keys[key].sort], parse)

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        found = self.value(key, parse_flag)
        return default if found is None else found

    def choice(self, key: str, choices: Collection[str] = ()) -> str | None:
        """One of a few words (of the table, unless given)."""
        words = choices or self._keys[key].choices
        return self.value(key, lambda text: parse_choice(text, words))

    def path(self, key: str) -> Path | None:
        """A path."""
        return self.value(key, self.reader.path)

    def several(self, key: str, parse: Callable[[str], T]) -> tuple[T, ...]:
        """A list of values, or one alone."""
        node = self.node(key)
        if node is None:
            return ()
        wanted = SORTS[self._keys[key].sort]
        nodes = node.items if isinstance(node, Sequence) else (node,)
        found = [self.reader.scalar(one, self.called(key), wanted, parse) for one in nodes]
        return tuple(one for one in found if one is not None)


def parse_choice(text: str, choices: Collection[str]) -> str:
    """One of the words."""
    if text in choices:
        return text
    near = names.nearest(text, choices)
    listed = " or ".join(f"`{word}`" for word in choices)
    raise Unreadable(f"{quoted(text)} is not known here", f"did you mean `{near}`?" if near else f"write {listed}")


def called(node: Node) -> str:
    """What a node is, in the user's words."""
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Mapping):
        return "a mapping"
    return "nothing" if node.is_null else quoted(node.text)


def elsewhere_hint(word: str, places: dict[str, str]) -> str:
    """Where a key belongs that is known, but not here; or ""."""
    meant = word if word in places else MEANT.get(word.lower(), "")
    return f"`{meant}` belongs {places[meant]}" if meant in places else ""


def known_hint(word: str, known: Collection[str]) -> str:
    """What was probably meant, else what there is."""
    meant = MEANT.get(word.lower(), "")
    guess = meant if meant in known else names.nearest(word, known)
    if guess:
        return f"did you mean `{guess}`?"
    shown = sorted(known)
    more = ", ..." if len(shown) > _KNOWN_SHOWN_MAX else ""
    return "there is " + ", ".join(f"`{one}`" for one in shown[:_KNOWN_SHOWN_MAX]) + more if shown else ""

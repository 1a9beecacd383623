"""YAML text as a tree of marked nodes, with nothing resolved: `2222:22`, `on` and `1.10` stay the text they are.

Theory: PyYAML's parser gives events; we build the tree ourselves.  That keeps the text of every scalar (YAML 1.1 would
make numbers of `2222:22` and booleans of `on`), bounds depth and size while reading (the C composer recurses on the C
stack, and aliases can grow without end), and finds keys that are written twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qlan.problems import Mark, Problem, TopologyError
from qlan.topology.scalars import quoted
from qlan.values import Struct, Value, field

if TYPE_CHECKING:
    import yaml

DEPTH_MAX = 32
NODES_MAX = 1_000_000

_UNPRINTABLE = "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"  # compiling it takes 2 ms
_UNPRINTABLE_ASCII = "[^\t\n\r\x20-\x7e]"
_TOO_DEEP = f"more than {DEPTH_MAX} levels deep"
_STANDARD_TAG = "tag:yaml.org,2002:"
_LINE = "\r\n|[\n\r\x85\u2028\u2029]"


class Scalar(Value):
    """A word as written; plain: without quotes."""

    text: str
    mark: Mark
    plain: bool = True
    size: int = 1

    @property
    def is_null(self) -> bool:
        """Whether it stands for nothing at all (`key:`, `~`, `null`)."""
        return self.plain and self.text in {"", "~", "null", "Null", "NULL"}


class Sequence(Value):
    """A list; size: all nodes in it, aliases followed."""

    items: tuple[Node, ...]
    mark: Mark
    size: int = 1


class Mapping(Value):
    """Keys and their values, in the file's order."""

    pairs: tuple[tuple[Scalar, Node], ...]
    mark: Mark
    size: int = 1


Node = Scalar | Sequence | Mapping


def compose(text: str, file: str) -> tuple[Node, list[Problem]]:
    """The document's root, and problems that don't hide the rest (keys written twice).

    TopologyError where no tree can be had.
    """
    import yaml

    text = text.removeprefix("\ufeff")
    _refuse_unprintable(text, file)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _Builder(file)
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        raise TopologyError([*builder.problems, _syntax_problem(error, text, file)]) from error
    except yaml.YAMLError as error:  # pragma: no cover - the reader's own errors are refused above
        raise TopologyError([Problem(Mark(file, 1, 1), f"this is not YAML: {error}")]) from error
    root = builder.root
    if root is None or (isinstance(root, Scalar) and root.is_null):
        raise TopologyError([Problem(Mark(file, 1, 1), "the file is empty", "`qlan init` writes one to start from")])
    return root, builder.problems


class _Open(Struct):
    """A list or mapping that is being read."""

    mark: Mark
    anchor: str | None
    is_mapping: bool
    children: list[Node] = field(default_factory=list)


class _Builder:
    """Takes the parser's events one after the other."""

    def __init__(self, file: str) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._file = file
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._nodes = 0
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        """One event; TopologyError where going on makes no sense."""
        import yaml

        mark = self._mark(event.start_mark)
        if isinstance(event, yaml.ScalarEvent):
            self._refuse_tag(event, mark)
            self._add(Scalar(event.value, mark, plain=not event.style), event.anchor)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._refuse_tag(event, mark)
            self._open(mark, event.anchor, is_mapping=isinstance(event, yaml.MappingStartEvent))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()
        elif isinstance(event, yaml.AliasEvent):
            self._add(self._alias(event.anchor or "", mark), None)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._stop(mark, "a second document starts here (`---`)", "one file holds one lab: keep one document")

    def _mark(self, mark: yaml.error.Mark | yaml._yaml.Mark | None) -> Mark:
        return Mark(self._file, mark.line + 1, mark.column + 1) if mark else Mark(self._file, 1, 1)

    def _stop(self, mark: Mark, what: str, hint: str) -> None:
        raise TopologyError([*self.problems, Problem(mark, what, hint)])

    def _refuse_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, mark: Mark) -> None:
        if event.tag is not None:
            self.problems.append(
                Problem(
                    mark,
                    f"a tag, {quoted(_written_tag(event.tag))}, is not read here",
                    "leave it out; quotes make text of a word",
                )
            )

    def _open(self, mark: Mark, anchor: str | None, *, is_mapping: bool) -> None:
        if len(self._stack) >= DEPTH_MAX:
            self._stop(mark, _TOO_DEEP, "a lab needs no more than six")
        self._stack.append(_Open(mark, anchor, is_mapping))

    def _close(self) -> None:
        done = self._stack.pop()
        size = 1 + sum(child.size for child in done.children)
        if done.is_mapping:
            self._add(Mapping(tuple(self._pairs(done.children)), done.mark, size), done.anchor)
        else:
            self._add(Sequence(tuple(done.children), done.mark, size), done.anchor)

    def _pairs(self, children: list[Node]) -> Iterator[tuple[Scalar, Node]]:
        seen: dict[str, Mark] = {}
        merged: list[tuple[Scalar, Node]] = []
        for key, value in zip(children[::2], children[1::2], strict=True):
            if not isinstance(key, Scalar):
                self.problems.append(Problem(key.mark, "a key must be a word", "a list or mapping can only be a value"))
            elif key.text == "<<" and key.plain:
                merged += self._merged(value)
            elif key.text in seen:
                first = seen[key.text].line
                self.problems.append(
                    Problem(key.mark, f"{quoted(key.text)} is written twice; first in line {first}", "keep one of them")
                )
            else:
                seen[key.text] = key.mark
                yield key, value
        for key, value in merged:
            if key.text not in seen:
                seen[key.text] = key.mark
                yield key, value

    def _merged(self, value: Node) -> list[tuple[Scalar, Node]]:
        """The keys that `<<` brings (YAML 1.1's merge): those written beside it win, then the first of its list."""
        found: list[tuple[Scalar, Node]] = []
        for one in value.items if isinstance(value, Sequence) else (value,):
            if isinstance(one, Mapping):
                found += one.pairs
            else:
                self.problems.append(Problem(one.mark, "`<<` takes a mapping", "write it like `<<: *name`"))
        return found

    def _alias(self, name: str, mark: Mark) -> Node:
        if any(one.anchor == name for one in self._stack):
            self._stop(mark, f"`*{name}` stands inside `&{name}` itself", "an alias repeats a value that is complete")
        if name not in self._anchors:
            self._stop(mark, f"`*{name}` repeats nothing: there is no `&{name}` before it", "put the text in quotes")
        return self._anchors[name]

    def _add(self, node: Node, anchor: str | None) -> None:
        self._nodes += node.size if anchor is None and isinstance(node, Scalar) else 1
        if max(self._nodes, node.size) > NODES_MAX:
            self._stop(node.mark, f"more than {NODES_MAX} values, with what aliases repeat", "no lab is that big")
        if anchor is not None:
            self._anchors[anchor] = node
        if self._stack:
            self._stack[-1].children.append(node)
        else:
            self.root = node


def _written_tag(tag: str) -> str:
    return f"!!{tag.removeprefix(_STANDARD_TAG)}" if tag.startswith(_STANDARD_TAG) else tag


def _refuse_unprintable(text: str, file: str) -> None:
    found = re.search(_UNPRINTABLE_ASCII if text.isascii() else _UNPRINTABLE, text)
    if found:
        before = re.split(_LINE, text[: found.start()])
        mark = Mark(file, len(before), len(before[-1]) + 1)
        what = f"a character that no text holds (U+{ord(found[0]):04X})"
        raise TopologyError([Problem(mark, what, 'in double quotes it can be written: "\\x07"')])


_SYNTAX = {
    "mapping values are not allowed": (
        "a `:` where none can be",
        "one key a line; a value that holds `: ` needs quotes; keys of one mapping stand in one column",
    ),
    "could not find expected ':'": ("a line without `:`", "write `key: value`; a key and its value stand in one line"),
    "did not find expected key": ("this line does not fit the ones above", "keys of one mapping stand in one column"),
    "expected <block end>": ("this line does not fit the ones above", "keys of one mapping stand in one column"),
    "did not find expected '-' indicator": (
        "this line does not fit the list above",
        "every item of a list starts with `- ` in the same column",
    ),
    "did not find expected ',' or ']'": ("a list in `[ ]` is not closed", "look for a missing `,` or `]`"),
    "expected ',' or ']'": ("a list in `[ ]` is not closed", "look for a missing `,` or `]`"),
    "did not find expected ',' or '}'": ("a mapping in `{ }` is not closed", "look for a missing `,` or `}`"),
    "expected ',' or '}'": ("a mapping in `{ }` is not closed", "look for a missing `,` or `}`"),
    "found unexpected end of stream": ("quotes are not closed", "write the same quote at the end of the text"),
    "exceeded maximum nesting depth": (_TOO_DEEP, "a lab needs no more than six"),
    "found unknown escape character": (
        "a backslash in double quotes that means nothing",
        "use single quotes, or write `\\\\`",
    ),
    "block sequence entries are not allowed": ("a `- ` where no list can start", "a list starts in a line of its own"),
}


_UNCLOSED = (
    "did not find expected ',' or ']'",
    "expected ',' or ']'",
    "did not find expected ',' or '}'",
    "expected ',' or '}'",
    "found unexpected end of stream",
)


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    said = error.problem or "it cannot be read"
    at = error.problem_mark or error.context_mark
    if error.context_mark and said.startswith(_UNCLOSED):
        at = error.context_mark  # where it was opened, not where the reader gave up
    line, column = (at.line, at.column) if at else (0, 0)
    lines = re.split(_LINE, text)
    tab = _tab_indent(lines, line)
    if tab is not None:
        mark = Mark(file, tab + 1, lines[tab].index("\t") + 1)
        return Problem(mark, "a tab in the indentation", "YAML wants spaces there: two for each level")
    mark = Mark(file, line + 1, column + 1)
    for words, (what, hint) in _SYNTAX.items():
        if said.startswith(words):
            return Problem(mark, what, hint)
    here = lines[line][column : column + 1] if line < len(lines) else ""
    if "cannot start any token" in said and here:
        return Problem(mark, f"`{here}` cannot start a value", "put the value in quotes")
    return Problem(mark, f"this is not YAML: {said}")


def _tab_indent(lines: list[str], line: int) -> int | None:
    """The line, at or just before the error, whose indentation holds a tab."""
    for number in (line, line - 1):
        if 0 <= number < len(lines):
            text = lines[number]
            if "\t" in text[: len(text) - len(text.lstrip())]:
                return number
    return None

"""XML read without trust, and nothing of it forgotten.

Entities and DTDs are refused before the parser sees one (expat itself would expand billions of laughs), and size and
depth have limits.  A `Tag` remembers which of its attributes and children were asked for; `leftovers` are the others,
so that an import can say everything that it did not understand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from qlan.errors import UsageError

SIZE_MAX = 4 << 20
DEPTH_MAX = 64

_DECLARATION = re.compile(r"<\?xml\b[^>]*\?>")
_ROOT = "files"  # our own root above those of a text that holds several files


class Tag:
    """An element.  name: without its namespace."""

    def __init__(self, element: ElementTree.Element) -> None:
        self.name = element.tag.rpartition("}")[2]
        self._attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        self._text = (element.text or "").strip()
        self._children = [Tag(child) for child in element]
        self._asked: set[str] = set()
        self._seen = False

    def attribute(self, key: str) -> str | None:
        """An attribute's value, or None."""
        self._seen = True
        self._asked.add(key)
        return self._attributes.get(key)

    def peek(self, key: str) -> str | None:
        """An attribute's value without asking for it: it is still left over."""
        return self._attributes.get(key)

    @property
    def text(self) -> str:
        """The text before the first child, without blanks around it."""
        self._seen = True
        self._asked.add("")
        return self._text

    def children(self, name: str) -> Iterator[Tag]:
        """The children of that name; each counts as seen, what is in it not yet."""
        for child in self._children:
            if child.name == name:
                child._seen = True
                yield child

    def find(self, name: str) -> Tag | None:
        """The first child of that name."""
        return next(self.children(name), None)

    def has(self, name: str) -> bool:
        """Whether there is a child of that name."""
        return any(child.name == name for child in self._children)

    def at(self, *path: str) -> Tag | None:
        """The first child of the first child ..."""
        tag: Tag | None = self
        for name in path:
            tag = tag.find(name) if tag else None
        return tag

    def value(self, *path: str) -> str | None:
        """The attribute (last word) of the element at the path before it, or None."""
        tag = self.at(*path[:-1])
        return tag.attribute(path[-1]) if tag else None

    def content(self, *path: str) -> str | None:
        """The text of the element at the path, or None."""
        tag = self.at(*path)
        return tag.text if tag else None

    def pass_over(self, *names: str) -> list[str]:
        """Children that mean nothing to us: they count as read; those that were there."""
        passed = [child for child in self._children if child.name in names]
        for child in passed:
            child.take()
        return sorted({child.name for child in passed})

    def take(self) -> None:
        """All of it was asked for."""
        self._seen = True
        self._asked |= {"", *self._attributes}
        for child in self._children:
            child.take()

    def leftovers(self) -> Iterator[str]:
        """What nobody asked for, each as a piece of XML: whole elements, or elements with forgotten attributes."""
        return self._left("", "")

    def _left(self, place: str, inside: str) -> Iterator[str]:
        """place: where this element stands, in words; inside: where its children do."""
        rest = {key: value for key, value in self._attributes.items() if key not in self._asked}
        if rest:
            yield place + _start(self.name, rest, empty=True)
        if self._text and "" not in self._asked:
            yield f"{place}<{self.name}>{self._text}</{self.name}>"
        for child in self._children:
            if child._seen:
                yield from child._left(inside, f"in <{child.name}>: ")
            else:
                yield inside + child.shown()

    def shown(self) -> str:
        """The element in one line."""
        inner = self._text + "".join(child.shown() for child in self._children)
        if not inner:
            return _start(self.name, self._attributes, empty=True)
        return f"{_start(self.name, self._attributes, empty=False)}{inner}</{self.name}>"


def read_tags(text: str, file: str) -> list[Tag]:
    """The root elements of an XML text; UsageError for what is no XML or not to be trusted."""
    if len(text) > SIZE_MAX:
        raise UsageError(f"more than {SIZE_MAX >> 20} MB of XML is not read", where=file)
    declared = _DECLARATION.sub(lambda match: " " * len(match[0]), text)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        line = text[: min(at for at in (text.find("<!DOCTYPE"), text.find("<!ENTITY")) if at >= 0)].count("\n") + 1
        raise UsageError("DTDs and entities are not read", where=f"{file}:{line}",
                         hint="libvirt writes none: remove them if you trust the file")  # fmt: skip
    root = _parsed(declared, file)
    found = [Tag(child) for child in root]
    if not found:
        raise UsageError("there is no XML element in it", where=file)
    return found


class _Builder(ElementTree.TreeBuilder):
    """Builds the tree, not deeper than DEPTH_MAX: what walks it later recurses."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> ElementTree.Element:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise _TooDeep
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ElementTree.Element:
        self._depth -= 1
        return super().end(tag)


class _TooDeep(ValueError):
    pass


def _parsed(text: str, file: str) -> ElementTree.Element:
    """The elements of the text under one root of ours."""
    head = f"<{_ROOT}>"
    try:
        return ElementTree.fromstring(f"{head}{text}</{_ROOT}>", ElementTree.XMLParser(target=_Builder()))
    except ElementTree.ParseError as error:
        line, column = error.position
        column -= len(head) if line == 1 else 0
        what = f"this is not XML: {str(error).partition(':')[0]}"
        raise UsageError(what, where=f"{file}:{line}:{max(column, 0) + 1}") from error
    except _TooDeep as error:
        raise UsageError(f"elements are nested more than {DEPTH_MAX} deep", where=file) from error


def escape_text(text: str) -> str:
    """Text between tags.  XML 1.0 has no way at all to write most control characters."""
    clean = "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")
    return clean.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escape_value(text: object) -> str:
    """Text of an attribute, between double quotes."""
    return escape_text(str(text)).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")


def element(name: str, /, content: str = "", **attributes: object) -> str:
    """An element with its content (text that is escaped already).  None: no such attribute; `type_` is `type`."""
    given = {key.rstrip("_"): value for key, value in attributes.items() if value is not None}
    start = _start(name, given, empty=not content)
    return f"{start}{content}</{name}>" if content else start


def comment(text: str) -> str:
    """A comment; `--` cannot stand in one."""
    return f"<!-- {re.sub('-(?=-)', '- ', escape_text(text))} -->"


def _start(name: str, attributes: dict[str, object] | dict[str, str], *, empty: bool) -> str:
    words = "".join(f' {key}="{escape_value(value)}"' for key, value in attributes.items())
    return f"<{name}{words}{'/' if empty else ''}>"

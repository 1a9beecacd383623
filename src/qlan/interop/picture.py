"""The picture of a lab for a terminal: boxes at the left, networks as rails that run down at the right."""

from __future__ import annotations

import textwrap

from qlan.interop.drawing import Box, Drawing, Rail, Row
from qlan.values import Value

_GAP = 2
_OUTSIDE = Rail("outside", ("by user mode",))


class Pens(Value):
    """The letters that lines are drawn with."""

    across: str
    pulled: str
    down: str
    cross: str
    plug: str
    arrow: str
    corners: tuple[str, str, str, str]  # top left, top right, bottom left, bottom right
    tee: str
    forward: str


UNICODE = Pens("─", "╌", "│", "┼", "●", "▶", ("┌", "┐", "└", "┘"), "├", "→")
ASCII = Pens("-", ".", "|", "+", "o", ">", ("+", "+", "+", "+"), "+", "->")


def render(drawing: Drawing, pens: Pens = UNICODE, width: int | None = None) -> str:
    """The picture.  width: the terminal's columns, None: any.  Too narrow for rails, it becomes a list."""
    rails = [*([_OUTSIDE] if drawing.has_outside else []), *drawing.rails]
    left = max((len(box.title) for box in drawing.boxes), default=0) + 4
    labels = max((len(_text(row, pens)) for box in drawing.boxes for row in box.rows), default=0)
    for titles in (_wide_titles(rails), _numbers(rails)):
        places = _places(titles, left + labels + 6)
        legend = _legend(rails, titles) if titles == _numbers(rails) else []
        widest = max([*_ends(titles, places), left + labels + 2, *map(len, legend)])
        if width is None or widest <= width:
            lines = [f"lab {drawing.title}", *legend, "", *_heads(titles, places)]
            lines += _rails(drawing, rails, places, pens)
            return "\n".join(line.rstrip() for line in lines) + "\n"
    return "\n".join(_list(drawing, pens, width or 80)) + "\n"


def _text(row: Row, pens: Pens) -> str:
    return row.text.replace("->", pens.forward)


def _wide_titles(rails: list[Rail]) -> list[list[str]]:
    """Each rail under its name and its words."""
    return [[rail.name, *rail.words] for rail in rails]


def _numbers(rails: list[Rail]) -> list[list[str]]:
    """Each rail under a letter, where names have no room."""
    return [[chr(ord("a") + index)] if index < 26 else [str(index)] for index in range(len(rails))]


def _places(titles: list[list[str]], start: int) -> list[int]:
    """The column of each rail: its title is centred on it."""
    places, at = [], start
    for title in titles:
        wide = max(map(len, title))
        places.append(at + wide // 2)
        at += wide + _GAP
    return places


def _ends(titles: list[list[str]], places: list[int]) -> list[int]:
    return [place + (max(map(len, title)) + 1) // 2 for title, place in zip(titles, places, strict=True)]


def _rails(drawing: Drawing, rails: list[Rail], places: list[int], pens: Pens) -> list[str]:
    """The boxes and the rails."""
    last = _last_rows(drawing, rails)
    lines: list[str] = []
    left = max((len(box.title) for box in drawing.boxes), default=0) + 4
    number = 0
    for box in drawing.boxes:
        for part, row in _box(box, left, pens):
            number += row is not None
            alive = [end > number for end in last]
            lines.append(_line(part, row, rails, places, _Pen(pens, alive)))
    return lines


def _last_rows(drawing: Drawing, rails: list[Rail]) -> list[int]:
    """For each rail the number of the last row that runs to it: below, it ends."""
    rows = [row for box in drawing.boxes for row in box.rows]
    found = []
    for rail in rails:
        numbers = [number for number, row in enumerate(rows, 1) if _runs_to(row, rail)]
        found.append(0 if rail is _OUTSIDE else max(numbers, default=0))
    return found


def _runs_to(row: Row, rail: Rail) -> bool:
    return row.outside if rail is _OUTSIDE else row.network == rail.name


def _legend(rails: list[Rail], titles: list[list[str]]) -> list[str]:
    """Which rail has which letter."""
    wide = max((len(rail.name) for rail in rails), default=0)
    return [f"  {title[0]}  {rail.name.ljust(wide)}  {' '.join(rail.words)}"
            for title, rail in zip(titles, rails, strict=True)]  # fmt: skip


def _heads(titles: list[list[str]], places: list[int]) -> list[str]:
    found = []
    for height in range(max(map(len, titles), default=0)):
        line = ""
        for title, place in zip(titles, places, strict=True):
            word = title[height] if height < len(title) else ""
            line = line.ljust(place - len(word) // 2) + word
        found.append(line)
    return found


def _box(box: Box, left: int, pens: Pens) -> list[tuple[str, Row | None]]:
    """The lines of a box with the row that starts there; the title stands beside the first row."""
    top_left, top_right, bottom_left, bottom_right = pens.corners
    inner = left - 2
    found: list[tuple[str, Row | None]] = [(f"{top_left}{pens.across * inner}{top_right}", None)]
    for index, row in enumerate(box.rows):
        title = f" {box.title}" if index == 0 else ""
        edge = pens.tee if row.network or row.outside else pens.down
        found.append((f"{pens.down}{title.ljust(inner)}{edge}", row))
    return [*found, (f"{bottom_left}{pens.across * inner}{bottom_right}", None)]


class _Pen(Value):
    """pens, and which rails are drawn in this line."""

    pens: Pens
    alive: list[bool]


def _line(part: str, row: Row | None, rails: list[Rail], places: list[int], pen: _Pen) -> str:
    pens = pen.pens
    if row is None:
        return _with_rails(part, rails, places, pen)
    text = _text(row, pens)
    goal = next((place for rail, place in zip(rails, places, strict=True) if _runs_to(row, rail)), None)
    if goal is None:
        return _with_rails(f"{part} {text}", rails, places, pen)
    wire = pens.pulled if row.is_down else pens.across
    letters = list(f"{part}{wire} {text} ".ljust(goal, wire))
    for rail, place, alive in zip(rails, places, pen.alive, strict=True):
        if place < goal and alive and rail is not _OUTSIDE:
            letters[place] = pens.cross
    end = pens.arrow if row.outside else pens.plug
    return _with_rails("".join(letters) + end, rails, places, pen)


def _with_rails(text: str, rails: list[Rail], places: list[int], pen: _Pen) -> str:
    """The line with the rails that go on to the right of it."""
    for rail, place, alive in zip(rails, places, pen.alive, strict=True):
        if place >= len(text) and alive and rail is not _OUTSIDE:
            text = text.ljust(place) + pen.pens.down
    return text


def _list(drawing: Drawing, pens: Pens, width: int) -> list[str]:
    """Without rails: each box with its rows, and the network's name at the end of each."""
    lines = [f"lab {drawing.title}", ""]
    lines += [line for rail in drawing.rails for line in _folded(f"{rail.name}: {' '.join(rail.words)}", width)]
    for box in drawing.boxes:
        lines += ["", box.title]
        for row in box.rows:
            goal = "outside" if row.outside else row.network
            end = f" {pens.across}{pens.arrow if row.outside else pens.plug} {goal}" if goal else ""
            lines += _folded(f"  {_text(row, pens)}{end}", width)
    return lines


def _folded(text: str, width: int) -> list[str]:
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(text, max(width, 20), subsequent_indent=f"{indent}  ", break_on_hyphens=False,
                         break_long_words=False, drop_whitespace=True)  # fmt: skip

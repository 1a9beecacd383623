"""The picture of a lab as an SVG file: the terminal's picture with colours, for a browser or a page."""

from __future__ import annotations

from typing import Any

from qlan.interop.drawing import Box, Drawing, Rail, Row, draw
from qlan.interop.markup import element, escape_text
from qlan.interop.settled import File, Settled
from qlan.values import Value

_ROW, _PAD, _GAP = 22, 12, 26  # heights in pixels: a row, within a box, between boxes
_LETTER = 7.3  # the widest that a letter of 12 px monospace gets
_COLOURS = ("#1f6feb", "#1a7f37", "#9a6700", "#8250df", "#bf3989", "#0a7d85", "#bc4c00", "#57606a")
_OUTSIDE = Rail("outside", ("by user mode",))
_STYLE = """
text{font:12px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:#1f2328}
.title{font-weight:bold;font-size:14px}.head{font-weight:bold}.dim{fill:#57606a;font-size:11px}
.box{fill:#f6f8fa;stroke:#8c959f}.host{fill:#ddf4ff;stroke:#54aeff}.page{fill:#fff}
"""


class _Plan(Value):
    """Where things are.  places: x of each rail."""

    rails: list[Rail]
    places: list[float]
    left: float
    labels: float
    top: float
    width: float

    def colour(self, index: int) -> str:
        if self.rails[index] is _OUTSIDE:
            return "#57606a"
        return _COLOURS[(index - (self.rails[0] is _OUTSIDE)) % len(_COLOURS)]


def export_lab(lab: Settled) -> tuple[File, ...]:
    """One file."""
    return (File(f"{lab.topology.lab}.svg", render(draw(lab))),)


def render(drawing: Drawing) -> str:
    """The SVG."""
    plan = _plan(drawing)
    boxes: list[str] = []
    wires: list[str] = []
    ends: dict[int, float] = {}
    y = plan.top
    for box in drawing.boxes:
        boxes.append(_box(box, y, plan))
        for number, row in enumerate(box.rows):
            at = y + _PAD / 2 + number * _ROW + _ROW / 2
            wires.append(_row(row, at, plan, ends))
        y += len(box.rows) * _ROW + _PAD + _GAP
    heads = [_head(index, plan) for index in range(len(plan.rails))]
    rails = [_rail(index, end, plan) for index, end in ends.items() if plan.rails[index] is not _OUTSIDE]
    body = [
        element("title", escape_text(f"lab {drawing.title}")),
        element("style", escape_text(_STYLE)),
        element("rect", class_="page", width="100%", height="100%"),
        _text(16, 26, f"lab {drawing.title}", "title"),
        *heads, *rails, *wires, *boxes,
    ]  # fmt: skip
    height = max(y, plan.top) - _GAP + 16
    size = {"width": f"{plan.width:.0f}", "height": f"{height:.0f}", "viewBox": f"0 0 {plan.width:.0f} {height:.0f}"}
    return element("svg", "\n".join(["", *body, ""]), xmlns="http://www.w3.org/2000/svg", role="img", **size) + "\n"


def _plan(drawing: Drawing) -> _Plan:
    rails = [*([_OUTSIDE] if drawing.has_outside else []), *drawing.rails]
    left = max((len(box.title) for box in drawing.boxes), default=4) * _LETTER + 2 * _PAD
    labels = max((len(row.text) for box in drawing.boxes for row in box.rows), default=0) * _LETTER
    x = 16 + left + labels + 40
    places = []
    for rail in rails:
        wide = max(map(len, (rail.name, *rail.words))) * _LETTER + 24
        places.append(x + wide / 2)
        x += wide
    heights = max((len(rail.words) for rail in rails), default=0)
    title = len(f"lab {drawing.title}") * 9 + 32
    return _Plan(rails, places, left, labels, 44 + 18 + heights * 15 + 14, max(x + 16, title))


def _box(box: Box, y: float, plan: _Plan) -> str:
    height = len(box.rows) * _ROW + _PAD
    kind = "host" if box.is_host else "box"
    shape = element("rect", class_=kind, x=16, y=f"{y:g}", width=f"{plan.left:g}", height=f"{height:g}", rx=6)
    return shape + _text(16 + _PAD, y + _PAD / 2 + _ROW / 2 + 4, box.title, "head")


def _row(row: Row, y: float, plan: _Plan, ends: dict[int, float]) -> str:
    """The wire of a row, with its text on it."""
    start = 16 + plan.left
    text = " ".join(row.text.split()).replace("->", "→")
    indent = 24 if row.text.startswith("  ") else 8
    if not (row.network or row.outside):
        return _text(start + indent, y + 4, text, "dim")
    index = next(i for i, rail in enumerate(plan.rails) if _runs_to(row, rail))
    ends[index] = y
    colour, x = plan.colour(index), plan.places[index]
    dash = "3 4" if row.is_down else None
    line = _line(start, y, x, y, colour, dash)
    halo = element(
        "rect", class_="page", x=f"{start + 6:g}", y=f"{y - 8:g}", width=f"{len(text) * _LETTER + 6:.1f}", height=16
    )
    return line + halo + _text(start + 8, y + 4, text) + _end(row, x, y, colour)


def _end(row: Row, x: float, y: float, colour: str) -> str:
    if row.outside:
        return element("path", d=f"M{x - 2:g} {y - 5:g}l10 5l-10 5z", fill=colour)
    fill = "#fff" if row.is_down else colour
    wide: dict[str, Any] = {"stroke-width": 2}
    return element("circle", cx=f"{x:g}", cy=f"{y:g}", r=5, fill=fill, stroke=colour, **wide)


def _runs_to(row: Row, rail: Rail) -> bool:
    return row.outside if rail is _OUTSIDE else row.network == rail.name


def _head(index: int, plan: _Plan) -> str:
    rail, x = plan.rails[index], plan.places[index]
    bottom = plan.top - 14 - len(rail.words) * 15
    name = _text(x, bottom, rail.name, "head", middle=True, fill=plan.colour(index))
    words = [_text(x, bottom + 15 * (place + 1), word, "dim", middle=True) for place, word in enumerate(rail.words)]
    return name + "".join(words)


def _rail(index: int, end: float, plan: _Plan) -> str:
    return _line(plan.places[index], plan.top - 6, plan.places[index], end, plan.colour(index), None)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dash: str | None) -> str:
    rest: dict[str, Any] = {"stroke-width": 2, "stroke-dasharray": dash}
    return element("line", x1=f"{x1:g}", y1=f"{y1:g}", x2=f"{x2:g}", y2=f"{y2:g}", stroke=colour, **rest)


def _text(x: float, y: float, text: str, kind: str | None = None, *, middle: bool = False, fill: str = "") -> str:
    anchor = {"text-anchor": "middle"} if middle else {}
    style = {"style": f"fill:{fill}"} if fill else {}
    return element("text", escape_text(text), x=f"{x:g}", y=f"{y:g}", class_=kind, **anchor, **style)

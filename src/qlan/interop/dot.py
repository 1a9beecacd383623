"""The picture of a lab for Graphviz (https://graphviz.org/doc/info/lang.html)."""

from __future__ import annotations

from qlan.interop.drawing import HOST_TITLE, Box, draw
from qlan.interop.settled import File, Settled


def export_lab(lab: Settled) -> tuple[File, ...]:
    """One file."""
    drawing = draw(lab)
    lines = [f"graph {_quoted(drawing.title)} {{"]
    lines += ["  graph [rankdir=LR, fontname=monospace, ranksep=1.2]"]
    lines += ["  node [fontname=monospace, fontsize=11]", "  edge [fontname=monospace, fontsize=9]"]
    for rail in drawing.rails:
        lines.append(f"  {_quoted(f'net {rail.name}')} [shape=ellipse, label={_quoted(rail.name, *rail.words)}]")
    if drawing.has_outside:
        lines.append('  "outside" [shape=doublecircle, label="outside"]')
    for box in drawing.boxes:
        lines += _box(box)
    return (File(f"{drawing.title}.dot", "\n".join([*lines, "}"]) + "\n"),)


def _box(box: Box) -> list[str]:
    name = _quoted("host" if box.is_host else f"guest {box.title}")
    plain = [row.text.strip() for row in box.rows if not (row.network or row.outside)]
    shape = "house" if box.title == HOST_TITLE and box.is_host else "box"
    lines = [f"  {name} [shape={shape}, label={_quoted(box.title, *plain)}]"]
    for row in box.rows:
        goal = '"outside"' if row.outside else _quoted(f"net {row.network}") if row.network else ""
        if goal:
            style = ", style=dashed" if row.is_down else ""
            lines.append(f"  {name} -- {goal} [label={_quoted(row.text.strip())}{style}]")
    return lines


def _quoted(*texts: str) -> str:
    r"""A string of DOT with a line a text; only quotes and backslashes are escaped in it."""
    inner = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return '"' + "\\n".join(inner) + '"'

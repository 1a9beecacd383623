"""The picture of a lab for Markdown pages (https://mermaid.js.org/syntax/flowchart.html)."""

from __future__ import annotations

from qlan.interop.drawing import Box, draw
from qlan.interop.settled import File, Settled


def export_lab(lab: Settled) -> tuple[File, ...]:
    """One file.  Ids have a prefix each: `end` and the like are words of the language."""
    drawing = draw(lab)
    lines = ["---", f"title: lab {drawing.title}", "---", "flowchart LR"]
    for rail in drawing.rails:
        lines.append(f'  net-{rail.name}(["{_text(rail.name, *rail.words)}"])')
    if drawing.has_outside:
        lines.append('  outside(("outside"))')
    for box in drawing.boxes:
        lines += _box(box)
    return (File(f"{drawing.title}.mmd", "\n".join(lines) + "\n"),)


def _box(box: Box) -> list[str]:
    name = "host" if box.is_host else f"vm-{box.title}"
    plain = [row.text.strip() for row in box.rows if not (row.network or row.outside)]
    left, right = ('[["', '"]]') if box.is_host else ('["', '"]')
    lines = [f"  {name}{left}{_text(box.title, *plain)}{right}"]
    for row in box.rows:
        goal = "outside" if row.outside else f"net-{row.network}" if row.network else ""
        wire = "-.-" if row.is_down else "-->" if row.outside else "---"
        if goal:
            lines.append(f'  {name} {wire}|"{_text(row.text.strip())}"| {goal}')
    return lines


def _text(*texts: str) -> str:
    """A text in double quotes, a line each; what would end it or be HTML is an entity."""
    safe = (
        text.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;") for text in texts
    )
    return "<br>".join(safe)

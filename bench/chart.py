"""The ratios as an SVG: a bar each on a logarithmic scale, with its limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from bench.measure import Measured

_WIDTH, _LABEL, _ROW = 900, 420, 20
_LOW, _HIGH = 0.01, 100.0


def chart(measured: Sequence[Measured]) -> str:
    """Left of the line at 1 qlan costs less than its peer, right of it more."""
    height = _ROW * (len(measured) + 2)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif"'
        f' font-size="11" role="img" aria-label="qlan\'s cost in units of its peer\'s">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for tick in (0.01, 0.1, 1, 10, 100):
        x, dark = _x(tick), "#444" if tick == 1 else "#ddd"
        lines.append(f'<path d="M{x:.0f} {_ROW}V{height - _ROW}" stroke="{dark}"/>')
        lines.append(f'<text x="{x:.0f}" y="{height - 6}" text-anchor="middle">{tick:g}</text>')
    for number, one in enumerate(measured, start=1):
        lines += _bar(one, number * _ROW)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _bar(one: Measured, top: int) -> list[str]:
    start, end = sorted((_x(1), _x(one.ratio)))
    colour = "#2a7" if one.is_met else "#c43"
    label = escape(f"{one.what} / {one.peer}")
    found = [
        f'<text x="{_LABEL - 8}" y="{top + 14}" text-anchor="end">{label}</text>',
        f'<rect x="{start:.1f}" y="{top + 4}" width="{max(end - start, 1):.1f}" height="12" fill="{colour}">'
        f"<title>{one.ratio:.3g}</title></rect>",
    ]
    if one.limit:
        found.append(f'<path d="M{_x(one.limit):.1f} {top + 1}v18" stroke="#000" stroke-width="2"/>')
    return found


def _x(ratio: float) -> float:
    clipped = min(max(ratio, _LOW), _HIGH)
    part = math.log(clipped / _LOW) / math.log(_HIGH / _LOW)
    return _LABEL + part * (_WIDTH - _LABEL - 30)

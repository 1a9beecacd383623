"""What grows with what, as an SVG: the times of labs of 10, 100, 300 and 1000 NICs, on logarithmic scales."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from html import escape
from statistics import median

from bench.measure import Measured

Line = dict[int, float]  # NICs to seconds

_SIZE = re.compile(r"(\d+) NICs, (\w+): (up again|up|down)")
_PANELS = ("up", "up again", "down")
_SIDE, _LEFT, _TOP = 260, 46, 30
_X, _Y = (10, 1000), (0.01, 100.0)
_COLOURS = ("#2a7", "#17a", "#c43", "#e90", "#85b", "#777", "#4cf", "#a52")


def lines(measured: Sequence[Measured]) -> str:
    """A panel each for up, up again and down; a line for each who did it."""
    panels = _panels(measured)
    names = sorted({name for panel in panels.values() for name in panel}, key=lambda name: ("qlan" not in name, name))
    colours = {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(names)}
    width, height = len(_PANELS) * (_SIDE + _LEFT) + 20, _TOP + _SIDE + 40 + 16 * len(names)
    found = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif"'
        ' font-size="11" role="img" aria-label="seconds by number of NICs">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for number, panel in enumerate(_PANELS):
        found += _panel(panel, panels[panel], colours, number * (_SIDE + _LEFT) + _LEFT)
    for number, name in enumerate(names):
        y = _TOP + _SIDE + 40 + number * 16
        found.append(f'<path d="M{_LEFT} {y}h24" stroke="{colours[name]}" stroke-width="2"/>')
        found.append(f'<text x="{_LEFT + 32}" y="{y + 4}">{escape(name)}</text>')
    return "\n".join([*found, "</svg>"]) + "\n"


def _panels(measured: Sequence[Measured]) -> dict[str, dict[str, Line]]:
    found: dict[str, dict[str, Line]] = {panel: defaultdict(dict) for panel in _PANELS}
    for one in measured:
        size = _SIZE.fullmatch(one.what)
        if size is None or one.unit != "s":
            continue
        nics, realm, panel = int(size[1]), size[2], size[3]
        found[panel][f"qlan, {realm}"].setdefault(nics, median(one.ours))
        if panel != "up again":  # its peer is the first up
            found[panel][f"{one.peer}, {realm}"][nics] = median(one.theirs)
    return found


def _panel(title: str, drawn: dict[str, Line], colours: dict[str, str], left: int) -> list[str]:
    bottom = _TOP + _SIDE
    found = [f'<text x="{left + _SIDE / 2}" y="{_TOP - 12}" text-anchor="middle">{title}, seconds by NICs</text>']
    for second in (0.01, 0.1, 1, 10, 100):
        y = _y(second)
        found.append(f'<path d="M{left} {y:.0f}h{_SIDE}" stroke="#ddd"/>')
        found.append(f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{second:g}</text>')
    for nics in (10, 100, 300, 1000):
        x = left + _x(nics)
        found.append(f'<path d="M{x:.0f} {_TOP}V{bottom}" stroke="#ddd"/>')
        found.append(f'<text x="{x:.0f}" y="{bottom + 16}" text-anchor="middle">{nics}</text>')
    for name, line in drawn.items():
        points = [(left + _x(nics), _y(line[nics])) for nics in sorted(line)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        found.append(f'<path d="M{path}" fill="none" stroke="{colours[name]}" stroke-width="2"/>')
        found += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colours[name]}"/>' for x, y in points]
    return found


def _x(nics: int) -> float:
    return _SIDE * math.log(nics / _X[0]) / math.log(_X[1] / _X[0])


def _y(seconds: float) -> float:
    inside = min(max(seconds, _Y[0]), _Y[1])
    return _TOP + _SIDE * (1 - math.log(inside / _Y[0]) / math.log(_Y[1] / _Y[0]))

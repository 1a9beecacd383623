"""Results as text and as JSON."""

from __future__ import annotations

import json
import platform
import statistics
import sys

from bench.measure import LeftOut, Measured, Results

_START, _END = "<!-- measured -->", "<!-- end -->"
_HEAD = """\
| row | what | qlan | beside | its | ratio | at most |
| --- | --- | --- | --- | --- | --- | --- |"""


def tell(one: Measured | LeftOut) -> None:
    """A line for what just came out."""
    sys.stdout.write(_left_out(one) if isinstance(one, LeftOut) else _measured(one))
    sys.stdout.flush()


def _left_out(one: LeftOut) -> str:
    return f"{one.row:9} {one.what}: left out: {one.why}\n"


def _measured(one: Measured) -> str:
    limit = "" if one.limit is None else f"  (at most {one.limit:g}: {'met' if one.is_met else 'NOT MET'})"
    return (
        f"{one.row:9} {one.what}\n"
        f"{'':9}   qlan {_series(one.ours, one.unit)}   {one.peer} {_series(one.theirs, one.unit)}"
        f"   ratio {one.ratio:.3g}{limit}\n"
    )


def _series(values: tuple[float, ...], unit: str) -> str:
    """The median, and the range."""
    middle = _number(statistics.median(values), unit)
    return middle if len(values) == 1 else f"{middle} [{_number(min(values), unit)}, {_number(max(values), unit)}]"


def _number(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"
    return f"{value:.4g} {unit}".rstrip()


def summary(results: Results) -> None:
    """How many there were, and how many missed."""
    missed = [one for one in results.measured if not one.is_met]
    sys.stdout.write(f"\n{len(results.measured)} measured, {len(missed)} limits not met, "
                     f"{len(results.left_out)} left out\n")  # fmt: skip
    for one in missed:
        sys.stdout.write(f"not met: {one.row}: {one.what}: {one.ratio:.3g} of {one.peer}, at most {one.limit:g}\n")


def is_met(results: Results) -> bool:
    """Every ratio as it must be."""
    return all(one.is_met for one in results.measured)


def has_failed(results: Results) -> bool:
    """Whether something that can be measured here did not work."""
    return any(one.why.startswith("FAILED") for one in results.left_out)


def as_page(results: Results, page: str) -> str:
    """docs/performance.md with the table made anew, between its two marks."""
    head, _, rest = page.partition(_START)
    _, _, tail = rest.partition(_END)
    rows = [_HEAD, *(_table_row(one) for one in results.measured)]
    rows += ["", *(f"* left out: {one.row}: {one.what}: {one.why.splitlines()[0]}" for one in results.left_out)]
    return head + _START + "\n" + "\n".join(rows).rstrip() + "\n" + _END + tail


def _table_row(one: Measured) -> str:
    limit = "" if one.limit is None else f"{one.limit:g}, {'met' if one.is_met else '**not met**'}"
    cells = (
        one.row,
        one.what,
        _series(one.ours, one.unit),
        one.peer,
        _series(one.theirs, one.unit),
        f"{one.ratio:.3g}",
    )
    return f"| {' | '.join(cells)} | {limit} |"


def as_json(results: Results) -> str:
    """All numbers, with what they were measured on."""
    measured = [
        {"row": one.row, "what": one.what, "peer": one.peer, "unit": one.unit, "qlan": one.ours, "theirs": one.theirs,
         "ratio": one.ratio, "limit": one.limit, "met": one.is_met}
        for one in results.measured
    ]  # fmt: skip
    left = [{"row": one.row, "what": one.what, "why": one.why} for one in results.left_out]
    machine = {"kernel": platform.release(), "python": platform.python_version()}
    return json.dumps({"machine": machine, "measured": measured, "left_out": left}, indent=1) + "\n"

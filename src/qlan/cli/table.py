"""Tables of words: columns in line on a wide terminal and in a pipe, a line a cell where the terminal is too narrow."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from qlan.cli.terminal import BOLD, painted, printable, width

_GAP = 2


Rows = Sequence[Sequence[str]]


def lines(head: Sequence[str], rows: Rows, *, fits: int | None) -> list[str]:
    """The table.  A cell may hold several lines; columns that are empty in all rows are left out.  fits: columns of the
    terminal, None: any width."""
    head, table = _cleaned(head, rows)
    if not table:
        return []
    widths = _widths(head, table)
    if fits is not None and _width(widths) > fits:
        return _narrow(head, table)
    return [_row(head, widths)[0], *(line for row in table for line in _row(row, widths))]


def fits(head: Sequence[str], rows: Rows, columns: int | None) -> bool:
    """Whether the table has room in so many columns (None: any)."""
    return columns is None or _width(_widths(*_cleaned(head, rows))) <= columns


def show_blocks(head: Sequence[str], blocks: Sequence[tuple[str, Rows]]) -> None:
    """Print a table whose rows stand in blocks with a title each; the first column is not the title's."""
    everything = [row for _, rows in blocks for row in rows]
    room = width(sys.stdout)
    if not everything or not fits(head, everything, room):
        for title, rows in blocks:
            print(painted(title, BOLD))
            show(head, rows)
        return
    kept, table = _cleaned(head, everything)
    widths = _widths(kept, table)
    print(painted(_row(kept, widths)[0], BOLD))
    place = 0
    for title, rows in blocks:
        print(painted(title, BOLD))
        for row in table[place : place + len(rows)]:
            print("\n".join(_row(row, widths)))
        place += len(rows)


def show(head: Sequence[str], rows: Rows) -> None:
    """Print it, with the head in bold on a terminal."""
    found = lines(head, rows, fits=width(sys.stdout))
    for place, line in enumerate(found):
        print(painted(line, BOLD) if place == 0 and line.startswith(head[0]) else line)


def printable_cell(text: str) -> str:
    """A cell whose own line ends stay."""
    if text.isprintable():
        return text
    return "\n".join(printable(line) for line in text.split("\n"))


def _cleaned(head: Sequence[str], rows: Rows) -> tuple[list[str], list[list[str]]]:
    """Without control characters, and without columns that are empty in all rows."""
    table = [[printable_cell(cell) for cell in row] for row in rows]
    kept = [place for place in range(len(head)) if any(row[place] for row in table)]
    return [head[place] for place in kept], [[row[place] for place in kept] for row in table]


def _widths(head: Sequence[str], table: Rows) -> list[int]:
    return [max(len(line) for cell in (title, *(row[place] for row in table)) for line in cell.split("\n"))
            for place, title in enumerate(head)]  # fmt: skip


def _width(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _row(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    if not any("\n" in cell for cell in cells):
        return [(" " * _GAP).join(map(str.ljust, cells, widths)).rstrip()]
    columns = [cell.split("\n") for cell in cells]
    height = max(len(column) for column in columns)
    found = []
    for place in range(height):
        words = [(column[place] if place < len(column) else "").ljust(wide)
                 for column, wide in zip(columns, widths, strict=True)]  # fmt: skip
        found.append((" " * _GAP).join(words).rstrip())
    return found


def _narrow(head: Sequence[str], table: Rows) -> list[str]:
    """A block of `title  cell` lines a row; an empty first cell belongs to the block above."""
    wide = max(len(title) for title in head)
    found: list[str] = []
    for row in table:
        if found and row[0]:
            found.append("")
        for title, cell in zip(head, row, strict=True):
            if cell:
                found += [f"{(title if place == 0 else '').ljust(wide)}  {line}"
                          for place, line in enumerate(cell.split("\n"))]  # fmt: skip
    return found

"""QEMU takes exactly the words that we take: every line is given to the real program, started paused."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qlan import cmdline

if TYPE_CHECKING:
    from conftest import Program

CASES = Path(__file__).parents[2] / "golden/cmdline/differential"


def words_of(line: str) -> list[str]:
    """A line's words: JSON is one word to its last brace, the rest is plain."""
    if "{" not in line:
        return shlex.split(line)
    found: list[str] = []
    for piece in line.split(" -"):
        option, _, argument = piece.partition(" ")
        found += ["-" + option.lstrip("-"), argument]
    return found


def lines_of(name: str) -> list[str]:
    text = (CASES / name).read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("line", lines_of("made.txt"))
def test_accepts_and_refuses_the_same(program: Program, line: str) -> None:
    words = words_of(line)
    reading = cmdline.read(["qemu-system-x86_64", *words], program.rules)
    verdict = program.start(words)
    faults = [fault.shown(reading.line.text) for fault in reading.faults]
    assert reading.accepted == verdict.understood, f"{program.version}: {verdict.said}\nours: {faults}"


def test_a_newer_qemu_was_compared_too(programs: list[Program]) -> None:
    """Two versions at least: a newer one comes with scripts/fetch_other_qemus.sh, which scripts/test calls."""
    versions = sorted(program.rules.version for program in programs)
    if len(versions) < 2:
        pytest.skip(f"only QEMU {programs[0].version} is here: scripts/fetch_other_qemus.sh fetches a newer one")
    assert versions[-1] >= (10, 0)

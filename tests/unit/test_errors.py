"""An error says what, where and what to do; its group has one exit status."""

from __future__ import annotations

import inspect

import pytest

from qlan import errors
from qlan.cli.complaint import as_json, as_text
from qlan.errors import (
    ApplyError,
    CommandFailed,
    ConflictError,
    DriftError,
    HostError,
    MissingTool,
    NotInTime,
    QlanError,
    RestoreError,
    UsageError,
)
from qlan.problems import Mark, Problem, TopologyError

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, QlanError)]


def test_the_exit_statuses_are_the_documented_ones() -> None:
    from qlan.cli.verbs import help_text

    statuses = {cls.exit_code for cls in CLASSES if cls is not QlanError}
    assert statuses == {2, 3, 4, 5, 6, 7, 8}
    said = help_text().partition("Exit status:")[2]
    assert all(str(status) in said for status in statuses)


@pytest.mark.parametrize(
    ("cls", "status"),
    [(TopologyError, 2), (UsageError, 2), (HostError, 3), (MissingTool, 3), (ConflictError, 4), (ApplyError, 5),
     (RestoreError, 6), (DriftError, 7), (NotInTime, 8)],
)  # fmt: skip
def test_one_status_a_group(cls: type[QlanError], status: int) -> None:
    assert cls.exit_code == status


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (QlanError("it broke"), "it broke"),
        (QlanError("it broke", where="bridge/lan"), "bridge/lan: it broke"),
        (QlanError("it broke", where="bridge/lan", hint="mend it"), "bridge/lan: it broke\n  hint: mend it"),
        (TopologyError([Problem(Mark("qlan.yaml", 3, 7), "no", "yes"), Problem(None, "why")]),
         "qlan.yaml:3:7: no\n  hint: yes\nwhy"),
    ],
)  # fmt: skip
def test_as_a_text(error: QlanError, text: str) -> None:
    assert str(error) == text


@pytest.mark.parametrize(("count", "words"), [(1, "1 problem in the topology"), (2, "2 problems in the topology")])
def test_problems_are_counted(count: int, words: str) -> None:
    assert TopologyError([Problem(None, "x")] * count).what == words


@pytest.mark.parametrize(
    ("stderr", "what"),
    [("first\nlast\n", "last"), ("", "exit status 7"), ("\n \n", "exit status 7")],
)
def test_a_failed_command_tells_its_last_words_and_can_be_pasted(stderr: str, what: str) -> None:
    error = CommandFailed(["ip", "link"], 7, stderr, shown="ip link")
    assert (error.what, error.where, error.code, error.stderr) == (what, "ip link", 7, stderr)


def test_marks_sort_by_place() -> None:
    marks = [Mark("a", 2, 1), Mark("a", 10, 1), Mark("a", 2, 10)]
    assert sorted(marks) == [marks[0], marks[2], marks[1]]


def test_a_message_cannot_drive_the_terminal() -> None:
    """A name from a file or a kernel message may hold anything."""
    said = as_text(QlanError("bad \x1b[2J name\r", where="a\x07", hint="\x9b1m"))
    assert not set(said) & {"\x1b", "\r", "\x07", "\x9b"}
    assert "\n" not in as_json(QlanError("two\nlines"))

"""An error as the user sees it: what, where, hint; or as one JSON object on standard error (with --json)."""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from qlan.cli.terminal import printable
from qlan.errors import QlanError, RestoreError, UsageError
from qlan.problems import Mark, Problem, TopologyError

REPORT = "qlan: this is a bug of qlan: please report it, with the text above and what you typed"


def explained(error: Exception) -> Exception:
    """A file that this machine does not let us read or write is no bug of ours, wherever we came upon it."""
    refused = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO)
    if not isinstance(error, OSError) or error.filename is None or error.errno not in refused:
        return error
    from qlan.host import files

    return files.explained(error, Path(str(error.filename)))


def as_text(error: QlanError) -> str:
    """Three lines; of a topology, every problem with its place and its hint."""
    if isinstance(error, TopologyError):
        lines = [line for problem in error.problems for line in problem_lines(problem)]
        return "\n".join([*lines, f"qlan: error: {error.what}"])
    lines = [f"qlan: error: {printable(error.what)}"]
    if error.where:
        lines.append(f"  where: {_indented(error.where)}")
    if isinstance(error, RestoreError):
        lines += [f"  left:  {printable(one)}" for one in error.left]
    if error.hint:
        lines.append(f"  hint:  {_indented(error.hint)}")
    return "\n".join(lines)


def know_labs(error: QlanError, words: Sequence[str]) -> None:
    """Where a guest, a network or nothing was wanted and a lab was named, the hint is how a lab is named."""
    if not isinstance(error, UsageError) or {"-l", "--lab"} & set(words):
        return
    blamed = [word for word in words if f"guest `{word}`" in error.what or f"network `{word}`" in error.what
              or error.what.endswith(f" arguments: {word}")]  # fmt: skip
    if not blamed:
        return
    from qlan.lab import Lab

    with suppress(QlanError, OSError):
        for word in set(blamed) & set(Lab.names()):
            error.hint = f"`{word}` is a lab: -l {word} names it" + (f"; {error.hint}" if error.hint else "")


def problem_lines(problem: Problem) -> list[str]:
    """`file:line:column: what`, and its hint below."""
    place = f"{problem.mark}: " if problem.mark else ""
    hint = [f"  hint: {_indented(problem.hint)}"] if problem.hint else []
    return [f"{place}{_indented(problem.what)}", *hint]


def as_json(error: QlanError) -> str:
    """`{"error": {"kind", "exit_status", "what", "where", "hint"[, "problems"][, "left"]}}` in one line."""
    data: dict[str, object] = {
        "kind": type(error).__name__, "exit_status": error.exit_code, "what": error.what, "where": error.where,
        "hint": error.hint,
    }  # fmt: skip
    if isinstance(error, TopologyError):
        data["problems"] = [problem_data(problem) for problem in error.problems]
    if isinstance(error, RestoreError):
        data["left"] = error.left
    return json.dumps({"error": data})


def problem_data(problem: Problem) -> dict[str, object]:
    """One problem of a file for JSON."""
    mark = problem.mark or Mark("", 0, 0)
    return {"file": mark.file, "line": mark.line, "column": mark.column, "what": problem.what, "hint": problem.hint}


def _indented(text: str) -> str:
    """Further lines of a text stand under its first."""
    return "\n         ".join(printable(line) for line in text.rstrip().splitlines())

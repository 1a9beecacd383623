"""Where `-o PATH` of import and export writes: to what is not there yet, or to standard output."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from qlan.errors import HostError, UsageError


def add_output(parser: argparse.ArgumentParser, what: str = "") -> None:
    """`-o PATH`.  what: more about it.  `-` comes as None, like nothing said."""
    said = f"write there, if nothing is there yet{what}; - is standard output"
    parser.add_argument("-o", "--output", type=_parse_target, metavar="PATH", help=said)


def check_new(paths: Iterable[Path]) -> None:
    """UsageError for the first that is there already: before any is written."""
    for path in paths:
        if os.path.lexists(path):
            raise _there_already(path)


def create(path: Path, text: str, mode: int = 0o666) -> None:
    """A file that was not there, and its folders.  UsageError if it is there by now, HostError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode, exist_ok=False)
        try:
            path.write_text(text, encoding="utf-8")
        except OSError:
            path.unlink()  # a full disk: the next try is none over a file that is there
            raise
    except FileExistsError as error:
        raise _there_already(Path(error.filename or path)) from error
    except OSError as error:
        raise HostError(f"{path} cannot be written: {error.strerror or error}") from error


def _parse_target(text: str) -> Path | None:
    return None if text == "-" else Path(text)


def _there_already(path: Path) -> UsageError:
    return UsageError(f"{path} is there already", hint="name another, or remove it")

"""What the shell asks for at TAB (`_ARGCOMPLETE` is set then): argcomplete answers from a parser of all verbs.

Only the module of the verb that is being typed is imported; the others are names.
"""

from __future__ import annotations

import argparse
import contextlib
import os

import argcomplete

from qlan.cli import which
from qlan.cli.parser import Parser, verb_module
from qlan.cli.verbs import VERBS


def complete() -> None:
    """Answer and end the process."""
    words = os.environ.get("COMP_LINE", "").split()[1:]
    argcomplete.autocomplete(parser_for(next((word for word in words if word in VERBS), "")), validator=_starts)


def parser_for(verb: str) -> argparse.ArgumentParser:
    """A parser with every verb, and the words of one of them."""
    parser = Parser(prog="qlan")
    parser.add_argument("--version", action="store_true")
    which.add_lab(parser)
    _hush(parser)
    verbs = parser.add_subparsers(dest="verb")
    for name, text in VERBS.items():
        one = verbs.add_parser(name, help=text, prog=f"qlan {name}")
        if name == verb:
            verb_module(name).define(one)
            _hush(one)
    return parser


def _hush(parser: argparse.ArgumentParser) -> None:
    """A name that cannot be found out (a broken file, no lab) is no reason for a message in the middle of a line."""
    for action in parser._actions:
        if action.dest in ("file", "lab") and parser.prog != "qlan":
            action.default = argparse.SUPPRESS  # else a verb's None would hide what stood before the verb
        completer = getattr(action, "completer", None)
        if completer is not None:
            action.completer = _Quiet(completer)  # type: ignore[attr-defined]


class _Quiet:
    def __init__(self, completer: object) -> None:
        self._completer = completer

    def __call__(self, **words: object) -> list[str]:
        with contextlib.suppress(Exception):
            return list(self._completer(**words))  # type: ignore[operator]
        return []


def _starts(candidate: str, typed: str) -> bool:
    return candidate.startswith(typed)

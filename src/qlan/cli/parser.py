"""The words of a verb: one argparse parser a verb, made when it is run.

A verb's module has DESCRIPTION, EXAMPLES, `define(parser)` and `run(args) -> int`; and REST = "what it is" if
everything after `--` belongs to somebody else (it comes as `args.rest`).
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from qlan.cli.terminal import width
from qlan.cli.verbs import MODULES
from qlan.errors import UsageError
from qlan.names import nearest


class Parser(argparse.ArgumentParser):
    """An argparse parser whose complaints are UsageErrors."""

    def error(self, message: str) -> NoReturn:
        """Three lines as for any other error, not a usage text that hides them."""
        hint = f"{self.prog} --help"
        if message.startswith("unrecognized arguments: "):
            word = message.removeprefix("unrecognized arguments: ").split()[0].partition("=")[0]
            near = nearest(word, self._option_string_actions) if word.startswith("-") else ""
            hint = f"did you mean `{near}`?" if near else hint
        raise UsageError(message, hint=hint)


def verb_module(verb: str) -> ModuleType:
    """The module of a verb; only now is it imported."""
    return importlib.import_module(f"qlan.cli.{MODULES[verb]}")


def make_parser(verb: str, module: ModuleType) -> Parser:
    """The parser of a verb."""
    rest: str = getattr(module, "REST", "")
    parser = Parser(
        prog=f"qlan {verb}",
        description=module.DESCRIPTION,
        epilog=f"examples:\n{module.EXAMPLES.rstrip()}",
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    module.define(parser)
    if rest:
        parser.usage = f"{parser.format_usage().removeprefix('usage: ').rstrip()} [-- {rest}]"
    return parser


def _formatter(prog: str) -> argparse.HelpFormatter:
    """With a width that is said: argparse makes a formatter for every option, and would ask shutil each time."""
    return argparse.RawDescriptionHelpFormatter(prog, width=min(width(sys.stdout) or 100, 120) - 2)


def parse(verb: str, module: ModuleType, words: Sequence[str]) -> argparse.Namespace:
    """A verb's words, read; UsageError."""
    rest: list[str] = []
    own = list(words)
    if hasattr(module, "REST") and "--" in own:
        cut = own.index("--")
        own, rest = own[:cut], own[cut + 1 :]
    parser = make_parser(verb, module)
    takes_all = any(action.nargs == argparse.REMAINDER for action in parser._actions)
    # Intermixed: `nic attach -f FILE web lan` means what it says, though GUEST and NETWORK may be left out.
    args = parser.parse_args(own) if takes_all else parser.parse_intermixed_args(own)
    args.rest = rest
    return args


def seconds(text: str) -> float:
    """A time in seconds, not negative."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"`{text}` is not a time in seconds, like 30 or 0.5")
    return value


def span(text: str) -> float:
    """A time with its unit, or in seconds."""
    from qlan.topology.scalars import Unreadable, parse_duration

    try:
        return float(parse_duration(text))
    except Unreadable:
        return seconds(text)

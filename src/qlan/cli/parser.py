"""The words of a verb: one argparse parser a verb, made when it is run.

A verb's module has DESCRIPTION, EXAMPLES, `define(parser)` and `run(args) -> int`; and REST = "what it is" if
everything after `--` belongs to somebody else (it comes as `args.rest`).
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from qlan.cli.terminal import width
from qlan.cli.verbs import MODULES
from qlan.errors import UsageError
from qlan.names import nearest

_NEGATIVE = re.compile(r"-\.?[0-9]")
_TIME_MAX_S = 1e9  # beyond it clocks overflow


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


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Names what argparse shows as `...`: the words of somebody else's command."""

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        if action.nargs == argparse.REMAINDER:
            return f"[{action.metavar or default_metavar} ...]"
        return super()._format_args(action, default_metavar)


def _formatter(prog: str) -> argparse.HelpFormatter:
    """With a width that is said: argparse makes a formatter for every option, and would ask shutil each time."""
    return _Formatter(prog, width=min(width(sys.stdout) or 100, 120) - 2)


def parse(verb: str, module: ModuleType, words: Sequence[str]) -> argparse.Namespace:
    """A verb's words, read; UsageError."""
    rest: list[str] = []
    own = list(words)
    if hasattr(module, "REST") and "--" in own:
        cut = own.index("--")
        own, rest = own[:cut], own[cut + 1 :]
    parser = make_parser(verb, module)
    takes_all = any(action.nargs == argparse.REMAINDER for action in parser._actions)
    own = own if takes_all else _with_negatives(parser, own)
    # Intermixed: `nic attach -f FILE web lan` means what it says, though GUEST and NETWORK may be left out.
    args = parser.parse_args(own) if takes_all else parser.parse_intermixed_args(own)
    args.rest = rest
    return args


def _with_negatives(parser: Parser, words: Sequence[str]) -> list[str]:
    """`--loss -1%` as `--loss=-1%`: argparse takes the value for an option, and never says what is wrong with it."""
    found: list[str] = []
    for place, word in enumerate(words):
        option = parser._option_string_actions.get(words[place - 1]) if place and "--" not in words[:place] else None
        if option and option.nargs is None and _NEGATIVE.match(word):
            found[-1] += f"={word}"
        else:
            found.append(word)
    return found


def seconds(text: str) -> float:
    """A time in seconds, not negative."""
    return _within(text, _number(text), "in seconds, like 30 or 0.5")


def span(text: str) -> float:
    """A time with its unit, or in seconds."""
    from qlan.topology.scalars import SECONDS_OF

    scale = SECONDS_OF.get(text[-1:])
    value = _number(text[:-1]) * scale if scale else _number(text)
    return _within(text, value, "like 30s, 5m or 1h, or 0.5 for half a second")


def _number(text: str) -> float:
    """Negative: it is none."""
    try:
        return float(text)
    except ValueError:
        return -1.0


def _within(text: str, value_s: float, like: str) -> float:
    if value_s > _TIME_MAX_S:
        raise argparse.ArgumentTypeError(f"`{text}` is too long: at most {_TIME_MAX_S:.0f} seconds, some 30 years")
    if not value_s >= 0:  # nor NaN
        raise argparse.ArgumentTypeError(f"`{text}` is not a time {like}")
    return value_s

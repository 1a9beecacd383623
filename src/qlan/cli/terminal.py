"""The terminal, if there is one: its width, colours, and what may be written to it."""

from __future__ import annotations

import os
import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

BOLD, RED, GREEN, YELLOW, DIM = "1", "31", "32", "33", "2"


def is_live(stream: TextIO) -> bool:
    """Whether a line on it can be written over."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def width(stream: TextIO) -> int | None:
    """Its columns, or None if it is no terminal: then lines are as long as they are."""
    if not stream.isatty():
        return None
    words = os.environ.get("COLUMNS", "")
    if words.isdecimal() and int(words):
        return int(words)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def painted(text: str, colour: str, stream: TextIO | None = None) -> str:
    """The text in a colour, where the stream shows colours and the user wants them (https://no-color.org)."""
    stream = stream or sys.stdout
    if not text or not is_live(stream) or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"


def printable(text: str) -> str:
    """The text with control characters spelled out: what a guest or a file says must not steer a terminal."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)

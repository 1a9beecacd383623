"""`qlan graph`: a picture of the lab."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qlan.cli import which
from qlan.cli.terminal import width
from qlan.errors import MissingTool

if TYPE_CHECKING:
    from qlan.interop.drawing import Drawing

DESCRIPTION = """\
Draw the lab in the terminal: guests with their NICs at the left, networks as lines that run down at the right, this
machine where it takes part.  In a terminal that is too narrow the networks' names move into a list above, and in a very
narrow one the picture becomes a list.  Nothing is changed, and the lab need not be up."""
EXAMPLES = """\
  qlan graph
  qlan graph --ascii > lab.txt
  qlan graph --open                      the same as an SVG, in your usual viewer
  qlan export --to svg -o lab.svg"""

_WIDTH_MIN, _WIDTH_MAX = 20, 10_000


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `graph`."""
    parser.add_argument("--ascii", action="store_true", help="only letters that every terminal has")
    parser.add_argument(
        "--width", type=_columns, metavar="N", help="draw for so many columns (default: the terminal's)"
    )
    parser.add_argument("--open", action="store_true", help="write the picture as SVG and open it with xdg-open")
    which.add_realm(parser)
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Draw it."""
    from qlan.cli.whole import settled
    from qlan.interop import picture
    from qlan.interop.drawing import draw

    drawing = draw(settled(which.lab_of_file(args)))
    if args.open:
        return _open(drawing)
    if args.json:
        from qlan.cli.output import print_json

        print_json(drawing)
        return 0
    plain = args.ascii or not _writes_lines()
    text = picture.render(drawing, picture.ASCII if plain else picture.UNICODE, args.width or width(sys.stdout))
    sys.stdout.write(text)
    return 0


def _open(drawing: Drawing) -> int:
    """The SVG goes where the user's other caches are: the viewer reads it when we are gone."""
    from qlan.host import user
    from qlan.host.run import find_tool
    from qlan.host.run import run as run_program
    from qlan.interop import svg

    if find_tool("xdg-open") is None:
        raise MissingTool("xdg-open is not installed",
                          hint="install xdg-utils (so it is called everywhere), or qlan export --to svg")  # fmt: skip
    folder: Path = user.cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{drawing.title}.svg"
    path.write_text(svg.render(drawing), encoding="utf-8")
    run_program(["xdg-open", str(path)])
    print(path)
    return 0


def _writes_lines() -> bool:
    """Whether standard output can carry the letters of boxes."""
    from qlan.interop import picture

    letters = "".join((picture.UNICODE.across, picture.UNICODE.plug, picture.UNICODE.arrow, picture.UNICODE.forward))
    try:
        letters.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _columns(text: str) -> int:
    if not text.isdecimal() or not _WIDTH_MIN <= int(text) <= _WIDTH_MAX:
        raise argparse.ArgumentTypeError(f"`{text}` is not a number of columns, {_WIDTH_MIN} or more")
    return int(text)

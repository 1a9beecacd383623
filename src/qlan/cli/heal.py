"""`qlan heal`: the end of a partition."""

from __future__ import annotations

import argparse

from qlan.cli import which
from qlan.cli.interrupt import interruptible
from qlan.cli.output import print_json

DESCRIPTION = """\
End a partition (`qlan partition`): all guests hear all again.  Connections that were cut go on, if they still wait."""
EXAMPLES = """\
  qlan heal
  qlan heal -l shop"""


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `heal`."""
    which.add_lock_wait(parser)
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Do it."""
    from qlan import bending
    from qlan.topology.bends import in_words

    lab = which.lab_that_is_up(args)
    with interruptible():
        sides, _ = bending.heal(lab)
    if args.json:
        print_json({"lab": lab.name, "healed": sides})
    else:
        print(f"healed: {in_words(sides)}" if sides else "nothing was partitioned")
    return 0

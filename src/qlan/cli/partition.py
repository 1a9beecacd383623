"""`qlan partition WEB,DB / CACHE`: guests that do not hear each other."""

from __future__ import annotations

import argparse

from qlan.cli import which
from qlan.cli.interrupt import interruptible
from qlan.cli.output import print_json

DESCRIPTION = """\
Part the guests of a lab: those of one side hear nothing of those of another any more, not by their network and not by
what this machine routes between networks; each side, and every guest that is not named, goes on.  The guests see their
cables plugged, and this machine reaches all of them.  It takes the place of a partition that was before, and stays
through `qlan up` and restarts of the guests until `qlan heal`.  Without guests: what is partitioned now."""
EXAMPLES = """\
  qlan partition web,db / cache
  qlan partition n1,n2 / n3,n4 / n5
  qlan partition
  qlan heal"""


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `partition`."""
    words = parser.add_argument("words", nargs="*", metavar="GUEST,... / GUEST,...", help="the sides")
    words.completer = which.complete_guests  # type: ignore[attr-defined]
    which.add_lock_wait(parser)
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Do it, or list."""
    from qlan import bending
    from qlan.topology.bends import in_words

    sides = [[name for name in side.replace(",", " ").split() if name] for side in " ".join(args.words).split("/")]
    if args.words:
        args.guest = next((name for side in sides for name in side), "")
        lab, _ = which.lab_of_guest(args, slash=False) if args.guest else (which.lab_that_is_up(args), "")
        if args.lock_wait is not None:
            lab.lock_wait_s = args.lock_wait
        with interruptible():
            bending.partition(lab, sides)
    else:
        lab = which.lab_that_is_up(args)
    now = bending.listed(lab).sides
    if args.json:
        print_json({"lab": lab.name, "sides": now})
    else:
        print(f"partition: {in_words(now)}" if now else "nothing is partitioned")
    return 0

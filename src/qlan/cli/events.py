"""`qlan events`: what happens to a lab, a line each, as it happens."""

from __future__ import annotations

import argparse
import json
import sys
import time

from qlan.cli import which
from qlan.cli.output import plain
from qlan.cli.terminal import GREEN, RED, YELLOW, painted, printable
from qlan.watching import Event, Watch

DESCRIPTION = """\
Print what happens to a lab that is up, a line each, until it is down or Ctrl-C: guests that end or start, what their
QEMUs tell (QMP's events: a reset, a panic, a NIC that the guest let go of), leases, what was changed behind qlan's back
(a deleted bridge, a TAP pulled out of it, a killed server), and calls of qlan itself.  The first lines tell what is
wrong already.  With --repair it is put back at once, and each repair is reported; what is broken three times within a
minute is then left alone.  Guests are never started or restarted by it: `qlan up` does that.  Sleeps while nothing
happens.  In JSON each line is an object: time_s (since the epoch), lab, what, key, text."""
EXAMPLES = """\
  qlan events
  qlan events --repair
  qlan events --json | jq -r 'select(.what == "lease") | .text'"""

COLOURS = {"drift": YELLOW, "left": RED, "failed": RED, "repaired": GREEN, "mended": GREEN, "guest-down": YELLOW}


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `events`."""
    add_repair(parser)
    which.add_json(parser)
    which.add_lab(parser)


def add_repair(parser: argparse.ArgumentParser) -> None:
    """--repair."""
    parser.add_argument("--repair", action="store_true", help="put back what was changed from outside")


def run(args: argparse.Namespace) -> int:
    """Print them."""
    for event in Watch(which.lab_that_is_up(args), args.repair).events():
        assert event is not None
        print(json.dumps(plain(event)) if args.json else line(event))
        sys.stdout.flush()
    return 0


def line(event: Event) -> str:
    """`12:30:05 lease      web/0 has 10.0.0.2 on lan`."""
    clock = time.strftime("%H:%M:%S", time.localtime(event.time_s))
    colour = COLOURS.get(event.what)
    what = f"{event.what:<10}"
    return f"{clock} {painted(what, colour) if colour else what} {printable(event.text)}"

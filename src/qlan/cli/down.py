"""`qlan down`: take it back, without leaving anything."""

from __future__ import annotations

import argparse
from collections import Counter

from qlan.cli import which
from qlan.cli.output import count, print_json
from qlan.cli.parser import seconds
from qlan.cli.progress import PUT_BACK, Progress
from qlan.errors import UsageError
from qlan.lab import STOP_GRACE_S, Lab
from qlan.planning.plan import Action, Plan

DESCRIPTION = """\
Take back everything that `up` made: guests, servers, bridges, files.  Guests are asked to shut down (ACPI), and ended by
force after a time.  Guests named: only these; their networks stay for the others.  What was picked (subnets,
addresses, ports) is remembered for the next `up`, unless --forget."""
EXAMPLES = """\
  qlan down                 all of it
  qlan down web             one guest
  qlan down --force         pull the plug
  qlan down -l alpine       what `qlan run alpine.qcow2` started, from anywhere"""

_NOUNS = {"machine": "guest", "dnsmasq": "server", "bridge": "bridge", "namespace": "namespace", "tap": "TAP"}


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `down`."""
    which.add_guest(parser, many=True, help_text="only these guests")
    parser.add_argument("--grace", type=seconds, default=STOP_GRACE_S, metavar="S",
                        help=f"how long guests may take to shut down (default: {STOP_GRACE_S:.0f})")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="don't ask guests, end them (--grace 0)")
    parser.add_argument("--forget", action="store_true", help="forget picked subnets, addresses and ports, too")
    which.add_lock_wait(parser)
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Take it down."""
    guests, lab = _which(args)
    if guests and args.forget:
        raise UsageError("--forget is for a whole lab", hint="leave the guests out")
    progress = Progress(quiet=args.json)
    grace_s = 0.0 if args.force else args.grace
    with progress.shown(f"taking down {', '.join(guests) or lab.name}, up to {grace_s:.0f} s",
                        when_interrupted=f"{PUT_BACK}, as far as it can be; `qlan down` goes on"):  # fmt: skip
        done = lab.down(guests, grace_s=grace_s, forget=args.forget, progress=progress.steps)
    if args.json:
        print_json({"lab": lab.name, "removed": [step.key for step in done.steps if step.action is Action.DELETE]})
    else:
        print(_said(lab, done) + (", and forgotten" if args.forget else ""))
    return 0


def _which(args: argparse.Namespace) -> tuple[list[str], Lab]:
    """The guests named and their lab; one guest alone may be in any lab that is up."""
    if len(args.guests) == 1:
        args.guest = args.guests[0]
        lab, guest = which.lab_of_guest(args)
        return [guest], lab
    guests = which.split(args.guests, args)
    if args.lab and not guests:
        return [], Lab.known(args.lab)
    return guests, which.lab_by_name(args)


def _said(lab: Lab, done: Plan) -> str:
    if not done:
        return f"lab {lab.name}: nothing is up"
    kinds = Counter(step.key.partition("/")[0] for step in done.steps if step.action is Action.DELETE)
    words = [count(kinds[kind], noun) for kind, noun in _NOUNS.items() if kinds[kind]]
    return f"lab {lab.name}: removed {', '.join(words) or count(kinds.total(), 'thing')}"

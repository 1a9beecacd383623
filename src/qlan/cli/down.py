"""`qlan down`: take it back, without leaving anything."""

from __future__ import annotations

import argparse
from collections import Counter

from qlan.cli import which
from qlan.cli.interrupt import PUT_BACK
from qlan.cli.output import count, print_json
from qlan.cli.parser import seconds
from qlan.cli.progress import Progress
from qlan.errors import UsageError
from qlan.host.process import STOP_GRACE_S
from qlan.lab import Lab
from qlan.names import nearest
from qlan.planning.plan import Action, Plan
from qlan.resources.model import Adopted

DESCRIPTION = """\
Take back everything that `up` made: guests, servers, bridges, files.  Guests are asked to shut down (ACPI), and
ended by force after a time.  Guests named: only these; their networks stay for the others.  What was picked (subnets,
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
    if args.guests and args.forget:
        raise UsageError("--forget is for a whole lab", hint="leave the guests out")
    guests, lab = _which(args)
    there = [guest for guest in guests if guest in lab.guests] if lab.is_up else []
    if guests and not there:
        _check_known(guests, lab)
        return _say(args, lab, Plan())
    progress = Progress(quiet=args.json)
    grace_s = 0.0 if args.force else args.grace
    with progress.shown(f"taking down {', '.join(there) or lab.name}, up to {grace_s:.0f} s",
                        when_interrupted=f"{PUT_BACK}, as far as it can be; `qlan down` goes on"):  # fmt: skip
        done = lab.down(there, grace_s=grace_s, forget=args.forget, progress=progress.steps)
    return _say(args, lab, done)


def _which(args: argparse.Namespace) -> tuple[list[str], Lab]:
    """The guests named and their lab; one guest alone may be in any lab that is up."""
    if len(args.guests) == 1 and (found := which.find_lab_of_guest(args)):
        return [found[1]], found[0]
    guests = which.split(args.guests, args)
    return guests, Lab.known(args.lab) if args.lab else which.lab_by_name(args)


def _check_known(guests: list[str], lab: Lab) -> None:
    """A guest that is not up is fine if the file has it; UsageError."""
    record = lab.record
    whole = Lab.load(record.source) if record and record.source else lab
    names = [guest.name for guest in whole.topology.guests] if whole.topology else lab.guests
    for guest in guests:
        if guest not in names:
            near = nearest(guest, names)
            hint = f"did you mean `{near}`?" if near else f"its guests: {', '.join(names) or 'none'}"
            raise UsageError(f"no guest `{guest}` in lab `{lab.name}`", hint=hint)


def _say(args: argparse.Namespace, lab: Lab, done: Plan) -> int:
    if args.json:
        print_json({"lab": lab.name, "removed": [step.key for step in done.steps if step.action is Action.DELETE]})
    else:
        print(_said(lab, done, args.guests) + (", and forgotten" if args.forget else ""))
    return 0


def _said(lab: Lab, done: Plan, guests: list[str]) -> str:
    if not done:
        return f"lab {lab.name}: {' and '.join(guests) or 'nothing'} {'are' if len(guests) > 1 else 'is'} " + (
            "not up" if guests else "up")  # fmt: skip
    kinds = Counter(step.key.partition("/")[0] for step in done.steps if step.action is Action.DELETE)
    lent = sum(isinstance(step.resource, Adopted) for step in done.steps if step.action is Action.DELETE)
    kinds["machine"] -= lent
    words = [count(kinds[kind], noun) for kind, noun in _NOUNS.items() if kinds[kind]]
    found = [f"removed {', '.join(words) or count(kinds.total(), 'thing')}"] if kinds.total() else []
    found += [f"let go of {count(lent, 'adopted guest')}"] if lent else []
    return f"lab {lab.name}: {', '.join(found)}"

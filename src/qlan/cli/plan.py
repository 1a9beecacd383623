"""`qlan plan`: what `up` would do."""

from __future__ import annotations

import argparse
import sys

from qlan.cli import in_the_way, uplink, which
from qlan.cli.output import print_json
from qlan.cli.terminal import GREEN, RED, YELLOW, painted, printable
from qlan.lab import Lab
from qlan.planning import text
from qlan.planning.cost import Cost
from qlan.planning.plan import Action, Plan, Step
from qlan.planning.scope import guest_of, is_edit

DESCRIPTION = """\
Show what `qlan up` would do now, a line a resource: + create, ~ change, - delete.  Nothing is changed.
What a guest that runs would notice stands behind it: [relink] its cable is pulled and put back, [replug] the card is
changed, [restart] waits for `up --restart` (but what broke is mended at once), [next start] is only noted.
--script writes the very commands as a shell script that anyone can read and run."""
EXAMPLES = """\
  qlan plan
  qlan plan --script > up.sh
  qlan plan --json | jq '.steps[].key'"""

_COLOURS = {Action.CREATE: GREEN, Action.CHANGE: YELLOW, Action.DELETE: RED}


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `plan`."""
    which.add_guest(parser, many=True, help_text="only these guests and what they need")
    parser.add_argument("--script", action="store_true", help="the commands as a shell script")
    which.add_discard(parser)
    uplink.add_managed(parser)
    which.add_realm(parser)
    which.add_lock_wait(parser)
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Plan, and print it."""
    guests = which.split(args.guests, args)
    lab = uplink.with_words(which.lab_of_file(args), args)
    lab.discard = args.discard
    if args.script and not args.json:
        sys.stdout.write(lab.script(guests, python=sys.executable))
        return 0
    plan = lab.plan(guests)
    if args.json:
        print_json(
            _data(lab.name, plan)
            | {"in_the_way": in_the_way.data(lab.wanted, lab.realm)}
            | ({"script": lab.script(guests, python=sys.executable)} if args.script else {})
        )
        return 0
    for step in plan.steps:
        print(painted(printable(text.line(step) + _cost(step)), _COLOURS[step.action]))
    for line in uplink.before_and_after(plan):
        print(printable(line))
    print(f"lab {lab.name}: {text.summary(plan)}")
    in_the_way.show(lab.wanted, lab.realm)
    _show_restarts(lab, plan)
    return 0


def _show_restarts(lab: Lab, plan: Plan) -> None:
    """Who cannot take it while it runs: an edit of the file waits, what broke is mended at once."""
    cut = dict.fromkeys(
        guest for step in plan.steps if step.cost is Cost.RESTART and (guest := guest_of(step.resource))
    )
    record, wanted = lab.record, lab.wanted_for(())
    waiting = [guest for guest in cut if is_edit(guest, wanted, record.wanted if record else {})]
    if waiting:
        print(f"waits for `qlan up --restart`: {', '.join(waiting)}")
    if broken := [guest for guest in cut if guest not in waiting]:
        print(f"restarted by `qlan up`, since something of it is gone: {', '.join(broken)}")


def _cost(step: Step) -> str:
    """What a guest that runs notices."""
    return "" if step.cost is Cost.LIVE else f"  [{step.cost}]"


def _data(lab: str, plan: Plan) -> dict[str, object]:
    steps = [{"action": step.action.value, "key": step.key, "goes_with": step.implied, "before": step.before,
              "after": step.after, "cost": step.cost.value} for step in plan.steps]  # fmt: skip
    return {"lab": lab, "summary": text.summary(plan), "steps": steps}

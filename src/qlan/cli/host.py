"""`qlan host`: what root permits ordinary users on this machine, and takes back."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from qlan.cli.output import print_json
from qlan.errors import UsageError

if TYPE_CHECKING:
    from qlan.grant import Change

DESCRIPTION = """\
Let ordinary users plug their guests into a bridge of this machine (`kind: bridge`), by QEMU's own bridge helper: its
setuid bit, which upgrades of the package take off, and the list of bridges in /etc/qemu/bridge.conf.  What will be done
is shown first.  `revoke` undoes exactly what `allow` did.  Both need root."""
EXAMPLES = """\
  sudo qlan host allow br0                  every user of this machine
  sudo qlan host allow br0 --user alice     alice alone
  sudo qlan host revoke br0 --user alice
  sudo qlan host allow br0 --yes            without asking"""


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `host`."""
    parser.add_argument("action", choices=("allow", "revoke"), help="permit, or take back")
    parser.add_argument("bridge", metavar="BRIDGE", help="an interface's name, like br0")
    parser.add_argument("--user", metavar="NAME", help="only this user (default: every one)")
    parser.add_argument("--yes", action="store_true", help="don't ask")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")


def run(args: argparse.Namespace) -> int:
    """Show it, ask, do it."""
    from qlan import grant
    from qlan.topology.scalars import Unreadable, parse_interface

    try:
        bridge = parse_interface(args.bridge)
    except Unreadable as error:
        raise UsageError(error.what, hint=error.hint) from None
    plan = grant.allow if args.action == "allow" else grant.revoke
    changes = plan(bridge, args.user)
    lines = grant.lines(changes)
    if args.json:
        _check_yes(args, changes)
        grant.apply(changes)
        print_json({"action": args.action, "bridge": bridge, "user": args.user, "done": lines})
        return 0
    print("\n".join(lines) if lines else f"{bridge} is allowed already: nothing to do")
    if changes and not args.yes:
        _check_yes(args, changes)
    grant.apply(changes)
    return 0


def _check_yes(args: argparse.Namespace, changes: list[Change]) -> None:
    """UsageError unless the user says yes, here or by --yes."""
    if args.yes or not changes:
        return
    if args.json or not sys.stdin.isatty():
        raise UsageError("nothing was changed: nobody is there to say yes", hint="the same with --yes")
    if input("do it? [y/N] ").strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was changed", hint="")

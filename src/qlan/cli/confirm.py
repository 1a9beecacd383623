"""`qlan confirm`: keep what `up` did with this machine's NIC."""

from __future__ import annotations

import argparse

from qlan.cli import which
from qlan.cli.output import print_json

DESCRIPTION = """\
Keep the NICs that `up` made ports of bridges (`kind: public`).  Without this they are put back as they were when their
time is over (60 s, or `confirm_within:`), or as soon as the gateway stops answering.  Say it from where you would
otherwise be locked out: over the very connection that runs through the NIC."""
EXAMPLES = """\
  qlan confirm
  sudo qlan up && sudo qlan confirm    only if `up` came through and you still see this"""


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `confirm`."""
    which.add_lock_wait(parser)
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Confirm."""
    from qlan.confirming import confirm

    lab = which.lab_by_name(args)
    done = confirm(lab)
    if args.json:
        print_json({"lab": lab.name, "confirmed": [one.nic for one in done]})
    for one in [] if args.json else done:
        print(f"{one.nic} stays in {one.bridge} until `qlan down`")
    if not done and not args.json:
        print(f"lab {lab.name}: confirmed before")
    return 0

"""`qlan disable`: the lab no longer comes up with the machine."""

from __future__ import annotations

import argparse

from qlan.cli import which
from qlan.cli.output import print_json

DESCRIPTION = """\
Take back `qlan enable`: the unit is disabled and removed.  The lab stays as it is now."""
EXAMPLES = """\
  qlan disable
  sudo qlan disable"""


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `disable`."""
    which.add_realm(parser)
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Disable it."""
    from qlan import booting

    lab = which.lab_of_file(args)
    done = booting.disable(lab)
    if args.json:
        print_json({"lab": lab.name, "changed": done})
    else:
        print(f"lab {lab.name} no longer comes up at boot" if done else f"lab {lab.name} was not enabled")
    return 0

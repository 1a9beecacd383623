"""`qlan enable`: the lab comes up with the machine."""

from __future__ import annotations

import argparse
import sys

from qlan.cli import uplink, which
from qlan.cli.output import print_json

DESCRIPTION = """\
Have the lab come up when the machine does, and go down with it, by a systemd unit: a rootless lab's is your own
systemd's, root's is the machine's.  The lab stays as it is now.  Where no systemd runs, the error has a line for cron.
A NIC of this machine (`kind: public`) is kept then if the gateway answered for a minute: nobody is there to confirm."""
EXAMPLES = """\
  qlan enable
  sudo qlan enable
  sudo qlan enable --managed   as `up --managed`
  qlan enable --show      the unit, without doing anything"""


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `enable`."""
    parser.add_argument("--show", action="store_true", help="print the unit and change nothing")
    uplink.add_managed(parser)
    which.add_realm(parser)
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Enable it."""
    from qlan import booting

    lab = uplink.with_words(which.lab_of_file(args), args)
    one = booting.unit(lab) if args.show else booting.enable(lab)
    if args.json:
        print_json({"lab": lab.name, "unit": one.path, "text": one.text, "lingers": booting.lingers()})
    elif args.show:
        sys.stdout.write(one.text)
    else:
        print(f"lab {lab.name} comes up at boot, by {one.path}")
        if one.of_user and not booting.lingers():
            print("your systemd starts when you log in; to have it start at boot: loginctl enable-linger")
    return 0

"""`qlan ssh-config`: `ssh web.shop` for every guest, and all that is built on ssh."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from qlan.cli import which
from qlan.cli.output import print_json
from qlan.errors import UsageError

DESCRIPTION = """\
Print an SSH configuration by which a lab's guests are reached as GUEST.LAB, in both realms, without root and without a
forward: by ssh, scp, rsync, Ansible, editors.  Where a guest is gets asked at each connection.
--install makes it a file of its own in ~/.ssh/qlan, included in ~/.ssh/config; --uninstall takes that out again."""
EXAMPLES = """\
  qlan ssh-config --install
  ssh web.shop
  rsync -a site/ web.shop:/srv/
  qlan ssh-config -l shop > shop.conf; ssh -F shop.conf web.shop
  qlan ssh-config -l shop --uninstall"""


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `ssh-config`."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--install", action="store_true", help="include it in ~/.ssh/config")
    how.add_argument("--uninstall", action="store_true", help="take it out again")
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Print it, or put it there."""
    from qlan import ssh_config

    home = ssh_config.Home(Path.home() / ".ssh")
    lab = which.lab_by_name(args) if not (args.uninstall and args.lab) else None
    name = lab.name if lab else args.lab
    if args.uninstall:
        done = ssh_config.uninstall(name, home)
        said = f"lab {name}: taken out of {home.folder}" if done else f"lab {name} was not in {home.folder}"
    elif args.install and lab:
        done = ssh_config.install(lab, home)
        said = f"ssh GUEST.{name} works now, by {home.block(name)}" if done else f"lab {name} is there already"
    elif lab:
        if args.json:
            print_json({"lab": name, "text": ssh_config.text(lab)})
        else:
            sys.stdout.write(ssh_config.text(lab))
        return 0
    else:
        raise UsageError("no lab is named")
    if args.json:
        print_json({"lab": name, "changed": done})
    else:
        print(said)
    return 0

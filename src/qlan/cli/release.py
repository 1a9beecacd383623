"""`qlan release`: an adopted QEMU is given back as it was."""

from __future__ import annotations

import argparse

from qlan.cli import which
from qlan.cli.interrupt import interruptible
from qlan.cli.output import print_json

DESCRIPTION = """\
Give an adopted QEMU back: NICs that were plugged into it are unplugged, forwards and cables are as they were when it
was adopted, and qlan knows it no more.  The guest runs on."""
EXAMPLES = """\
  qlan release vm
  qlan release shop/vm"""


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `release`."""
    which.add_guest(parser, help_text="an adopted guest")
    which.add_lock_wait(parser)
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Give it back."""
    from qlan import adopting

    lab, guest = which.lab_of_guest(args)
    if args.lock_wait is not None:
        lab.lock_wait_s = args.lock_wait
    pid = lab.find_pid(guest)
    with interruptible():
        adopting.release(lab, guest)
    if args.json:
        print_json({"lab": lab.name, "guest": guest, "pid": pid})
    else:
        print(f"guest {guest} left lab {lab.name}: process {pid} is as it was")
    return 0

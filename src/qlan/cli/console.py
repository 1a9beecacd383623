"""`qlan console GUEST`: the guest's serial line on this terminal."""

from __future__ import annotations

import argparse
import sys

from qlan.cli import which
from qlan.cli.serial import Line, talk
from qlan.cli.terminal import DIM, painted
from qlan.errors import UsageError
from qlan.lab import Lab

DESCRIPTION = """\
Attach to a guest's serial console; Ctrl-] detaches.  What the guest said before is not repeated (`qlan log --serial
GUEST` has it); press Enter for a prompt.  One at a time: a second console is told who has it.  With a pipe as input
the words are sent, and the answer is printed until the guest is silent for a second."""
EXAMPLES = """\
  qlan console web
  qlan console shop/web
  echo 'ip -br address' | qlan console web"""


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `console`."""
    which.add_guest(parser, help_text="a guest that is up")
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Attach."""
    lab, guest = which.lab_of_guest(args)
    return attach(lab, guest)


def attach(lab: Lab, guest: str) -> int:
    """Talk until the user detaches or the guest ends.  ConflictError if somebody else is attached."""
    if lab.find_pid(guest) is None:
        raise UsageError(f"guest `{guest}` does not run", where=f"lab {lab.name}",
                         hint=f"qlan up {guest}; qlan log {guest} tells why it ended")  # fmt: skip
    with Line(lab.layout.serial(guest), guest) as line:
        _say(f"[{guest}: Ctrl-] detaches, Enter wakes the prompt]")
        ended = talk(line.socket, sys.stdin.fileno(), sys.stdout.fileno())
    _say(f"\n[{guest}: {'the guest ended' if ended else 'detached'}]")
    return 0


def _say(text: str) -> None:
    """To people only."""
    if sys.stdin.isatty() and sys.stderr.isatty():
        print(painted(text, DIM, sys.stderr), file=sys.stderr, flush=True)

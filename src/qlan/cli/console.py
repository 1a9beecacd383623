"""`qlan console GUEST`: the guest's serial line on this terminal."""

from __future__ import annotations

import argparse
import sys

from qlan.cli import which
from qlan.cli.parser import seconds
from qlan.cli.serial import SILENCE_S, Line, talk
from qlan.cli.terminal import DIM, painted
from qlan.errors import UsageError
from qlan.lab import Lab

DESCRIPTION = """\
Attach to a guest's serial console; Ctrl-] detaches.  What the guest said before is not repeated (`qlan log --serial
GUEST` has it); press Enter for a prompt.  One at a time: a second console is told who has it.  With a pipe as input
the words are sent, and the answer is printed until the guest is silent for a second (--silence)."""
EXAMPLES = """\
  qlan console web
  qlan console shop/web
  echo 'ip -br address' | qlan console web"""


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `console`."""
    which.add_guest(parser, help_text="a guest that is up")
    parser.add_argument("--silence", type=seconds, default=SILENCE_S, metavar="S",
                        help="with a pipe: detach when the guest was silent for so long (default: 1)")  # fmt: skip
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Attach."""
    lab, guest = which.lab_of_guest(args)
    return attach(lab, guest, silence_s=args.silence)


def attach(lab: Lab, guest: str, *, silence_s: float = SILENCE_S) -> int:
    """Talk until the user detaches or the guest ends.  ConflictError if somebody else is attached."""
    if lab.find_pid(guest) is None:
        raise UsageError(f"guest `{guest}` does not run", where=f"lab {lab.name}",
                         hint=f"qlan up {guest}; qlan log {guest} tells why it ended")  # fmt: skip
    if lab.layout.adopted(guest).exists():
        raise UsageError(f"guest `{guest}` is adopted: its serial line is where its own command line has it",
                         where=f"lab {lab.name}", hint="look for -serial, -chardev or -nographic there")  # fmt: skip
    with Line(lab.layout.serial(guest), guest) as line:
        _say(f"[{guest}: Ctrl-] detaches, Enter wakes the prompt]")
        ended = talk(line.socket, sys.stdin.fileno(), sys.stdout.fileno(), silence_s=silence_s)
    _say(f"\n[{guest}: {'the guest ended' if ended else 'detached'}]")
    return 0


def _say(text: str) -> None:
    """To people only."""
    if sys.stdin.isatty() and sys.stderr.isatty():
        print(painted(text, DIM, sys.stderr), file=sys.stderr, flush=True)

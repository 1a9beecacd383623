"""`qlan restart GUEST`: end it and start it again, as the file is now."""

from __future__ import annotations

import argparse
import time

from qlan.cli import arrivals, which
from qlan.cli.output import print_json
from qlan.cli.parser import seconds
from qlan.cli.progress import Progress
from qlan.host.process import STOP_GRACE_S
from qlan.lab import Lab

DESCRIPTION = """\
End guests and start them again, as the file is now (a lab of `qlan run`: as they were started).  They are asked to shut
down first; their networks, addresses and ports stay."""
EXAMPLES = """\
  qlan restart web
  qlan restart shop/web --force     from anywhere, without asking the guest"""


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `restart`."""
    guest = parser.add_argument("guests", nargs="+", metavar="GUEST", help="a guest of the lab")
    guest.completer = which.complete_guests  # type: ignore[attr-defined]
    parser.add_argument("--grace", type=seconds, default=STOP_GRACE_S, metavar="S",
                        help=f"how long it may take to shut down (default: {STOP_GRACE_S:.0f})")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="don't ask, end it (--grace 0)")
    parser.add_argument("--no-wait", action="store_true", help="don't wait for its network")
    parser.add_argument("--timeout", type=seconds, default=arrivals.TIMEOUT_S, metavar="S",
                        help="how long to wait for it (default: 120)")  # fmt: skip
    which.add_lock_wait(parser)
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Restart them."""
    start_s = time.monotonic()
    guests = which.split(args.guests, args)
    lab = _lab(args)
    progress = Progress(quiet=args.json)
    with progress.shown(f"restarting {', '.join(guests)}"):
        done = lab.restart(guests, grace_s=0.0 if args.force else args.grace, progress=progress.steps)
    if not args.json:
        print(f"restarted {', '.join(guests)} ({time.monotonic() - start_s:.1f} s)", flush=True)
    came = arrivals.Arrivals([], [], start_s, quiet=args.json)
    if not args.no_wait:
        came = arrivals.wait(lab, done, start_s, time_limit_s=args.timeout, progress=progress, quiet=args.json)
    if args.json:
        print_json({"lab": lab.name, "guests": came.data() if came.guests else [{"guest": one} for one in guests]})
    return 0


def _lab(args: argparse.Namespace) -> Lab:
    """With its file where it has one."""
    if args.lab:
        lab = Lab.named(args.lab)
        record = lab.record
        if record is None or record.source is None:
            return lab
    return which.lab_of_file(args)

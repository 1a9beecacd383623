"""`qlan impair`: a NIC's link made slow, late or lossy while its guest runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from qlan.cli import which
from qlan.cli.interrupt import interruptible
from qlan.cli.output import print_json
from qlan.errors import UsageError

if TYPE_CHECKING:
    from qlan.topology.bends import Impairment

DESCRIPTION = """\
Make the link of a running guest's NIC worse: late, lossy, slow.  Options that are given change, the others stay as
they were; `none` ends one, --clear all of them.  NIC is its number, its network's name, or its MAC.  Without options:
what is impaired now.  --direction is as the guest sees it: with `both`, a delay of 50ms makes a round trip 100 ms
longer.  It stays through `qlan up` and restarts of the guest until it is cleared; the guest sees its cable plugged all
the time.  All but --rate needs a kernel with netem (sch_netem)."""
EXAMPLES = """\
  qlan impair web/0 --delay 50ms --jitter 5ms --loss 1%
  qlan impair web/lan --rate 10mbit --direction in
  qlan impair web/0 --loss none
  qlan impair
  qlan impair web/0 --clear
  qlan impair --clear"""

_OPTIONS = {
    "delay": ("TIME", "a frame comes so much later: 50ms"),
    "jitter": ("TIME", "the delay varies by as much, and frames overtake each other"),
    "loss": ("SHARE", "so many frames are lost: 1%%"),
    "duplicate": ("SHARE", "come twice"),
    "corrupt": ("SHARE", "have a bit that is wrong"),
    "reorder": ("SHARE", "do not wait for the delay, and overtake others"),
    "rate": ("RATE", "no more than 10mbit; goes before `rate:` of the file"),
}
_LIMITS = {"TIME": "at most a minute", "RATE": "from 8kbit to 100gbit"}


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `impair`."""
    target = parser.add_argument("target", nargs="?", metavar="GUEST/NIC", help="of a lab that is up")
    target.completer = which.complete_guests  # type: ignore[attr-defined]
    for name, (metavar, text) in _OPTIONS.items():
        parser.add_argument(f"--{name}", metavar=metavar, help=text)
    parser.add_argument("--direction", choices=("in", "out", "both"), default="both",
                        help="what the guest gets, sends, or both (default)")  # fmt: skip
    parser.add_argument("--clear", action="store_true", help="end all of it; without GUEST/NIC: of the whole lab")
    which.add_lock_wait(parser)
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Do it, or list."""
    from qlan import bending
    from qlan.topology.bends import WAYS

    settings = _settings(args)
    if args.clear and settings:
        raise UsageError("--clear ends all of it", hint="leave the other options out, or say `none` for one of them")
    if settings and args.target is None:
        raise UsageError("`qlan impair` wants GUEST/NIC before what is to be done to it", hint="qlan impair --help")
    lab, guest, nic = which.lab_of_nic(args) if args.target else (which.lab_that_is_up(args), "", "")
    ways = WAYS if args.direction == "both" else (args.direction,)
    if settings:
        with interruptible():
            found, _ = bending.impair(lab, guest, nic, settings, ways)
    elif args.clear:
        with interruptible():
            found, _ = bending.clear(lab, guest, nic, ways)
    else:
        number = bending.find_nic(lab, guest, nic) if guest else None
        found = [one for one in bending.listed(lab).impairments if not guest or (one.guest, one.nic) == (guest, number)]
    if args.json:
        print_json({"lab": lab.name, "cleared" if args.clear else "impaired": found})
        return 0
    for one in found:
        print(_line(one, cleared=args.clear))
    if not found:
        print("nothing is impaired" if not args.clear else "nothing was impaired")
    return 0


def _line(one: Impairment, *, cleared: bool) -> str:
    if cleared or not one.settings:
        return f"{one.guest}/{one.nic} {one.direction}: as the file says"
    return str(one)


def _settings(args: argparse.Namespace) -> dict[str, int]:
    """The options that were given, as fields of an Impairment."""
    if all(getattr(args, name) is None for name in _OPTIONS):
        return {}
    from qlan.topology.scalars import Unreadable, parse_delay, parse_rate, parse_share

    sorts: dict[str, tuple[str, Callable[[str], int]]] = {
        "TIME": ("us", parse_delay), "SHARE": ("ppm", parse_share), "RATE": ("bps", parse_rate)
    }  # fmt: skip
    found = {}
    for name, (sort, _) in _OPTIONS.items():
        text = getattr(args, name)
        if text is not None:
            unit, parse = sorts[sort]
            try:
                found[f"{name}_{unit}"] = 0 if text == "none" else parse(text)
            except Unreadable as error:
                # A number of too many digits is no such value either: the limit belongs to what is due.
                hint = f"{error.hint}; {_LIMITS[sort]}" if error.hint and sort in _LIMITS else error.hint
                raise UsageError(f"--{name}: {error.what}", hint=hint) from None
    return found

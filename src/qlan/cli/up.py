"""`qlan up`: make it so, wait for the guests' networks, say how long each took."""

from __future__ import annotations

import argparse
import time

from qlan import beside
from qlan.cli import arrivals, in_the_way, uplink, which
from qlan.cli.output import print_json
from qlan.cli.parser import seconds
from qlan.cli.progress import Progress
from qlan.lab import Lab, UpReport
from qlan.planning import text

DESCRIPTION = """\
Make the lab as its file says: networks, servers, guests.  Does only what is missing; a second `up` does nothing.
Waits until each guest has its network (its DHCP lease was seen; where there is no DHCP: its cable is plugged in).
If a step fails, or at Ctrl-C, the machine is put back to what it was.  Guests named: only these and what they need."""
EXAMPLES = """\
  qlan up                     all of qlan.yaml
  qlan up web db              two guests, with the networks they are on
  qlan up --no-wait           don't wait for DHCP leases
  qlan up --restart           restart running guests whose part of the file was changed
  qlan up --discard           and take back what `qlan nic` and `qlan forward` changed by hand
  sudo qlan up --managed      kind public, on a NIC of NetworkManager's or systemd-networkd's
  sudo qlan up --realm host   bridges on this machine itself; QEMU runs as you"""


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `up`."""
    which.add_guest(parser, many=True, help_text="only these guests and what they need")
    parser.add_argument("--no-wait", action="store_true", help="don't wait for the guests' networks")
    parser.add_argument("--timeout", type=seconds, default=arrivals.TIMEOUT_S, metavar="S",
                        help="how long to wait for them (default: 120)")  # fmt: skip
    parser.add_argument("--restart", action="store_true", help="restart guests that run and were changed in the file")
    which.add_discard(parser)
    uplink.add_words(parser)
    which.add_realm(parser)
    which.add_lock_wait(parser)
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Bring it up."""
    start_s = time.monotonic()
    guests = which.split(args.guests, args)
    lab = uplink.with_words(which.lab_of_file(args), args)
    lab.discard = args.discard
    progress = Progress(quiet=args.json)
    with in_the_way.ahead():
        with progress.shown(f"bringing up {lab.name}"):
            report = lab.up(guests, restart=args.restart, progress=progress.steps)
        if not args.json:
            _say(lab, report)
            for line in uplink.lines(lab):
                print(line, flush=True)
            in_the_way.show(lab.wanted, lab.realm)
    came = arrivals.Arrivals([], [], start_s, quiet=args.json)
    if not args.no_wait:
        came = arrivals.wait(lab, report.plan, start_s, time_limit_s=args.timeout, progress=progress, quiet=args.json)
    if args.json:
        print_json(data(lab, report, came))
    return 0


def data(lab: Lab, report: UpReport, came: arrivals.Arrivals) -> dict[str, object]:
    """What was done, for JSON."""
    return {
        "lab": lab.name, "realm": lab.realm.value, "took_s": round(report.took_s, 3),
        "steps": [{"action": step.action.value, "key": step.key} for step in report.plan.steps],
        "postponed": report.postponed, "guests": came.data(),
        "in_the_way": in_the_way.data(lab.wanted, lab.realm),
    }  # fmt: skip


def _say(lab: Lab, report: UpReport) -> None:
    if report.plan:
        print(f"lab {lab.name} is up ({lab.realm.value}, {report.took_s:.1f} s)", flush=True)
    elif not report.postponed:
        print(f"lab {lab.name}: {text.summary(report.plan)}")
    for guest, keys in report.postponed.items():
        print(f"{guest}: runs as it was; the file has changed its {', '.join(_parts(keys))}")
    record = lab.record
    if record and (by_hand := [*beside.by_hand(record), *beside.unsaved(record)]):
        print(f"by hand, not in the file: {'; '.join(by_hand)} (`qlan up --discard` goes back to it)")
    if report.postponed:
        print(f"to restart {'it' if len(report.postponed) == 1 else 'them'}: qlan up --restart")


def _parts(keys: list[str]) -> list[str]:
    """`machine/web`, `nic/web/0` as `machine`, `nic 0`; each once."""
    words = [" ".join([key.split("/")[0], *key.split("/")[2:]]) for key in keys]
    return list(dict.fromkeys(words))

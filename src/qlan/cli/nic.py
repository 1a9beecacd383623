"""`qlan nic`: NICs of running guests: plugged in, pulled out, moved, their cables."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from qlan.cli import table, which
from qlan.cli.interrupt import interruptible
from qlan.cli.output import print_json
from qlan.cli.parser import span
from qlan.errors import UsageError

if TYPE_CHECKING:
    from qlan.lab import Lab
    from qlan.plugging import Plugged

DESCRIPTION = """\
Change the NICs of a guest that runs.  attach GUEST NETWORK plugs one more in (NETWORK may be `user`), detach GUEST/NIC
pulls it out, move GUEST/NIC NETWORK puts it on another network, down and up GUEST/NIC pull its cable and put it back,
list [GUEST] shows all.  NIC is its number, its network's name if only one is there, or its MAC.
The file stays as it is, and so does the change with the next `qlan up`, until it is taken back, `qlan up --discard`
goes back to the file, or the file changes that guest; --save writes the change into it."""
EXAMPLES = """\
  qlan nic attach web back --model e1000
  qlan nic attach suspect user --for 10m
  qlan nic move web/1 lan
  qlan nic down web/lan
  qlan nic detach shop/web/1 --save
  qlan nic list"""

_ACTIONS = ("attach", "detach", "move", "up", "down", "list")
_HEAD = ("GUEST", "NIC", "NETWORK", "MODEL", "MAC", "ADDRESS", "LINK")


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `nic`."""
    parser.add_argument("action", choices=_ACTIONS, metavar="ACTION", help=", ".join(_ACTIONS))
    guest = parser.add_argument("target", nargs="?", metavar="GUEST[/NIC]", help="of a lab that is up")
    guest.completer = which.complete_guests  # type: ignore[attr-defined]
    network = parser.add_argument(
        "network", nargs="?", metavar="NETWORK", help="for attach and move: one of the lab's, or user"
    )
    network.completer = which.complete_names  # type: ignore[attr-defined]
    parser.add_argument("--model", default="", help="for attach: `qlan models` lists them (default: virtio)")
    parser.add_argument("--mac", help="for attach (default: one of its own)")
    parser.add_argument(
        "--for", dest="time_s", type=span, metavar="TIME", help="for attach: it goes again after 30s, 10m"
    )
    parser.add_argument("--save", action="store_true", help="write it into the file, whose comments stay")
    which.add_lock_wait(parser)
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Do it, and say what became of it."""
    if args.action == "list":
        if args.network is not None:
            what = f"`{args.network}` is a word too many for `qlan nic list`"
            raise UsageError(what, hint="one guest, or none")
        return _list(args)
    wants_network = args.action in ("attach", "move")
    if args.target is None or (args.network is None) == wants_network:
        place = "GUEST" if args.action == "attach" else "GUEST/NIC"
        raise UsageError(f"`qlan nic {args.action}` wants {place}{' NETWORK' if wants_network else ''}",
                         hint="qlan nic --help")  # fmt: skip
    if args.action != "attach" and (args.model or args.mac or args.time_s is not None):
        raise UsageError("--model, --mac and --for are for `qlan nic attach`", hint="qlan nic --help")
    start_s = time.monotonic()
    lab, nic = _find(args)
    with interruptible():
        done = _do(args, lab, nic)
    took_s = time.monotonic() - start_s
    if args.json:
        change = done.change
        print_json({"lab": lab.name, "guest": change.guest, "nic": change.nic, "action": change.verb,
                    "network": change.network or None, "saved": done.saved, "took_s": round(took_s, 3),
                    "steps": [{"action": one.action.value, "key": one.key, "cost": one.cost.value}
                              for one in done.report.plan.steps]})  # fmt: skip
        return 0
    print(f"{done.change} ({took_s:.1f} s)" + (f", written into {done.saved}" if done.saved else ""))
    return 0


def _do(args: argparse.Namespace, lab: Lab, nic: str) -> Plugged:
    from qlan import plugging
    from qlan.topology.changes import Change

    if args.action == "attach":
        new = Change(args.guest, "attach", -1, args.network, args.model, _mac(args.mac))
        return plugging.attach(lab, new, for_s=args.time_s, save=args.save)
    if args.action == "detach":
        return plugging.detach(lab, args.guest, nic, save=args.save)
    if args.action == "move":
        return plugging.move(lab, args.guest, nic, args.network, save=args.save)
    return plugging.pull(lab, args.guest, nic, up=args.action == "up", save=args.save)


def _find(args: argparse.Namespace) -> tuple[Lab, str]:
    """The lab and the NIC's word; sets args.guest."""
    if args.action != "attach":
        lab, args.guest, nic = which.lab_of_nic(args)
        return lab, nic
    args.guest = args.target
    try:
        lab, args.guest = which.lab_of_guest(args)
    except UsageError as error:
        guest, _, nic = args.target.rpartition("/")
        if guest and nic.isdecimal():
            error.hint = f"a new NIC takes the next number: qlan nic attach {guest} {args.network}"
        raise
    if args.lock_wait is not None:
        lab.lock_wait_s = args.lock_wait
    return lab, ""


def _mac(text: str | None) -> str | None:
    from qlan.names import parse_mac

    try:
        return parse_mac(text) if text else None
    except ValueError as error:
        raise UsageError(str(error)) from None


def _list(args: argparse.Namespace) -> int:
    from qlan.cli.status import short_model

    if args.target:
        args.guest = args.target
        lab, guest = which.lab_of_guest(args)
    else:
        lab, guest = which.lab_that_is_up(args), ""
    status = lab.status()
    found = [(one.name, nic) for one in status.guests for nic in one.nics if guest in ("", one.name)]
    if args.json:
        from qlan.cli.output import plain

        print_json({"lab": lab.name, "by_hand": status.by_hand,
                    "nics": [{"guest": name, **plain(nic)} for name, nic in found]})  # fmt: skip
        return 0
    rows = [
        (name, str(nic.index), nic.network, short_model(nic.model), nic.mac, nic.address or "-", nic.link)
        for name, nic in found
    ]
    table.show(_HEAD, rows)
    if status.by_hand:
        print("by hand, not in the file: " + "; ".join(status.by_hand))
    return 0

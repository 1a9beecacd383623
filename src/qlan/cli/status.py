"""`qlan status`: a table of what is there, and what was changed behind the lab's back."""

from __future__ import annotations

import argparse
import sys

from qlan.cli import in_the_way, table, uplink, which
from qlan.cli.output import print_json
from qlan.cli.terminal import BOLD, YELLOW, painted, printable, width
from qlan.lab import Lab
from qlan.names import MODEL_ALIASES
from qlan.resources.model import Resources
from qlan.status import GuestStatus, LabStatus, NicStatus

DESCRIPTION = """\
Show a lab's guests: their NICs, networks, models, MACs, addresses (with how they are known), forwards and links.
Drift is what somebody else changed since `up` (a deleted TAP, a dead server): the next `qlan up` repairs it."""
EXAMPLES = """\
  qlan status
  qlan status --all              every lab of yours that is up
  qlan status --json | jq -r '.labs[0].guests[].nics[0].address'"""

_HEAD = ("GUEST", "STATE", "NIC", "NETWORK", "MODEL", "MAC", "ADDRESS", "LINK", "FORWARDS")
_DRIFT_SHOWN = 20


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `status`."""
    parser.add_argument("-a", "--all", action="store_true", help="every lab that is up")
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    labs = _labs(args)
    if args.json:
        print_json({"labs": [_data(lab) for lab in labs]})
        return 0
    if not labs:
        print("no lab is up")
    for place, lab in enumerate(labs):
        if place:
            print()
        if lab.is_up:
            with in_the_way.ahead():
                _show(lab)
                in_the_way.show(_wanted(lab), lab.realm)
        else:
            print(f"lab {lab.name} is not up (qlan up brings it up)")
    return 0


def _labs(args: argparse.Namespace) -> list[Lab]:
    """The one meant; where none is, all that are up."""
    if args.all or not (args.lab or args.file or which.find_file()):
        return [Lab.named(name) for name in Lab.names()]
    return [which.lab_by_name(args)]


def _data(lab: Lab) -> object:
    from qlan.cli.output import plain

    if not lab.is_up:
        return {"lab": lab.name, "state": "down", "guests": []}
    return {"state": "up", **plain(lab.status()), "in_the_way": in_the_way.data(_wanted(lab), lab.realm)}


def _wanted(lab: Lab) -> Resources:
    """What was wanted last."""
    record = lab.record
    return record.wanted if record else {}


def _show(lab: Lab) -> None:
    status = lab.status()
    source = f"  {printable(str(status.source))}" if status.source else ""
    print(f"lab {painted(status.lab, BOLD)}  {status.realm}{source}")
    _show_guests(status.guests)
    for line in uplink.lines(lab):
        print(painted(line, YELLOW))
    relayed = [nic for guest in status.guests for nic in guest.nics if nic.callers_seen_as and nic.network != "user"]
    if relayed:
        seen = ", ".join(dict.fromkeys(nic.callers_seen_as for nic in relayed))
        print(f"callers through forwards come to the guests from {seen}")
    _show_notes(status)
    sys.stdout.flush()


def _show_notes(status: LabStatus) -> None:
    """What is not as the file says."""
    if status.edited:
        print(painted("edited: the file was changed since `up`; `qlan plan` shows what that means", YELLOW))
    if status.unsaved or status.by_hand:
        print(painted("by hand, not in the file (`qlan up --discard` goes back to it):", YELLOW))
        for line in (*status.by_hand, *status.unsaved)[:_DRIFT_SHOWN]:
            print(f"  {printable(line)}")
    if status.bends:
        print(painted("bent by hand, until `qlan impair --clear` or `qlan heal`:", YELLOW))
        for line in status.bends[:_DRIFT_SHOWN]:
            print(f"  {printable(line)}")
    if status.drift:
        print(painted("drift: changed since `up`; `qlan up` repairs it:", YELLOW))
        for line in status.drift[:_DRIFT_SHOWN]:
            print(f"  {printable(line)}")
        if len(status.drift) > _DRIFT_SHOWN:
            print(f"  and {len(status.drift) - _DRIFT_SHOWN} more (--json has them all)")


def _show_guests(guests: tuple[GuestStatus, ...]) -> None:
    """One table; on a narrow terminal a block a guest, with forwards under the address."""
    if not guests:
        print("no guests")
        return
    rows = [row for guest in guests for row in _rows(guest)]
    if table.fits(_HEAD, rows, width(sys.stdout)):
        table.show(_HEAD, rows)
    else:
        blocks = [(f"{guest.name}  {guest.state}", [_joined(row) for row in _rows(guest)]) for guest in guests]
        table.show_blocks(_HEAD[2:-1], blocks)


def _rows(guest: GuestStatus) -> list[tuple[str, ...]]:
    if not guest.nics:
        return [(guest.name, guest.state, "none", *[""] * (len(_HEAD) - 3))]
    return [_row(guest if place == 0 else None, nic) for place, nic in enumerate(guest.nics)]


def _row(guest: GuestStatus | None, nic: NicStatus) -> tuple[str, ...]:
    both = ((nic.address, nic.address_state), (nic.address6, nic.address6_state))
    address = "\n".join(f"{text} ({how})" for text, how in both if text) or "-"
    return (
        guest.name if guest else "", guest.state if guest else "", str(nic.index), nic.network, short_model(nic.model),
        nic.mac, address, nic.link, "\n".join(nic.forwards),
    )  # fmt: skip


def _joined(row: tuple[str, ...]) -> tuple[str, ...]:
    """The row of a block: without guest and state, forwards below the address."""
    _, _, index, network, model, mac, address, link, forwards = row
    return (index, network, model, mac, f"{address}\n{forwards}" if forwards else address, link)


def short_model(device: str) -> str:
    """A model as the file says it: `virtio` for `virtio-net-pci`."""
    return next((short for short, name in MODEL_ALIASES.items() if name == device), device)

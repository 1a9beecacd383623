"""`qlan forward`: ports that lead into a guest that runs: listed, opened, closed."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from qlan.cli import table, which
from qlan.cli.interrupt import interruptible
from qlan.cli.output import print_json
from qlan.errors import UsageError
from qlan.names import endpoint

if TYPE_CHECKING:
    from qlan.forwarding import Open
    from qlan.lab import Lab
    from qlan.reversing import OpenReverse

DESCRIPTION = """\
List the forwards that are open, with the process that listens, the connections through each, and the address that the
guest sees instead of the caller's.  Open and close some while the guest runs: nobody else's connections notice, nor do
those that are open through a port that is closed (of TCP: datagrams have no end).  A SPEC is as in the file: 8080:80,
udp:5353:53, 0.0.0.0:8080:80, [::1]:8080:80, auto:22, 8000-8010:8000-8010.  What is not in the file is told by
`qlan status`, stays with the next `qlan up` and goes with `qlan up --discard`; --save writes it there.
With --reverse a guest on a bridged network gets a port of the host's address there that leads to a service of this
machine; what listens is said first, as with `ssh -R`: 5432:5432, 8080:192.168.1.5:80.  No other guest gets
through.  In the file they are `reverse:` at the NIC."""
EXAMPLES = """\
  qlan forward list
  qlan forward add web 8080:80 auto:22
  qlan forward add web 0.0.0.0:8443:443 --nic 1
  qlan forward add web 8081:8080 --save
  qlan forward remove web 8080
  qlan forward add web 5432:5432 --reverse --save"""

_HEAD = ("GUEST", "NIC", "NETWORK", "FORWARD", "CONNECTIONS", "BY", "GUEST SEES")

_PORT_0 = re.compile(r"(?:(?:tcp|udp):)?0+(?::|/|$)")
_REVERSE_HEAD = ("GUEST", "NIC", "NETWORK", "REVERSE", "CONNECTIONS", "BY")


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `forward`."""
    parser.add_argument("action", choices=("list", "add", "remove"), help="what to do")
    guest = parser.add_argument("guest", metavar="GUEST", nargs="?", help="whose (list: default all)")
    guest.completer = which.complete_guests  # type: ignore[attr-defined]
    parser.add_argument("specs", metavar="SPEC", nargs="*", help="a forward; remove: its host port will do")
    parser.add_argument("--nic", metavar="NIC", help="add: into this one (default: the first that takes any)")
    parser.add_argument("--reverse", action="store_true", help="a service of this machine, for the guest")
    parser.add_argument("--save", action="store_true", help="write it into the file too, its comments kept")
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Do it."""
    if args.action == "list":
        return _list(args)
    if args.action == "remove" and args.nic is not None:
        raise UsageError("--nic is for `qlan forward add`", hint="leave it out: the port says which forward is meant")
    if not args.guest or not args.specs:
        raise UsageError(f"`forward {args.action}` needs a guest and a forward",
                         hint=f"qlan forward {args.action} web 8080:80")  # fmt: skip
    from qlan import forwarding

    lab, guest = which.lab_of_guest(args)
    if args.reverse:
        return _reverse(args, lab, guest)
    with interruptible():
        if args.action == "add":
            _, done = forwarding.add(lab, guest, args.specs, _nic(args, lab, guest), save=args.save)
        else:
            _, done = forwarding.remove(lab, guest, args.specs, save=args.save)
    if args.json:
        print_json({"lab": lab.name, args.action: done})
        return 0
    for one in done:
        where = f"{endpoint(one.host_address, one.host_port)}/{one.protocol}"
        print(f"{where} -> port {one.guest_port} of {guest}" if args.action == "add" else f"{where} is closed")
    return 0


def _reverse(args: argparse.Namespace, lab: Lab, guest: str) -> int:
    from qlan import reversing

    is_new = args.action == "add"
    for spec in args.specs:
        if _PORT_0.match(spec):  # of forwards it is said to write `auto`, which is none for these
            raise UsageError(f"`{spec}`: port 0 is no port", hint="write the port that the guest connects to: 8080:80")
    with interruptible():
        if is_new:
            done = reversing.add(lab, guest, args.specs, _nic(args, lab, guest), save=args.save)
        else:
            done = reversing.remove(lab, guest, args.specs, save=args.save)
    if args.json:
        print_json({"lab": lab.name, args.action: done})
        return 0
    for one in done:
        way = f"{one.address}:{one.port}/{one.protocol}"
        print(f"{guest}: {way} -> {one.host_address}:{one.host_port} of this machine" if is_new else f"{way} is closed")
    return 0


def _nic(args: argparse.Namespace, lab: Lab, guest: str) -> int | None:
    """The number of the NIC that is named, as `qlan nic` takes it."""
    if args.nic is None:
        return None
    from qlan.bending import find_nic

    return find_nic(lab, guest, args.nic)


def _list(args: argparse.Namespace) -> int:
    from qlan import forwarding, reversing

    given = [name for name in ("reverse", "save", "nic") if getattr(args, name) not in (None, False)]
    if args.specs or given:
        what = "forward" if args.specs else f"--{given[0]}"
        raise UsageError(f"`forward list` takes no {what}: it shows all, of both sorts",
                         hint="qlan forward list [GUEST]")  # fmt: skip
    if args.guest:
        lab, guest = which.lab_of_guest(args)
        found, back = forwarding.listed(lab, [guest]), reversing.listed(lab, [guest])
    else:
        lab = which.lab_by_name(args)
        found, back = forwarding.listed(lab), reversing.listed(lab)
    if args.json:
        print_json({"lab": lab.name, "forwards": found, "reverse": back})
        return 0
    if found:
        table.show(_HEAD, [_row(one) for one in found])
    elif not back:
        print("no forwards are open")
    if back:
        table.show(_REVERSE_HEAD, [_reverse_row(one) for one in back])
    return 0


def _row(one: Open) -> tuple[str, ...]:
    way = f"{endpoint(one.host_address, one.host_port)} -> {one.guest_port}/{one.protocol}"
    connections = "-" if one.connections is None else str(one.connections)
    owner = f"nft, {one.owner}" if one.backend == "nft" else one.owner
    return (one.guest, str(one.nic), one.network, way, connections, owner, one.seen_as or "the caller")


def _reverse_row(one: OpenReverse) -> tuple[str, ...]:
    way = f"{one.address}:{one.port} -> {one.host_address}:{one.host_port}/{one.protocol}"
    connections = "-" if one.connections is None else str(one.connections)
    return (one.guest, str(one.nic), one.network, way, connections, one.owner)

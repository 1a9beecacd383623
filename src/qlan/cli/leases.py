"""`qlan leases`: who has which address, by the lab's own DHCP servers."""

from __future__ import annotations

import argparse

from qlan.cli import table, which
from qlan.cli.output import duration, plain, print_json
from qlan.cli.terminal import printable

DESCRIPTION = """\
List the leases that a lab's DHCP servers have given, of both families: also to guests that the file does not name (a
QEMU started by hand, a guest inside a guest)."""
EXAMPLES = """\
  qlan leases
  qlan leases --network lan
  qlan leases --json | jq -r '.leases[] | select(.guest == "") | .address'"""

_HEAD = ("NETWORK", "ADDRESS", "MAC", "GUEST", "CALLS ITSELF", "HOW", "ENDS")


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `leases`."""
    parser.add_argument("--network", metavar="NAME", help="of this network alone")
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Print them."""
    from qlan.errors import UsageError
    from qlan.status import lease_list

    lab = which.lab_by_name(args)
    if args.network and args.network not in lab.networks:
        raise UsageError(f"lab `{lab.name}` has no network `{args.network}`",
                         hint=f"it has {', '.join(lab.networks) or 'none'}")  # fmt: skip
    record = lab.record
    known = record.wanted if record else {}
    found = [one for one in lease_list(lab.layout, known) if args.network in (None, one.network)]
    if args.json:
        print_json({"lab": lab.name, "leases": plain(found)})
        return 0
    rows = [(one.network, one.address, one.mac, one.guest or "-", printable(one.name), one.how, _ends(one.expires_s))
            for one in found]  # fmt: skip
    table.show(_HEAD, rows)
    if not rows:
        print("no leases")
    return 0


def _ends(expires_s: int) -> str:
    import time

    if expires_s == 0:
        return "never"
    left_s = expires_s - time.time()
    return f"in {duration(left_s)}" if left_s > 0 else "now"

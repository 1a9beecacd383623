"""`qlan args`: words for a QEMU command line that somebody writes by hand."""

from __future__ import annotations

import argparse
import shlex

from qlan.cli import which
from qlan.cli.output import print_json
from qlan.errors import UsageError

DESCRIPTION = """\
Print the words that plug a QEMU of your own into a lab's network, into user-mode networking, or into nothing.  On a
rootless lab's bridge QEMU gets its TAP by qlan's own bridge helper: no root, no setuid program, no ACL.  Each NIC on a
network gets a MAC of its own; the same again when you start that QEMU the next time.
SPEC is a network's name, `user` or `none`, with options after commas (model=e1000, mac=...), as in `qlan run --nic`."""
EXAMPLES = """\
  qemu-system-x86_64 -m 1G disk.qcow2 $(qlan args lan)
  qemu-system-x86_64 -m 1G disk.qcow2 $(qlan args lan,model=e1000 user -p 2222:22)
  qlan args --nic none"""


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `args`."""
    spec = parser.add_argument("specs", nargs="*", metavar="SPEC", help="a network, `user` or `none` (default: user)")
    spec.completer = which.complete_names  # type: ignore[attr-defined]
    parser.add_argument("-p", dest="forwards", action="append", default=[], metavar="FORWARD",
                        help="a forward for the first user NIC: 2222:22, udp:127.0.0.1:5353:53, ...")  # fmt: skip
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--netdev", dest="short", action="store_false", default=False,
                      help="the long form, -netdev and -device (default: it leaves out the boot ROM)")  # fmt: skip
    form.add_argument("--nic", dest="short", action="store_true", help="the short form, -nic")
    which.add_lab(parser)
    which.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print them."""
    from qlan import hand
    from qlan.topology.short import parse_nics

    _check(args)
    nics = parse_nics(args.specs, args.forwards, which.working_folder())
    lab = which.lab_by_name(args) if any(nic.network for nic in nics) else None
    words = hand.words(lab, nics, short=args.short)
    if args.json:
        print_json({"args": words})
    else:
        print(shlex.join(words))
    return 0


def _check(args: argparse.Namespace) -> None:
    """What is refused later in the words of a file or of `--nic`, in the words that are written here.  UsageError."""
    kinds = [spec.partition(",")[0].strip() for spec in args.specs]
    if "none" in kinds and len(kinds) > 1:
        raise UsageError("`none` means no NIC at all, and others stand beside it", hint="qlan args none, or without it")
    if args.forwards and kinds and "user" not in kinds:
        words = shlex.join([*(spec for spec in args.specs if spec != "none"), "user", "-p", args.forwards[0]])
        raise UsageError("no NIC has user-mode networking to forward into", hint=f"name one: qlan args {words}")

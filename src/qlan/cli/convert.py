"""`qlan convert`: the same network in the other form of QEMU's command line."""

from __future__ import annotations

import argparse
import sys

from qlan import cmdline
from qlan.cli import command_lines
from qlan.cli.output import print_json
from qlan.cli.terminal import printable

DESCRIPTION = """\
Rewrite a QEMU command line between its two forms: `-nic` (one option a NIC) and `-netdev` with `-device`.  The old
`-net`, `-redir`, `-tftp`, `-bootp` and `-smb` are read too.  Everything else stays word for word, and NICs keep the MAC
addresses that they had.  What the other form cannot say stays as it was and is named on standard error."""
EXAMPLES = """\
  qlan convert --to nic -- qemu-system-x86_64 -net nic,model=virtio -net user disk.img
  qlan convert --to netdev --script run.sh"""
REST = command_lines.REST

_REMOVED = frozenset({"removed"})


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `convert`."""
    parser.add_argument("--to", required=True, choices=("nic", "netdev"), help="the form to write")
    command_lines.add_source(parser)
    parser.add_argument("--json", action="store_true", help="the words as JSON")
    command_lines.add_rules(parser)


def run(args: argparse.Namespace) -> int:
    """Print the new command line; CommandLineError if QEMU would not take the old one."""
    rules = command_lines.rules_of(args.qemu)
    change = cmdline.to_nic if args.to == "nic" else cmdline.to_netdev
    for reading in command_lines.readings_of(args, rules):
        faults = tuple(fault for fault in reading.faults if fault.code not in _REMOVED)
        if faults:
            raise cmdline.CommandLineError(faults, reading.line.text)
        converted = change(reading.line, rules)
        if args.json:
            words, notes = cmdline.render(converted.line), [note.what for note in converted.notes]
            print_json({"words": words, "notes": notes})
            continue
        print(cmdline.render_text(converted.line))
        for note in converted.notes:
            sys.stderr.write(f"qlan: note: {printable(note.what)}\n")
    return 0

"""`qlan explain`: what a QEMU command line does, and what is wrong with it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from qlan import cmdline
from qlan.cli import command_lines
from qlan.cli.output import print_json
from qlan.cli.terminal import printable
from qlan.errors import UsageError
from qlan.facts.machine import Facts

DESCRIPTION = """\
Say in plain words what a QEMU command line means for networks: what each NIC is plugged into, who reaches whom, which
ports are open to whom; and what is wrong with it or probably not meant, with line and column.  Nothing is started.
Exit status 0: QEMU would take it; 2: it would not."""
EXAMPLES = """\
  qlan explain 'qemu-system-x86_64 -nic user,hostfwd=tcp::2222-:22 disk.img'
  qlan explain -- qemu-system-x86_64 -net nic -net user
  qlan explain --script run.sh --qemu 7.2
  qlan explain --stdin --json < lines.txt | jq 'select(.ok | not)'"""
REST = command_lines.REST

_REFUSED = 2


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `explain`."""
    command_lines.add_source(parser)
    parser.add_argument("--stdin", action="store_true", help="one command line a line of standard input")
    parser.add_argument("--json", action="store_true", help="one JSON object a command line")
    command_lines.add_rules(parser)


def run(args: argparse.Namespace) -> int:
    """Explain; the exit status says whether QEMU would take all of it."""
    if args.stdin and (args.text is not None or args.script is not None or args.rest):
        raise UsageError("give one command line, or --stdin", hint="`-s -` reads a script from standard input")
    rules = command_lines.rules_of(args.qemu)
    if args.stdin:
        return _run_stdin(args, rules)
    readings = command_lines.readings_of(args, rules)
    wanted = {forward.port for reading in readings for forward in cmdline.explain(reading, rules).forwards}
    facts = _facts(wanted)
    found = [cmdline.explain(reading, rules, facts, _refusal) for reading in readings]
    file = str(args.script or "")
    for explanation in found:
        if args.json:
            print_json(cmdline.explanation_data(explanation))
        else:
            text = cmdline.explanation_text(explanation, file)
            sys.stdout.write("\n".join(printable(line) for line in text.splitlines()) + "\n")
    for clash in cmdline.clashes_of(found) if not args.json else ():
        print(printable(f"together: {clash.shown(found[0].text, file)} [{clash.code}]"))
    return 0 if all(explanation.ok for explanation in found) else _REFUSED


def _run_stdin(args: argparse.Namespace, rules: cmdline.Rules) -> int:
    """A line in, an answer out, at once: a pipe's reader need not wait for the end."""
    accepted = True
    for line in sys.stdin:
        explanation = cmdline.explain(cmdline.read(line.rstrip("\n"), rules), rules)
        accepted = accepted and explanation.ok
        if args.json:
            sys.stdout.write(json.dumps(cmdline.explanation_data(explanation)) + "\n")
        else:
            sys.stdout.write(printable(line.rstrip("\n")) + "\n" + cmdline.explanation_text(explanation) + "\n")
    return 0 if accepted else _REFUSED


def _refusal(helper: str, bridge: str) -> tuple[str, str] | None:
    """Why a bridge helper of this machine would not open a bridge to the caller, and what to do."""
    from qlan.host import bridge_access, bridge_helper

    if helper and not Path(helper).is_file():
        return f"there is no {helper}", f"helper= is the path of {bridge_access.NAME}"
    if Path(helper).name == bridge_helper.NAME or (helper and Path(helper).name != bridge_access.NAME):
        return None  # ours asks no list, and of somebody else's nothing is known
    found = bridge_access.find_denial(bridge)
    if os.geteuid() != 0:
        found = bridge_access.find_refusal(Path(helper) if helper else bridge_access.find_helper(), bridge)
    return (found.what, found.hint) if found else None


def _facts(wanted: set[int]) -> Facts:
    """What only this machine can say: which of the wanted ports are taken and by whom, who may listen."""
    from qlan.host import taken

    uid = os.geteuid()
    ports = tuple(taken.name_owner(one) for one in taken.read_ports() if one.port in wanted) if wanted else ()
    return Facts(seed="", uid=uid, arch="", free_port_floor=0 if uid == 0 else 1024, used_ports=ports)

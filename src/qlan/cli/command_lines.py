"""What the verbs about QEMU command lines share: where the text comes from, and whose rules are applied."""

from __future__ import annotations

import argparse
import platform
import re
import sys
from pathlib import Path

from qlan import cmdline
from qlan.errors import MissingTool, UsageError

REST = "QEMU COMMAND"
_NUMBER = re.compile(r"\d+(\.\d+)*", re.ASCII)


def add_source(parser: argparse.ArgumentParser) -> None:
    """The command line itself: one argument, a script, or the words after `--`."""
    parser.add_argument("text", nargs="?", metavar="COMMAND", help="the command line, as one quoted argument")
    parser.add_argument("-s", "--script", type=Path, metavar="FILE", help="every QEMU command of a shell script")


def add_rules(parser: argparse.ArgumentParser) -> None:
    """Whose rules."""
    text = "by the rules of this version, or of this program (default: the installed one's version)"
    parser.add_argument("--qemu", default="", metavar="VERSION|BINARY", help=text)


def readings_of(args: argparse.Namespace, rules: cmdline.Rules) -> tuple[cmdline.Reading, ...]:
    """The command lines that the user gave; UsageError if there is none, CommandLineError for an open quote."""
    given = [args.text is not None, args.script is not None, bool(args.rest)]
    if sum(given) != 1:
        raise UsageError("give one command line", hint="'COMMAND', or --script FILE, or -- COMMAND")
    if args.rest:
        return (cmdline.read(args.rest, rules),)
    text = args.text if args.script is None else _read_script(args.script)
    found = cmdline.read_script(text, rules)
    if not found and args.script is not None:
        raise UsageError(f"{args.script} starts no QEMU", hint="a line with qemu-system-..., qemu-kvm or kvm")
    return found or (cmdline.read(text, rules),)


def rules_of(text: str) -> cmdline.Rules:
    """`--qemu`: a version, a program, or "" for the installed one."""
    if not text:
        return cmdline.rules(_installed_version())
    if _NUMBER.fullmatch(text):
        try:
            return cmdline.rules(text)
        except ValueError as error:
            raise UsageError(str(error), hint=f"known: {', '.join(cmdline.known_versions())}") from None
    return _rules_of_program(text)


def _installed_version() -> str:
    from qlan.host import qemu, user

    try:
        return ".".join(str(part) for part in qemu.probe(platform.machine(), user.cache_folder()).version)
    except MissingTool:
        return ""


def _rules_of_program(program: str) -> cmdline.Rules:
    """The program says itself what it takes: its schema, its netdev types, its devices' properties."""
    from qlan.host import qemu
    from qlan.host.run import run

    if "/" not in program and "qemu" not in program and "kvm" not in program:
        raise UsageError(f"`{program}` is neither a version nor a QEMU", hint="like 7.2, or qemu-system-x86_64")
    said = run([program, "-version"]).stdout
    try:
        rules = cmdline.rules(".".join(str(part) for part in cmdline.parse_version(said)))
    except ValueError as error:
        raise UsageError(f"{program} is no QEMU: {error}") from None
    schema = qemu.ask_schema(program)
    there = run([program, "-machine", "none", "-device", "help"]).stdout
    models = [name for name in rules.devices if f'name "{name}"' in there]
    helps = {name: run([program, "-machine", "none", "-device", f"{name},help"]).stdout for name in models}
    return rules.of_program(schema, run([program, "-netdev", "help"]).stdout, helps)


def _read_script(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None

"""`qlan exec -- CMD`: a command inside the lab's own network namespace."""

from __future__ import annotations

import argparse
import os
import shlex
from contextlib import suppress

from qlan.cli import which
from qlan.errors import UsageError
from qlan.host.run import environment, find_tool, tool

DESCRIPTION = """\
Run a command where the lab's bridges are: ping a guest, fetch its page, see its links, without root.  Files, user and
environment are yours; inside a rootless lab's network you may do what root may (ip, bridge, nft).
In the host realm the lab's network is this machine's own, and the command is simply run."""
EXAMPLES = """\
  qlan exec -- ping -c 1 10.10.10.10
  qlan exec -- ip -s link show lan
  qlan exec -l shop -- sh              a shell in there"""
REST = "COMMAND"


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `exec`."""
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="the command and its arguments")
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Become the command."""
    command = [*args.command, *args.rest]
    if not command:
        raise UsageError("no command is named", hint="write one: qlan exec -- ip address")
    lab = which.lab_by_name(args)
    if find_tool(command[0]) is None and command[0] in lab.guests:
        words = shlex.join(command[1:])
        raise UsageError(f"`exec` runs programs of this machine, and `{command[0]}` is a guest",
                         hint=f"in the guest: qlan ssh {command[0]} {words}".rstrip())  # fmt: skip
    inside = lab.inside()
    if inside:
        from qlan.host.groups import pretend_setgroups

        with suppress(OSError):  # no seccomp: what drops its groups says so itself
            pretend_setgroups()
    become([*inside, *command])
    return 0


def become(argv: list[str]) -> None:
    """Replace this process; programs in administrators' folders are found for ordinary users too."""
    tool(argv[0])
    path = environment()["PATH"]
    try:
        os.execvpe(argv[0], argv, os.environ | {"PATH": path})
    except OSError as error:
        raise UsageError(f"cannot be run: {error.strerror}", where=argv[0]) from error

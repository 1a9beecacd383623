"""`qlan ssh GUEST [CMD]`: by the forward to its port 22, or through the lab's own network."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from qlan.cli import which
from qlan.cli.execute import become
from qlan.errors import UsageError
from qlan.lab import Lab
from qlan.resources.model import Address, PortForward
from qlan.status import GuestStatus
from qlan.topology.model import Realm
from qlan.values import Value

DESCRIPTION = """\
Run ssh to a guest: through its forward to port 22 if it has one, else from inside the lab's network to its address.
Your own keys and ssh settings are used.  The guest's host key is kept in the lab's folder and goes with the guest, so a
rebuilt guest is no alarm, and your own known_hosts stays clean.  Options stand before the command."""
EXAMPLES = """\
  qlan ssh web
  qlan ssh -u root web uname -a
  qlan ssh shop/db -i key -- ls -l /"""
REST = "COMMAND"

_SSH_PORT = 22


class Way(Value):
    """How a guest's SSH server is reached.  inside: only from the lab's own namespace."""

    address: str
    port: int
    inside: bool


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `ssh`."""
    which.add_guest(parser, help_text="a guest that is up; USER@GUEST names the user, too")
    command = parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="what to run there")
    command.required = False  # argparse: it were, and named as missing together with GUEST
    _define_options(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Become ssh."""
    _take_late_options(args)
    user, at, guest = args.guest.rpartition("@")
    if at:
        head, slash, user = user.rpartition("/")
        args.guest, args.user = f"{head}{slash}{guest}", user
    lab, guest = which.lab_of_guest(args)
    become(argv(lab, guest, args))
    return 0


def argv(lab: Lab, guest: str, args: argparse.Namespace) -> list[str]:
    """ssh's command line."""
    way = find_way(lab, guest)
    known_hosts = lab.layout.guest(guest) / "known_hosts"
    words = ["ssh", "-p", str(way.port), "-o", f"HostKeyAlias={guest}.{lab.name}",
             "-o", f"UserKnownHostsFile={_escaped(known_hosts)}", "-o", "GlobalKnownHostsFile=none",
             "-o", "StrictHostKeyChecking=accept-new", "-o", "CheckHostIP=no", "-o", "LogLevel=ERROR"]  # fmt: skip
    if way.inside:
        dial = [sys.executable, "-P", "-m", "qlan.cli.dial", lab.name, way.address, str(way.port), guest]
        words += ["-o", f"ProxyCommand={shlex.join(dial).replace('%', '%%')}", "-o", "ProxyUseFdpass=yes"]
    if args.identity:
        words += ["-i", str(args.identity)]
    if args.user:
        words += ["-l", args.user]
    command = [*args.command, *args.rest]
    return [*words, way.address, *(["--", *command] if command else [])]


def find_way(lab: Lab, guest: str) -> Way:
    """UsageError says why there is none."""
    status = next(one for one in lab.status().guests if one.name == guest)
    if status.pid is None:
        raise UsageError(f"guest `{guest}` does not run", where=f"lab {lab.name}", hint=f"qlan up {guest}")
    record = lab.record
    known = record.wanted if record else {}
    for one in known.values():
        if isinstance(one, PortForward) and (one.guest, one.protocol, one.guest_port) == (guest, "tcp", _SSH_PORT):
            address = "127.0.0.1" if one.host_address.is_unspecified else str(one.host_address)
            return Way(address, one.host_port, inside=False)
    shared = {one.link_key.removeprefix("bridge/") for one in known.values()
              if isinstance(one, Address) and one.link_key.startswith("bridge/")}  # fmt: skip
    for nic in status.nics:
        if nic.network in shared and nic.address:
            return Way(nic.address, _SSH_PORT, inside=lab.realm is Realm.ROOTLESS)
    raise _no_way(lab, status)


def _no_way(lab: Lab, guest: GuestStatus) -> UsageError:
    networks = ", ".join(nic.network for nic in guest.nics) or "none"
    return UsageError(f"there is no way to the SSH server of `{guest.name}`", where=f"its networks: {networks}",
                      hint=f'a user-mode NIC with `forwards: ["auto:22"]`, or a host-only network, is one; '
                           f"qlan console {guest.name} needs none")  # fmt: skip


def _define_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-u", "--user", metavar="NAME", help="log in as (default: ssh's own)")
    parser.add_argument("-i", "--identity", type=Path, metavar="KEY", help="the private key to use")


def _take_late_options(args: argparse.Namespace) -> None:
    """`qlan ssh web -u root ls -l`: options between the guest and the command are ours, as with ssh."""
    if not args.command or not args.command[0].startswith("-") or args.command[0] == "-":
        return
    from qlan.cli.parser import Parser

    parser = Parser(prog="qlan ssh", add_help=False, allow_abbrev=False)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    _define_options(parser)
    which.add_lab(parser)
    late = parser.parse_args(args.command)
    for name, value in vars(late).items():
        if value is not None:
            setattr(args, name, value)


def _escaped(path: Path) -> str:
    """A path for an option of ssh_config(5): quoted, and `%` doubled."""
    text = str(path).replace("%", "%%")
    return f'"{text}"' if " " in text else text

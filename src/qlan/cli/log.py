"""`qlan log NAME`: what QEMU, a guest's serial line or a network's server said."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from qlan.cli import which
from qlan.cli.output import print_json
from qlan.errors import HostError, UsageError
from qlan.lab import Lab
from qlan.names import nearest

DESCRIPTION = """\
Print a log: of a guest QEMU's own messages (none is a good sign), with --serial everything that its serial line said
since it was started; of a network what its DHCP and DNS server said.  On a terminal, control sequences that could do
more than colour are made visible.  Here -f is --follow; a file is named with --file."""
EXAMPLES = """\
  qlan log web                why did it not start?
  qlan log --serial -f web    look on, without attaching
  qlan log lan -n 20          the last DHCP exchanges"""

_POLL_S = 0.2
_CHUNK = 1 << 16
_CONTROL = re.compile(rb"(\x1b\[[0-9;]*m)|\r(?=\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `log`."""
    name = parser.add_argument("name", metavar="GUEST|NETWORK", help="of a lab that is up")
    name.completer = which.complete_names  # type: ignore[attr-defined]
    parser.add_argument("-f", "--follow", action="store_true", help="go on as it grows, until Ctrl-C")
    parser.add_argument("-n", "--lines", type=_number, metavar="N", help="only the last N lines")
    parser.add_argument("-s", "--serial", action="store_true", help="what the guest's serial line said")
    which.add_json(parser)
    which.add_lab(parser, letter="")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    if args.json and args.follow:
        raise UsageError("--json and --follow don't go together", hint="leave one of them out")
    path = _path(args)
    try:
        with path.open("rb") as file:
            data = _last_lines(file.read(), args.lines)
            if args.json:
                print_json({"path": str(path), "lines": data.decode("utf-8", errors="replace").splitlines()})
                return 0
            _print(data)
            if args.follow:
                for more in _growing(file, path):
                    _print(more)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise HostError(f"cannot be read: {error.strerror}", where=str(path)) from error
    return 0


def _path(args: argparse.Namespace) -> Path:
    lab, name = _find(args)
    layout = lab.layout
    if layout.adopted(name).exists() and name in lab.guests:
        raise UsageError(f"guest `{name}` is adopted: what it says is where its own command line sends it",
                         where=f"lab {lab.name}")  # fmt: skip
    if layout.guest(name).is_dir() and name in lab.guests:
        return layout.serial_log(name) if args.serial else layout.qemu_log(name)
    if layout.dnsmasq(name).is_dir() and name in lab.networks and not args.serial:
        return layout.dnsmasq(name) / "log"
    raise _no_log(lab, name, serial=args.serial)


def _find(args: argparse.Namespace) -> tuple[Lab, str]:
    if not (args.lab or args.file or "/" in args.name):
        args.guests = [args.name]
        if found := which.find_lab_of_guest(args):
            return found[0], args.name
    [name] = which.split([args.name], args)
    return which.lab_by_name(args), name


def _no_log(lab: Lab, name: str, *, serial: bool) -> UsageError:
    if name in lab.guests:
        return UsageError(f"guest `{name}` was not started", where=f"lab {lab.name}", hint="`qlan up` starts it")
    if name in lab.networks:
        hint = "only a guest has a serial line" if serial else "it has no DHCP or DNS server, so nothing is said"
        return UsageError(f"network `{name}` has no such log", where=f"lab {lab.name}", hint=hint)
    known = [*lab.guests, *lab.networks]
    near = nearest(name, known)
    return UsageError(f"lab `{lab.name}` has no guest and no network `{name}`",
                      hint=f"did you mean `{near}`?" if near else f"it has {', '.join(known) or 'none'}")  # fmt: skip


def _last_lines(data: bytes, count: int | None) -> bytes:
    if count is None:
        return data
    return b"".join(data.splitlines(keepends=True)[-count:]) if count else b""


def _growing(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """What is added, until the file is removed (the guest was taken down)."""
    while True:
        if data := file.read(_CHUNK):
            yield data
        elif os.fstat(file.fileno()).st_nlink == 0:
            return
        else:
            if path.stat().st_size < file.tell():
                file.seek(0)
            time.sleep(_POLL_S)


def _print(data: bytes) -> None:
    if sys.stdout.isatty():
        data = _CONTROL.sub(_visible, data)
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _visible(match: re.Match[bytes]) -> bytes:
    """Colours stay, a return before a line's end goes, everything else is spelled out."""
    return match[1] or (b"" if match[0] == b"\r" else b"\\x%02x" % match[0][0])


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"`{text}` is not a number of lines")
    return int(text)

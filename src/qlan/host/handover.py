"""`python3 -m qlan.host.handover`: what a shell script cannot do by itself, for the scripts of `qlan plan --script`.

Makes the sockets that QEMU listens on, opens its TAPs in a namespace, sets them up by the `ip` lines on standard input,
and starts the QEMU after `--` with all of these as descriptors from 3 on: the same code that `qlan up` runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from qlan.errors import QlanError
from qlan.host import machine
from qlan.host.run import run
from qlan.host.tap import open_taps
from qlan.render.command import Boot, QmpCall


def main() -> int:
    """Start one machine; exit status 0 when its QMP answers."""
    parser = argparse.ArgumentParser(prog="handover", description=__doc__)
    parser.add_argument("--guest", required=True)
    parser.add_argument("--folder", required=True, type=Path, help="the guest's folder")
    parser.add_argument("--namespace", type=int, metavar="PID", help="a process in the namespace of the TAPs")
    parser.add_argument("--enter", default="", help="the words that run `ip` there")
    parser.add_argument("--tap", action="append", default=[], metavar="NAME")
    parser.add_argument("--run-as", type=int, metavar="UID")
    parser.add_argument("--qmp", action="append", default=[], metavar="JSON", help="a QMP command to send at last")
    parser.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- QEMU ...")
    args = parser.parse_args()
    folder: Path = args.folder
    boot = Boot(
        args.guest,
        tuple(args.argv[1:]),
        record=folder / "process",
        log=folder / "qemu.log",
        own=folder / "qemu",
        sockets=(folder / "qmp", folder / "serial"),
        taps=(),
        then=tuple(_call(text) for text in args.qmp),
        run_as=args.run_as,
    )
    taps = open_taps(args.namespace, args.tap) if args.tap else []
    if args.tap:
        run([*args.enter.split(), "ip", "-batch", "-"], stdin=sys.stdin.read())
    machine.start(boot, taps).wait_ready()
    return 0


def _call(text: str) -> QmpCall:
    data = json.loads(text)
    return QmpCall(data["execute"], tuple(data["arguments"].items()))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except QlanError as error:
        sys.exit(f"handover: {error}")

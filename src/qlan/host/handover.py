"""`python3 -m qlan.host.handover`: what a shell script cannot do by itself, for the scripts of `qlan plan --script`.

Makes the sockets that QEMU listens on, opens its TAPs in their namespaces, sets them up by the lines on standard input
(`PID PROGRAM line`, where PROGRAM is ip, bridge or tc), and starts the QEMU after `--` with all of these as descriptors
from 3 on: the code that `up` runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from qlan.errors import QlanError
from qlan.host import machine, wire
from qlan.host.macvtap import open_macvtaps
from qlan.host.run import run
from qlan.host.tap import open_taps
from qlan.host.vhost import open_vhosts
from qlan.render.command import SOCKETS, Boot, QmpCall
from qlan.render.enter import enter

HERE = "0"  # instead of a process id: the machine's own namespace
_ANY = "namespace"  # a key that stands for any


def main() -> int:
    """Start one machine; exit status 0 when its QMP answers."""
    parser = argparse.ArgumentParser(prog="handover", description=__doc__)
    parser.add_argument("--guest", required=True)
    parser.add_argument("--folder", required=True, type=Path, help="the guest's folder")
    parser.add_argument("--rootless", action="store_true", help="the namespaces are a rootless lab's")
    parser.add_argument(
        "--tap", action="append", default=[], metavar="PID:NAME", help="PID: a process there, or 0 for here"
    )
    parser.add_argument("--macvtap", action="append", default=[], metavar="NAME")
    parser.add_argument("--end", action="append", default=[], metavar="PID:END", help="an end of a wire")
    parser.add_argument("--vhosts", type=int, default=0, metavar="N", help="NICs whose packets the kernel moves")
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
        sockets=tuple(folder / name for name in SOCKETS),
        taps=(),
        then=tuple(_call(text) for text in args.qmp),
        run_as=args.run_as,
    )
    taps: list[int] = []
    for tap in args.tap:
        pid, _, name = tap.partition(":")
        taps += open_taps(None if pid == HERE else int(pid), [name])
    set_up(sys.stdin.read() if args.tap else "", rootless=args.rootless)
    taps += open_macvtaps(args.macvtap)
    for pid, _, end in (one.partition(":") for one in args.end):
        taps += wire.open_ends(int(pid), [int(end)])
    taps += open_vhosts(args.vhosts)
    machine.start(boot, taps).wait()
    return 0


def _call(text: str) -> QmpCall:
    data = json.loads(text)
    return QmpCall(data["execute"], tuple(data["arguments"].items()))


def set_up(text: str, *, rootless: bool) -> None:
    """Run lines of `PID PROGRAM batch-line`, each where that process is."""
    by_place: dict[tuple[str, str], list[str]] = {}
    for line in text.splitlines():
        pid, program, rest = line.split(" ", 2)
        by_place.setdefault((pid, program), []).append(rest)
    for (pid, program), lines in by_place.items():
        entered = enter("", rootless=rootless) if pid == HERE else enter(_ANY, rootless=rootless)
        words = [word.replace(f"@{_ANY}@", pid) for word in entered if word != "--pid"]
        run([*words, program, "-batch", "-"], stdin="\n".join(lines) + "\n")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except QlanError as error:
        sys.exit(f"handover: {error}")

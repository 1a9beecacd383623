"""`python3 -m qlan.host.change`: one change of a guest that runs, for the scripts of `qlan plan --script`.

Its command (Amend or Qmp) comes as JSON; a TAP is opened in its namespace and set up by the lines on standard input
(`PID ip-line`) before QEMU gets it, a macvtap and the end of a wire are opened: the code that `up` runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from qlan.errors import QlanError
from qlan.host import guest, wire
from qlan.host.handover import HERE, set_up
from qlan.host.macvtap import open_macvtaps
from qlan.host.tap import open_taps
from qlan.render.command import Amend, Qmp, QmpCall


def main() -> int:
    """Carry it out."""
    parser = argparse.ArgumentParser(prog="change", description=__doc__)
    parser.add_argument("--rootless", action="store_true", help="the namespaces are a rootless lab's")
    parser.add_argument("--tap", metavar="PID:NAME", help="PID: a process there, or 0 for here")
    parser.add_argument("--macvtap", metavar="NAME")
    parser.add_argument("--end", metavar="PID:END", help="an end of a wire")
    parser.add_argument("command", metavar="JSON")
    args = parser.parse_args()
    data = json.loads(args.command)
    if "amend" in data:
        guest.amend(_amend(data["amend"]))
        return 0
    tap = None
    if args.tap:
        pid, _, name = args.tap.partition(":")
        [tap] = open_taps(None if pid == HERE else int(pid), [name])
        set_up(sys.stdin.read(), rootless=args.rootless)
    elif args.macvtap:
        [tap] = open_macvtaps([args.macvtap])
    elif args.end:
        pid, _, end = args.end.partition(":")
        [tap] = wire.open_ends(int(pid), [int(end)])
    guest.tell(_qmp(data["qmp"]), tap)
    return 0


def _amend(data: dict[str, object]) -> Amend:
    return Amend(Path(str(data["path"])), tuple(data["put"]), str(data["drop"]))  # type: ignore[arg-type]


def _qmp(data: dict[str, object]) -> Qmp:
    words = dict(data)
    words["socket"] = Path(str(words["socket"]))
    words["calls"] = tuple(
        QmpCall(one["name"], tuple((key, value) for key, value in one["arguments"]))
        for one in words["calls"]  # type: ignore[attr-defined]
    )
    words["stays"] = _amend(words["stays"]) if words["stays"] else None  # type: ignore[arg-type]
    return Qmp(**words)  # type: ignore[arg-type]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except QlanError as error:
        sys.exit(f"change: {error}")

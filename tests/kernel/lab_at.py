"""Runs one verb of a lab and stops at its Nth command: by a refusal (`fail`) or by SIGKILL to itself (`kill`).

    python3 lab_at.py FILE up|down|impair|clear|partition|heal fail|kill|count N
    python3 lab_at.py FILE adopt:SOCKET|attach:GUEST|release:GUEST|reverse|unreverse fail|kill|count N

Every command is run by itself, so that N counts single commands; prints how many there were, and with
`count` which, on standard error.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from qlan import adopting, bending, plugging, reversing
from qlan.errors import HostError, QlanError
from qlan.host import dhcp_probe
from qlan.host.execute import Executor
from qlan.lab import Lab
from qlan.render import live
from qlan.render.command import Command
from qlan.topology.changes import Change


def main() -> int:
    file, verb, how, number = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    count = 0
    run = Executor.run

    def counted(self: Executor, commands: Sequence[Command]) -> None:
        nonlocal count
        for command in commands:
            if count == number and how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "count":
                print(f"{count} {command}", file=sys.stderr)
            count += 1
            if count == number + 1 and how == "fail":
                raise HostError(f"refused, as asked, at command {number}: {command}")
            run(self, [command])

    dhcp_probe.TIME_LIMIT_S = 0.05  # nobody is there to answer
    live.LINK_DOWN_S = 0  # nobody is in these guests to see it
    Executor.run = counted  # type: ignore[method-assign]
    lab = Lab.load(Path(file))
    try:
        verb, _, word = verb.partition(":")
        {
            "up": lambda: lab.up(grace_s=0),
            "down": lambda: lab.down(grace_s=0),
            "impair": lambda: bending.impair(lab, "web", "0", {"rate_bps": 8_000_000}),
            "clear": lambda: bending.clear(lab),
            "partition": lambda: bending.partition(lab, [["web"], ["db"]]),
            "heal": lambda: bending.heal(lab),
            "adopt": lambda: adopting.adopt(lab, word, "mine"),
            "attach": lambda: plugging.attach(lab, Change(word, "attach", -1, "lan", "usb")),
            "release": lambda: adopting.release(lab, word),
            "reverse": lambda: reversing.add(lab, "web", ["5432:5433"]),
            "unreverse": lambda: reversing.remove(lab, "web", ["5432"]),
        }[verb]()
    except QlanError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        print(count, flush=True)
    return 0


sys.exit(main())

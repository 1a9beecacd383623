"""Runs one verb of a lab and stops at its Nth command: by a refusal (`fail`) or by SIGKILL to itself (`kill`).

    python3 lab_at.py FILE up|down fail|kill|count N

Every command is run by itself, so that N counts single commands; prints how many there were.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from qlan.errors import HostError, QlanError
from qlan.host.execute import Executor
from qlan.lab import Lab
from qlan.render.command import Command


def main() -> int:
    file, verb, how, number = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    count = 0
    run = Executor.run

    def counted(self: Executor, commands: Sequence[Command]) -> None:
        nonlocal count
        for command in commands:
            if count == number and how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            if count == number + 1 and how == "fail":
                raise HostError(f"refused, as asked, at command {number}: {command}")
            run(self, [command])

    Executor.run = counted  # type: ignore[method-assign]
    lab = Lab.load(Path(file))
    try:
        if verb == "up":
            lab.up(grace_s=0)
        else:
            lab.down(grace_s=0)
    except QlanError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        print(count, flush=True)
    return 0


sys.exit(main())

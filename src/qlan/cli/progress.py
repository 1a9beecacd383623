"""How far it is: on a terminal one line of standard error that is written over, in a pipe a plain line for each batch.

It must never fail: a closed pipe is no reason to take a lab back.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from qlan.cli.interrupt import PUT_BACK, interruptible
from qlan.cli.terminal import DIM, is_live, painted, width
from qlan.planning.plan import Action, Step

_SIGN = {Action.CREATE: "+", Action.CHANGE: "~", Action.DELETE: "-"}
_SHOWN = 4


class Progress:
    """Shows batches of steps as they are done.  quiet: shows nothing (--json)."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live = is_live(sys.stderr)
        self._done = 0

    def steps(self, steps: Sequence[Step]) -> None:
        """A batch that is done."""
        self._done += len(steps)
        real = [step for step in steps if not step.implied] or list(steps)
        keys = ", ".join(f"{_SIGN[step.action]}{step.key}" for step in real[:_SHOWN])
        more = f" and {len(real) - _SHOWN} more" if len(real) > _SHOWN else ""
        if self._live:
            self.line(f"{self._done} done: {keys}{more}")
        else:
            self.line(f"{keys}{more}")

    def line(self, text: str) -> None:
        """What is being done now."""
        if self._quiet:
            return
        with suppress(OSError):
            if self._live:
                columns = width(sys.stderr) or 80
                sys.stderr.write(f"\r\x1b[K{painted(text[: columns - 1], DIM, sys.stderr)}")
            else:
                sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def clear(self) -> None:
        """Make room for lines that stay."""
        if self._live and not self._quiet:
            with suppress(OSError):
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()

    @contextmanager
    def shown(self, text: str, *, when_interrupted: str = PUT_BACK) -> Iterator[None]:
        """Around something that takes time, and may be interrupted."""
        try:
            with interruptible(when_interrupted):
                if self._live:
                    self.line(text)
                yield
        finally:
            self.clear()

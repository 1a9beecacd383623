"""A Ctrl-C, a job that is cancelled (SIGTERM) and a terminal that is closed (SIGHUP) are one thing: KeyboardInterrupt.

What changes a host puts it back when that is raised, and says so by a note on it.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

PUT_BACK = "the host was put back to what it was"
_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AT_ONCE_S = 1.0
Handler = Callable[[int, FrameType | None], object] | int | None


@contextmanager
def interruptible(note: str = PUT_BACK) -> Iterator[None]:
    """Around what changes the host: an interrupt leaves with `note` on what became of it.

    Several signals at once are one: who cancels a job often signals it and its process group, and the second of these
    must not disturb what the first has put back, nor the words for it.  What the caller wants ignored (nohup) stays so.
    """
    last_s = -_AT_ONCE_S

    def interrupt(number: int, _: FrameType | None) -> None:
        nonlocal last_s
        before_s, last_s = last_s, time.monotonic()
        if last_s - before_s >= _AT_ONCE_S:
            raise KeyboardInterrupt(*([number] if number != signal.SIGINT else []))

    usual = (signal.SIG_DFL, signal.default_int_handler)
    old = {number: signal.signal(number, interrupt) for number in _NUMBERS if signal.getsignal(number) in usual}
    try:
        yield
    except KeyboardInterrupt as error:  # the program ends with it, and nothing is left to interrupt
        error.add_note(note)
        _set(dict.fromkeys(old, signal.SIG_IGN))
        raise
    except BaseException:
        _set(old)
        raise
    _set(old)


def _set(handlers: Mapping[signal.Signals, Handler]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)

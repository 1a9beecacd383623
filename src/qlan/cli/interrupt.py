"""A Ctrl-C, a job that is cancelled (SIGTERM) and a terminal that is closed (SIGHUP) are one thing: KeyboardInterrupt.

What changes a host puts it back when that is raised, and says so by a note on it.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

PUT_BACK = "the host was put back to what it was"
_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AT_ONCE_S = 1.0
_SOON_S = 0.001
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
        with _never_lost():
            yield
    except KeyboardInterrupt as error:  # the program ends with it, and nothing is left to interrupt
        error.add_note(note)
        _set(dict.fromkeys(old, signal.SIG_IGN))
        raise
    except BaseException:
        _set(old)
        raise
    _set(old)


@contextmanager
def _never_lost() -> Iterator[None]:
    """What is raised in a finalizer Python drops, with a traceback: an interrupt is raised again after it."""
    lost: list[KeyboardInterrupt] = []

    def keep(dropped: sys.UnraisableHookArgs) -> None:
        if isinstance(dropped.exc_value, KeyboardInterrupt):
            lost.append(dropped.exc_value)
            signal.setitimer(signal.ITIMER_REAL, _SOON_S)
        else:
            usual(dropped)

    def raise_it(_: int, __: FrameType | None) -> None:
        raise lost.pop()

    usual, sys.unraisablehook = sys.unraisablehook, keep
    alarm = signal.signal(signal.SIGALRM, raise_it)
    try:
        yield
        if lost:
            raise lost.pop()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = usual
        signal.signal(signal.SIGALRM, alarm)


def _set(handlers: Mapping[signal.Signals, Handler]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)

"""An interrupt is heard wherever it comes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from qlan.cli.interrupt import PUT_BACK, interruptible


class Finalized:
    def __init__(self, last_words: Callable[[], object]) -> None:
        self.last_words = last_words

    def __del__(self) -> None:
        self.last_words()
        time.sleep(0)  # where Python runs the handler: what it raises is dropped here


def interrupt_in_a_finalizer() -> None:
    Finalized(lambda: os.kill(os.getpid(), signal.SIGINT))


@pytest.fixture
def dropped(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """What Python would tell about with a traceback; and the handlers as they were, afterwards."""
    found: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: found.append(what.exc_value))
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield found
    for number, handler in usual.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("rest_s", [0, 5])
def test_an_interrupt_in_a_finalizer_is_raised_after_it(rest_s: float, dropped: list[object]) -> None:
    alarm = signal.getsignal(signal.SIGALRM)
    with pytest.raises(KeyboardInterrupt) as caught, interruptible():
        interrupt_in_a_finalizer()
        time.sleep(rest_s)
    assert caught.value.__notes__ == [PUT_BACK] and dropped == []
    assert signal.getsignal(signal.SIGALRM) is alarm and signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_what_else_is_dropped_in_a_finalizer_is_told_as_ever(dropped: list[object]) -> None:
    with interruptible():
        Finalized(lambda: {}[0])
    assert [type(error) for error in dropped] == [KeyError]

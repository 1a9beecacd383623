"""Programs of others: run to the end, side by side, and before they are asked for."""

from __future__ import annotations

import os
import resource
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from qlan.errors import CommandFailed, MissingTool, NotInTime
from qlan.host.run import Running, ahead, outdate, run

PID = ["sh", "-c", "echo $$; cat"]


def lowest_free() -> int:
    """The number that the next descriptor gets."""
    fd = os.open(os.devnull, os.O_RDONLY)
    os.close(fd)
    return fd


def children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def test_what_was_started_ahead_is_taken_once() -> None:
    with ahead([(PID, "fed\n")]):
        [pid] = children()
        first, second = (run(PID, stdin="fed\n").stdout.split() for _ in range(2))
    assert first == [pid, "fed"]
    assert second[1] == "fed" and second[0] != pid


def test_what_two_will_ask_for_is_started_once() -> None:
    with ahead([(PID, ""), (PID, "")]):
        [pid] = children()
        with ahead([(PID, "")]):
            assert [run(PID).stdout.split() for _ in range(2)] == [[pid], [pid]]
        assert run(PID).stdout.split() != [pid]


def test_what_is_out_of_date_is_asked_anew() -> None:
    with ahead([(PID, ""), (PID, ""), (["sleep", "60"], "")]):
        old = run(PID).stdout
        outdate()
        assert children() == []
        assert run(PID).stdout != old


def test_other_words_or_another_input_is_another_program() -> None:
    with ahead([(PID, "fed\n")]):
        [pid] = children()
        assert run(PID).stdout.split() != [pid]
        assert run(PID, stdin="other\n").stdout.split()[0] != pid
        assert run(PID, stdin="fed\n").stdout.split()[0] == pid


def test_what_nobody_asked_for_is_ended() -> None:
    start = time.monotonic()
    with ahead([(["sleep", "60"], ""), (["sh", "-c", "exit 3"], ""), (["no-such-tool"], "")]):
        assert len(children()) == 2
        with pytest.raises(CommandFailed):
            run(["sh", "-c", "exit 3"])
        with pytest.raises(MissingTool):
            run(["no-such-tool"])
    assert children() == []
    assert time.monotonic() - start < 10


def test_one_within_another_does_not_start_it_twice() -> None:
    with ahead([(PID, "")]):
        [pid] = children()
        with ahead([(PID, "")]):
            assert children() == [pid]
        assert run(PID).stdout.split() == [pid], "the inner one ends what it started, and nothing else"


def test_what_cannot_be_started_ahead_is_left_to_run() -> None:
    many = [(["sh", "-c", f"echo {number}"], "") for number in range(40)]
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ahead(many):
        assert 1 < len(children()) <= 16, "each takes descriptors"
        assert [run(words).stdout.strip() for words, _ in many] == [str(number) for number in range(40)]
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free(), limits[1]))
        try:
            stack.enter_context(ahead([(["sh", "-c", "echo late"], "")]))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert children() == []
        assert run(["sh", "-c", "echo late"]).stdout == "late\n"


def test_a_long_answer_does_not_wait_for_who_asks() -> None:
    words = ["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x"]
    with ahead([(words, "")]):
        time.sleep(0.1)
        assert len(run(words).stdout) == 300_000


def test_a_limit_of_time_holds_for_both() -> None:
    words = ["sleep", "60"]
    with pytest.raises(NotInTime):
        run(words, time_limit_s=0.1)
    with ahead([(words, "")]), pytest.raises(NotInTime):
        run(words, time_limit_s=0.1)
    assert children() == []


def test_some_at_once() -> None:
    Running([["sh", "-c", "exit 0"], ["sh", "-c", "[ $(cat) = fed ]"]], stdin="fed").wait()
    with pytest.raises(CommandFailed, match="exit status 7"):
        Running([["sh", "-c", "exit 0"], ["sh", "-c", "sleep 0.1; exit 7"]]).wait()
    them = Running([["true"], ["sleep", "60"], ["sleep", "60"]])
    with pytest.raises(NotInTime):
        them.wait(0.1)
    them.end()
    assert children() == []

"""Processes that outlive the call: each is known by a record on disk and cannot be mistaken for another.

A record is either the process's own /proc/self/stat line, written by itself before it became what it is (id and start
time name one process for ever), or a daemon's pid file together with a word that its command line must contain.
There is no moment in which a process of ours runs and its record is not there.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from qlan.errors import HostError, NotInTime
from qlan.host.run import environment
from qlan.values import Value

STOP_GRACE_S = 10.0  # how long a guest may take to shut down when asked
_INTERRUPTS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_START_TIME_FIELD = 19  # of what follows the name in /proc/PID/stat, proc(5): field 22


class Stat(Value):
    """What names a process: its id and its start time in clock ticks since boot; its state letter and its parent."""

    pid: int
    start: int
    state: str
    parent: int


def parse_stat(line: str) -> Stat:
    """A line of /proc/PID/stat; ValueError.  The name may contain blanks and parentheses."""
    head, _, tail = line.rpartition(")")
    fields = tail.split()
    if len(fields) <= _START_TIME_FIELD:
        raise ValueError(f"not a /proc/PID/stat line: {line[:60]!r}")
    return Stat(int(head.split(" ", 1)[0]), int(fields[_START_TIME_FIELD]), fields[0], int(fields[1]))


def find_stat(pid: int) -> Stat | None:
    """The process with that id, if there is one and it is not a zombie."""
    try:
        stat = parse_stat(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return None
    return None if stat.state in "ZX" else stat


def age_s(pid: int) -> float:
    """How long ago a process started; 0 if it is gone."""
    stat = find_stat(pid)
    if stat is None:
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - stat.start / os.sysconf("SC_CLK_TCK")


def find_recorded(record: Path, *, mark: str = "", inside: int | None = None) -> int | None:
    """The living process of a record, or None.

    mark: words of ours that its command line contains; by them it is found where the record was lost or damaged (what
    cleans up /tmp takes records of living processes along).  inside: the holder of the process namespace in which a
    daemon counted the id in its pid file, None: ours.
    """
    try:
        text = record.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        text = ""
    if text.isdecimal():
        pid = int(text) if inside is None else find_outer_pid(inside, int(text))
        return pid if pid is not None and _carries(pid, mark) else None
    try:
        written = parse_stat(text)
    except ValueError:
        return find_marked(mark) if mark else None
    now = find_stat(written.pid)
    return written.pid if now is not None and now.start == written.start else None


def owner(pid: int) -> int | None:
    """The uid that it runs as; None: it is gone."""
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return None


def is_record(record: Path) -> bool:
    """Whether it is readable as one; the process may have ended."""
    try:
        parse_stat(record.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return False
    return True


def find_marked(mark: str) -> int | None:
    """Some living process whose command line (its words end with NULs) contains the mark, or None."""
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and int(entry.name) != os.getpid() and _carries(int(entry.name), mark):
            return int(entry.name)
    return None


def find_paths_under(folder: Path) -> set[Path]:
    """The paths below a folder that stand on command lines of living processes, relative to it."""
    head = os.fsencode(folder) + b"/"
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and _carries(int(entry.name), os.fsdecode(head)):
            with suppress(OSError):
                for word in Path(f"/proc/{entry.name}/cmdline").read_bytes().split(b"\0"):
                    _, has, path = word.partition(head)
                    found |= {Path(os.fsdecode(path))} if has else set()
    return found


def find_outer_pid(holder: int, inner: int) -> int | None:
    """Our id of the process that its own process namespace (that of `holder`) calls `inner`."""
    for pid in find_children(holder):
        if _inner_pid(pid) == inner:
            return pid
    return None


def find_child(parent: int) -> int | None:
    """The first living child of a process, or None."""
    for pid in find_children(parent):
        stat = find_stat(pid)
        if stat is not None and stat.parent == parent:
            return pid
    return None


def find_children(holder: int) -> list[int]:
    """A process's children; for a namespace's first process with everything that was handed to it."""
    try:
        text = Path(f"/proc/{holder}/task/{holder}/children").read_text(encoding="ascii")
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN, or no such process
        return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdecimal()]
    except OSError:
        return []
    return [int(word) for word in text.split()]


def _inner_pid(pid: int) -> int | None:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return None


def _carries(pid: int, mark: str) -> bool:
    """Whether the process lives and its command line contains the mark."""
    try:
        carries = os.fsencode(mark) in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return carries and find_stat(pid) is not None


@contextmanager
def uninterrupted() -> Iterator[None]:
    """A Ctrl-C and its like wait until this is done: for what must be whole before it can be found and undone."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def spawn(argv: Sequence[str], numbered: Iterable[tuple[int, int]]) -> None:
    """Run a shell line that leaves something behind in the background and ends; (descriptor, number it gets there).

    In a session of its own, so that a Ctrl-C in our terminal does not reach it.
    """
    actions = [*_closed(), *placed(numbered)]
    with uninterrupted():
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ()) - _INTERRUPTS
        child = os.posix_spawnp(
            argv[0], list(argv), environment(), file_actions=actions, setsid=True, setsigmask=blocked
        )
        os.waitpid(child, 0)


def _closed() -> list[Any]:
    """posix_spawn's actions that close what we were started with ourselves (a lock of `flock FILE qlan up`, the pipe of
    somebody who reads our output): it would be held as long as a guest runs.
    """
    found = [int(entry.name) for entry in os.scandir("/proc/self/fd")]
    return [(os.POSIX_SPAWN_CLOSE, fd) for fd in found if fd > 2 and _is_inherited(fd)]


def _is_inherited(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:  # the descriptor of the listing itself
        return False


def placed(numbered: Iterable[tuple[int, int]]) -> list[Any]:
    """posix_spawn's actions that put each descriptor at its number, whatever is there now: first all aside, then there.

    Aside is where nothing is that is still to be moved: a lab of 1000 NICs has that many TAPs open.
    """
    pairs = list(numbered)
    taken = {number for pair in pairs for number in pair}
    free = (number for number in count(3) if number not in taken)
    aside, there, close = [], [], []
    for (fd, number), via in zip(pairs, free, strict=False):
        aside.append((os.POSIX_SPAWN_DUP2, fd, via))
        there.append((os.POSIX_SPAWN_DUP2, via, number))
        close.append((os.POSIX_SPAWN_CLOSE, via))
    return [*aside, *there, *close]


def wait_gone(pids: Sequence[int], time_limit_s: float) -> list[int]:
    """Wait until the processes have ended; returns those that have not in time.

    The descriptors (pidfd_open(2)) make it free of polling and of mistakes by a re-used id.
    """
    poller = select.poll()
    by_fd: dict[int, int] = {}
    try:
        for pid in pids:
            with suppress(ProcessLookupError):
                fd = os.pidfd_open(pid)
                by_fd[fd] = pid
                poller.register(fd, select.POLLIN)
        deadline = time.monotonic() + time_limit_s
        waiting = set(by_fd)
        while waiting and (left := deadline - time.monotonic()) > 0:
            for fd, _ in poller.poll(left * 1000):
                poller.unregister(fd)
                waiting.discard(fd)
        return [by_fd[fd] for fd in waiting]
    finally:
        for fd in by_fd:
            os.close(fd)


def kill(pid: int, number: signal.Signals, what: str) -> None:
    """Send a signal; a process that is gone is fine."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise HostError(f"may not send {number.name} to {what} (process {pid})") from error


def end(pids: Mapping[int, str], grace_s: float) -> None:
    """SIGTERM, then SIGKILL after grace_s (0: at once) to what is left; pids maps ids to names for errors."""
    if grace_s > 0:
        for pid, what in pids.items():
            kill(pid, signal.SIGTERM, what)
    left = wait_gone(list(pids), grace_s) if grace_s > 0 else list(pids)
    for pid in left:
        kill(pid, signal.SIGKILL, pids[pid])
    left = wait_gone(left, 10.0)
    if left:
        names = ", ".join(f"{pids[pid]} (process {pid})" for pid in left)
        raise NotInTime(f"{names} does not end, not even by SIGKILL", hint="it hangs in the kernel: see `dmesg`")

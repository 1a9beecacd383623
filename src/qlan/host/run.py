"""The one door to other programs: a list of words, never a shell, a clean environment, a time limit."""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from qlan.errors import CommandFailed, MissingTool, NotInTime, QlanError

TIME_LIMIT_S = 30.0
_STDIN_MAX = 32_768  # bytes that a pipe takes though nobody reads yet (pipe(7): 65536, 4096 for who has very many)
_AHEAD_MAX = 16
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_Program = tuple[tuple[str, ...], str]  # its words, and what it reads


class _Begun:
    """A program that was started ahead.  It writes into memory: a pipe holds a megabyte at most, as much as `ip -j -d`
    says of 750 links, and the program would wait until somebody reads."""

    def __init__(self, words: Sequence[str], stdin: str) -> None:
        self._said = os.fdopen(os.memfd_create("qlan"), "rb")
        feed = subprocess.PIPE if stdin else subprocess.DEVNULL
        try:
            self.popen = _start(words, stdin=feed, stdout=self._said.fileno())
        except BaseException:
            self._said.close()
            raise
        _feed(self.popen, stdin)

    def finish(self, time_limit_s: float) -> tuple[str, str]:
        """What it printed, to both."""
        _, stderr = self.popen.communicate(timeout=time_limit_s)
        with self._said:
            self._said.seek(0)  # we and it have one place in it
            return self._said.read().decode(errors="replace"), stderr

    def end(self) -> None:
        """Whatever it does."""
        _end(self.popen)
        self._said.close()


class _Ahead(threading.local):
    """Of each thread its own: what one started may be older than what another has done since."""

    def __init__(self) -> None:
        self.begun: dict[_Program, _Begun] = {}
        self.asked: dict[_Program, int] = {}  # how often it will still be
        self.ended: dict[_Program, subprocess.CompletedProcess[str]] = {}

    def drop(self, program: _Program) -> None:
        """Nobody asks for it any more."""
        self.asked.pop(program, None)
        self.ended.pop(program, None)
        if (begun := self.begun.pop(program, None)) is not None:
            begun.end()


_ahead = _Ahead()


def environment() -> dict[str, str]:
    """What every program of ours gets: the C locale, system folders after the user's own PATH, HOME and displays."""
    kept = ("HOME", "USER", "LOGNAME", "XDG_RUNTIME_DIR", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "TMPDIR")
    words = {name: os.environ[name] for name in kept if name in os.environ}
    path = os.environ.get("PATH", "")
    return words | {"LC_ALL": "C", "PATH": f"{path}:{_PATH}" if path else _PATH}


def find_tool(name: str) -> str | None:
    """The program's path, or None.  Administrators' folders are looked into for ordinary users too."""
    # shutil.which does this, but takes all compression modules along: a fifth of the time of `qlan status`
    folders = environment()["PATH"].split(":")
    for path in [name] if "/" in name else [f"{folder}/{name}" for folder in folders if folder]:
        if os.access(path, os.X_OK) and not os.path.isdir(path):  # noqa: PTH112
            return path
    return None


def tool(name: str) -> str:
    """The program's path; MissingTool names the package to install."""
    found = find_tool(name)
    if found is None:
        from qlan.host import packages

        raise MissingTool(f"{name} is not installed", hint=packages.install_hint(name))
    return found


def run(
    argv: Sequence[str], *, stdin: str = "", ok: Sequence[int] = (0,), time_limit_s: float = TIME_LIMIT_S
) -> subprocess.CompletedProcess[str]:
    """Run to the end and return what it printed; CommandFailed if its exit status is not in ok.  Inputs are text.

    In a process group of its own: a Ctrl-C is for us alone, who may be putting something back by just this program.
    """
    program = (tuple(argv), stdin)
    if (ended := _ahead.ended.get(program)) is not None:
        _count(program, ended)
        return ended
    begun = _ahead.begun.pop(program, None)
    if begun is None:
        tool(argv[0])
    popen = begun.popen if begun else _start(argv, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL)
    try:
        stdout, stderr = begun.finish(time_limit_s) if begun else popen.communicate(stdin or None, timeout=time_limit_s)
    except BaseException as error:
        if begun:
            begun.end()
        else:
            _end(popen)
        if isinstance(error, subprocess.TimeoutExpired):
            raise NotInTime(f"no end after {time_limit_s:.0f} s", where=shown(argv)) from error
        raise
    if popen.returncode not in ok:
        raise CommandFailed(list(argv), popen.returncode, stderr or stdout, shown=shown(argv, stdin))
    done = subprocess.CompletedProcess(list(argv), popen.returncode, stdout, stderr)
    if begun:
        _count(program, done)
    return done


def _count(program: _Program, done: subprocess.CompletedProcess[str]) -> None:
    """It was asked for once more; what it said is kept for who else will ask."""
    _ahead.asked[program] -= 1
    if _ahead.asked[program]:
        _ahead.ended[program] = done
    else:
        _ahead.drop(program)


@contextmanager
def ahead(programs: Iterable[tuple[Sequence[str], str]]) -> Iterator[None]:
    """Start these, words and standard input, and go on: each is what a `run` of the same within gets, as often as it is
    named here.

    For programs that only read: one that nobody asks for is ended, one that cannot be started is left to `run`, as are
    those beyond a few: each takes two descriptors of ours.
    """
    started: list[_Program] = []
    try:
        for words, stdin in programs:
            program = (tuple(words), stdin)
            if program in started:
                _ahead.asked[program] += 1
            elif len(_ahead.begun) == _AHEAD_MAX:
                break
            elif program not in _ahead.asked and len(stdin) <= _STDIN_MAX and find_tool(words[0]):
                with suppress(OSError):
                    _ahead.begun[program] = _Begun(*program)
                    _ahead.asked[program] = 1
                    started.append(program)
        yield
    finally:
        for program in started:
            _ahead.drop(program)


def outdate() -> None:
    """What was started ahead is of no use any more: something is about to change."""
    for program in list(_ahead.asked):
        _ahead.drop(program)


def _feed(popen: subprocess.Popen[str], stdin: str) -> None:
    if popen.stdin is not None:
        with suppress(BrokenPipeError):  # it ended without reading
            popen.stdin.write(stdin)
            popen.stdin.close()
        popen.stdin = None


def _start(
    argv: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        list(argv), stdin=stdin, stdout=stdout, stderr=stderr, text=True, env=environment(), cwd="/",
        errors="replace", process_group=0,
    )  # fmt: skip


def _end(popen: subprocess.Popen[str]) -> None:
    popen.kill()
    popen.wait()
    for pipe in (popen.stdin, popen.stdout, popen.stderr):
        if pipe is not None:
            pipe.close()


def run_all(argvs: Sequence[Sequence[str]], *, time_limit_s: float = TIME_LIMIT_S) -> None:
    """Run several to their ends, at the same time; when all have ended, the first one's failure is raised."""
    Running(argvs).wait(time_limit_s)


class Running:
    """Several that were started at the same time; they say little.  stdin: what each of them reads."""

    def __init__(self, argvs: Sequence[Sequence[str]], *, stdin: str = "") -> None:
        for argv in argvs:
            tool(argv[0])
        self._argvs, self._stdin = argvs, stdin
        self._popens: list[subprocess.Popen[str]] = []
        try:
            for argv in argvs:
                feed = subprocess.PIPE if stdin else subprocess.DEVNULL
                self._popens.append(_start(argv, stdin=feed, stderr=subprocess.STDOUT))
                _feed(self._popens[-1], stdin)
        except BaseException:
            self.end()
            raise

    def wait(self, time_limit_s: float = TIME_LIMIT_S) -> None:
        """Until all have ended; the first one's failure is raised, NotInTime or CommandFailed."""
        try:
            pairs = zip(self._argvs, self._popens, strict=True)
            failures = [_failure(argv, self._stdin, popen, time_limit_s) for argv, popen in pairs]
        except BaseException:
            self.end()
            raise
        for failure in failures:
            if failure is not None:
                raise failure

    def end(self) -> None:
        """Those that still run."""
        for popen in self._popens:
            _end(popen)


def _failure(argv: Sequence[str], stdin: str, popen: subprocess.Popen[str], time_limit_s: float) -> QlanError | None:
    """How a program that was started failed, or None.  What it says is little: it fits into the pipe."""
    try:
        words, _ = popen.communicate(timeout=time_limit_s)
    except subprocess.TimeoutExpired:
        _end(popen)
        return NotInTime(f"no end after {time_limit_s:.0f} s", where=shown(argv, stdin))
    return CommandFailed(list(argv), popen.returncode, words, shown=shown(argv, stdin)) if popen.returncode else None


def shown(argv: Sequence[str], stdin: str = "") -> str:
    """The command as it can be pasted into a shell."""
    line = shlex.join(argv)
    return f"{line} <<'END'\n{stdin.rstrip()}\nEND\n" if stdin else line

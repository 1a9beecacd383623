"""The one door to other programs: a list of words, never a shell, a clean environment, a time limit."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence

from qlan.errors import CommandFailed, MissingTool, NotInTime, QlanError

TIME_LIMIT_S = 30.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


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
    tool(argv[0])
    try:
        done = subprocess.run(
            list(argv),
            input=stdin,
            capture_output=True,
            text=True,
            env=environment(),
            timeout=time_limit_s,
            check=False,
            cwd="/",
            errors="replace",
            process_group=0,
        )
    except subprocess.TimeoutExpired as error:
        raise NotInTime(f"no end after {time_limit_s:.0f} s", where=shown(argv)) from error
    if done.returncode not in ok:
        raise CommandFailed(list(argv), done.returncode, done.stderr or done.stdout, shown=shown(argv, stdin))
    return done


def run_all(argvs: Sequence[Sequence[str]], *, time_limit_s: float = TIME_LIMIT_S) -> None:
    """Run several to their ends, at the same time; when all have ended, the first one's failure is raised."""
    for argv in argvs:
        tool(argv[0])
    running = []
    try:
        for argv in argvs:
            running.append(subprocess.Popen(
                list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                env=environment(), cwd="/", errors="replace", process_group=0,
            ))  # fmt: skip
        failures = [_failure(argv, popen, time_limit_s) for argv, popen in zip(argvs, running, strict=True)]
    except BaseException:
        for popen in running:
            popen.kill()
            popen.wait()
        raise
    for failure in failures:
        if failure is not None:
            raise failure


def _failure(argv: Sequence[str], popen: subprocess.Popen[str], time_limit_s: float) -> QlanError | None:
    """How a program that was started failed, or None.  What it says is little: it fits into the pipe."""
    try:
        words, _ = popen.communicate(timeout=time_limit_s)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.communicate()
        return NotInTime(f"no end after {time_limit_s:.0f} s", where=shown(argv))
    return CommandFailed(list(argv), popen.returncode, words, shown=shown(argv)) if popen.returncode else None


def shown(argv: Sequence[str], stdin: str = "") -> str:
    """The command as it can be pasted into a shell."""
    line = shlex.join(argv)
    return f"{line} <<'END'\n{stdin.rstrip()}\nEND\n" if stdin else line

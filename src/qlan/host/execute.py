"""Runs commands: consecutive `ip` lines in one process, consecutive TAPs in one, machines in parallel.

Works on a Layout (where the lab's files are).  What is opened for a machine that has not started yet is held here, and
closed (which removes the TAPs) when the executor is.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from qlan.errors import CommandFailed, ConflictError, HostError
from qlan.host import files, machine, process
from qlan.host.namespace import explain_denied, find_holder, holder
from qlan.host.process import STOP_GRACE_S
from qlan.host.run import run, run_all, shown, tool
from qlan.host.tap import open_taps
from qlan.names import link_group
from qlan.render.command import Boot, Command, Hold, Ip, OpenTap, Release, Reload, Remove, Run, Stop, Sysctl, Write
from qlan.render.layout import Layout
from qlan.render.namespace import enter

_PID = re.compile(r"@([^@]+)@")

# The family of a command, and its place in it: all links made before the settings of their own, and these before they
# are set up; all files before the daemons that read them; all ends before the folders go.
_FAMILY: dict[type[Command], tuple[str, int]] = {
    OpenTap: ("links", 0),
    Sysctl: ("links", 2),
    Ip: ("links", 3),
    Write: ("start", 0),
    Run: ("start", 1),
    Boot: ("start", 1),
    Reload: ("start", 1),
    Stop: ("end", 0),
    Release: ("end", 0),
    Remove: ("end", 1),
    Hold: ("hold", 0),
}

_DELETE = "link del dev "

C = TypeVar("C", bound=Command)


class Executor:
    """A lab's commands, carried out.  rootless: how its namespaces are entered.  grace_s: for guests that are ended."""

    def __init__(self, layout: Layout, *, rootless: bool, grace_s: float = STOP_GRACE_S) -> None:
        self.layout = layout
        self.rootless = rootless
        self.grace_s = grace_s
        self._taps: dict[tuple[str, str], int] = {}

    def __enter__(self) -> Executor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the TAPs that no machine took."""
        for fd in self._taps.values():
            os.close(fd)
        self._taps.clear()

    def run(self, commands: Sequence[Command]) -> None:
        """All of them, in order; the first failure is raised, and nothing after it is done."""
        runners: dict[type[Command], Callable[[Sequence[Command]], None]] = {
            Ip: self._typed(self._ip, Ip),
            Sysctl: self._typed(self._sysctl, Sysctl),
            OpenTap: self._typed(self._open_taps, OpenTap),
            Write: self._typed(self._write, Write),
            Remove: self._typed(self._remove, Remove),
            Hold: self._typed(self._hold, Hold),
            Release: self._typed(self._release, Release),
            Run: self._typed(self._run, Run),
            Boot: self._typed(self._boot, Boot),
            Stop: self._typed(self._stop, Stop),
            Reload: self._typed(self._reload, Reload),
        }
        for kind, group in _batches(commands):
            runners[kind](group)

    @staticmethod
    def _typed(runner: Callable[[list[C]], None], kind: type[C]) -> Callable[[Sequence[Command]], None]:
        return lambda commands: runner([one for one in commands if isinstance(one, kind)])

    def _ip(self, commands: list[Ip]) -> None:
        for namespace, batch in _by_namespace(commands):
            if batch[0].gone_is_fine and find_holder(self.layout, namespace) is None and namespace:
                continue
            force = ["-force"] if all(one.gone_is_fine for one in batch) else []
            lines = [self._filled(one.line) for one in batch]
            if force and self._is_whole_group(namespace, lines):
                lines = [f"link del group {link_group(self.layout.lab)}"]
            text = "".join(line + "\n" for line in lines)
            argv = [*self._entered(namespace), "ip", *force, "-batch", "-"]
            try:
                run(argv, stdin=text)
            except CommandFailed as error:
                _explain_ip(error, batch, argv)

    def _sysctl(self, commands: list[Sysctl]) -> None:
        script = 'while read -r path value; do [ ! -e "/proc/sys/$path" ] || echo "$value" >"/proc/sys/$path"; done'
        for namespace, group in _by_namespace(commands):
            text = "".join(f"{one.path} {one.value}\n" for one in group)
            run([*self._entered(namespace), "sh", "-ec", script], stdin=text)

    def _is_whole_group(self, namespace: str, lines: Sequence[str]) -> bool:
        """Whether these are removals of all links that carry the lab's group, and of no others.

        Removed one by one each link costs the kernel a grace period (16 to 40 ms), all at once they share it.
        """
        doomed = {line.removeprefix(_DELETE) for line in lines if line.startswith(_DELETE)}
        if len(doomed) < 2 or len(doomed) < len(lines):
            return False
        argv = [*self._entered(namespace), "ip", "-br", "link", "show", "group", str(link_group(self.layout.lab))]
        shown_names = {line.split()[0].partition("@")[0] for line in run(argv).stdout.splitlines() if line.strip()}
        return bool(shown_names) and shown_names <= doomed

    def _open_taps(self, commands: list[OpenTap]) -> None:
        for namespace, group in _by_namespace(commands):
            names = [one.name for one in group]
            fds = open_taps(holder(self.layout, namespace) if namespace else None, names)
            self._taps |= {(namespace, name): fd for name, fd in zip(names, fds, strict=True)}

    def _write(self, commands: list[Write]) -> None:
        for one in commands:
            files.write(one.path, one.text)

    def _remove(self, commands: list[Remove]) -> None:
        for one in commands:
            files.remove(one.path)

    def _hold(self, commands: list[Hold]) -> None:
        for one in commands:
            _start_holder([self._filled(word) for word in one.argv], one.record)

    def _run(self, commands: list[Run]) -> None:
        run_all([[self._filled(word) for word in one.argv] for one in commands])

    def _boot(self, commands: list[Boot]) -> None:
        started = [machine.start(one, [self._taps.pop(tap) for tap in one.taps]) for one in commands]
        for one in started:
            one.wait_ready()

    def _stop(self, commands: list[Stop]) -> None:
        machine.ask_to_stop(commands, self.grace_s)
        process.end({pid: one.what for one in commands if (pid := self._find(one)) is not None}, grace_s=3.0)

    def _release(self, commands: list[Release]) -> None:
        found = {pid: one.key for one in commands if (pid := find_holder(self.layout, one.key)) is not None}
        process.end(found, grace_s=0)  # the first process of a namespace hears no other signal than SIGKILL

    def _reload(self, commands: list[Reload]) -> None:
        for one in commands:
            pid = self._find(one)
            if pid is None:
                raise HostError(f"{one.what} is not running any more", hint="`qlan up` starts it again")
            process.kill(pid, signal.SIGHUP, one.what)

    def _find(self, command: Stop | Reload) -> int | None:
        inside = find_holder(self.layout, command.inside) if command.inside else None
        return process.find_recorded(command.record, mark=command.mark, inside=inside)

    def _entered(self, namespace: str) -> list[str]:
        words = enter(namespace, rootless=self.rootless)
        return [self._filled(word) for word in words if word != "--pid"]

    def _filled(self, text: str) -> str:
        return _PID.sub(lambda match: str(holder(self.layout, match[1])), text)


L = TypeVar("L", Ip, OpenTap, Sysctl)


def _by_namespace(commands: Sequence[L]) -> list[tuple[str, list[L]]]:
    """The commands of each namespace, in their order: those of different namespaces don't depend on each other."""
    found: dict[str, list[L]] = {}
    for one in commands:
        found.setdefault(one.namespace, []).append(one)
    return list(found.items())


def _batches(commands: Sequence[Command]) -> Iterator[tuple[type[Command], list[Command]]]:
    """Neighbours of one type together, so that they are done at once.

    Within a stretch of one family the order is the family's: `write, run, write, run` is `write, write, run, run`.
    """
    for _, stretch in groupby(commands, key=lambda one: _FAMILY[type(one)][0]):
        ordered = sorted(stretch, key=_place)
        for kind, group in groupby(ordered, key=type):
            yield kind, list(group)


def _place(command: Command) -> int:
    if isinstance(command, Ip) and command.line.startswith("link add "):
        return 1
    return _FAMILY[type(command)][1]


def _start_holder(argv: list[str], record: Path) -> None:
    """Start it with a pipe as descriptor 3, on which it says that the namespace is ready (or which ends with it)."""
    tool(argv[0])
    files.make_folder(record.parent)
    record.unlink(missing_ok=True)
    error_read, error_write = os.pipe()
    ready_read, ready_write = os.pipe()
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    line = ["sh", "-c", '"$@" &', "sh", *argv]  # a realm's unshare waits for the holder: nobody's child but init's
    process.spawn(line, [(null, 0), (null, 1), (error_write, 2), (ready_write, 3)])
    os.close(null)
    os.close(error_write)
    os.close(ready_write)
    with os.fdopen(ready_read, "rb") as ready:
        ready.read(1)
    words = _said(error_read)
    if process.find_recorded(record) is None:
        if argv[0] in words or not words:  # unshare's or nsenter's own complaint
            raise explain_denied(words or shown(argv))
        raise HostError(words.strip(), where=str(record))


def _said(pipe: int) -> str:
    """What is in a pipe now; its other end may be open."""
    os.set_blocking(pipe, False)
    try:
        return os.read(pipe, 4096).decode(errors="replace")
    except BlockingIOError:
        return ""
    finally:
        os.close(pipe)


def _explain_ip(error: CommandFailed, batch: list[Ip], argv: list[str]) -> None:
    """Which line it was, and what the kernel's usual answers mean; removals of what is gone pass."""
    words = [line for line in error.stderr.splitlines() if line and not line.startswith("Command failed")]
    if all(one.gone_is_fine for one in batch):
        words = [
            line
            for line in words
            if "Cannot find device" not in line
            and "does not exist" not in line
            and "Cannot assign requested address" not in line
            and "No such device" not in line
        ]
        if not words:
            return
    number = re.search(r"Command failed -:(\d+)", error.stderr)
    line = batch[int(number[1]) - 1].line if number else batch[0].line
    what = words[-1] if words else error.what
    where = shown([*argv[: -2 - argv.count("-force")], *line.split()])
    if "File exists" in what:
        raise ConflictError(
            "there is already a link or an address like this",
            where=where,
            hint="qlan touches only what it made: remove or rename the other one",
        ) from error
    hint = "a bridge has at most 1023 ports: use two networks" if "Exchange full" in what else ""
    raise HostError(what, where=where, hint=hint) from error

"""Runs commands: consecutive `ip` lines in one process, consecutive TAPs in one, machines in parallel.

Works on a Layout (where the lab's files are).  What is opened for a machine that has not started yet is held here, and
closed (which removes the TAPs) when the executor is.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from qlan.errors import CommandFailed, ConflictError, HostError
from qlan.host import conntrack, files, guest, link, machine, packet, process, relay, wire
from qlan.host.macvtap import open_macvtaps
from qlan.host.namespace import explain_denied, find_holder, holder
from qlan.host.process import STOP_GRACE_S
from qlan.host.run import Running, run, run_all, shown, tool
from qlan.host.tap import held, open_taps, remove_taps
from qlan.host.vhost import open_vhosts
from qlan.render.command import (
    HERE,
    Adopt,
    Amend,
    Boot,
    Borrow,
    Command,
    Disconnect,
    Folder,
    Forget,
    GiveBack,
    Hold,
    InTurn,
    Ip,
    Nft,
    OpenTap,
    Publish,
    Qmp,
    Release,
    Reload,
    Remove,
    Run,
    Save,
    Serve,
    Stop,
    Sysctl,
    Withdraw,
    Write,
)
from qlan.render.layout import Layout
from qlan.render.namespace import enter
from qlan.values import replace

_PID = re.compile(r"@([^@]+)@")

# The family of a command, and its place in it: all links made before the settings of their own, and these before they
# are set up; all files before the daemons that read them; all ends before the folders go.
_FAMILY: dict[type[Command], tuple[str, int]] = {
    OpenTap: ("links", 0),
    Sysctl: ("links", 2),
    Ip: ("links", 3),
    Write: ("start", 0),
    Folder: ("start", 0),
    Forget: ("start", 0),
    Nft: ("start", 1),
    Serve: ("start", 0),
    Publish: ("start", 0),
    Save: ("start", 2),
    Disconnect: ("start", 2),
    Withdraw: ("start", 3),
    Run: ("start", 3),
    Boot: ("start", 3),
    Adopt: ("start", 3),
    Reload: ("start", 3),
    Stop: ("end", 0),
    Release: ("end", 0),
    Remove: ("end", 1),
    Hold: ("hold", 0),
    InTurn: ("turn", 0),
    Borrow: ("borrow", 0),
    GiveBack: ("give back", 0),
    Amend: ("live", 0),
    Qmp: ("live", 0),
}

_PROGRAMS = {"ip": 3, "bridge": 4, "tc": 5}  # a link is a port before it has VLANs, and is there before its queue

_DELETE = "link del dev "
_RULES = "rules of "  # what goes on behind that makes no resource, but removes tables of a namespace

C = TypeVar("C", bound=Command)


class Executor:
    """A lab's commands, carried out.  rootless: how its namespaces are entered.  grace_s: for guests that are ended."""

    def __init__(self, layout: Layout, *, rootless: bool, grace_s: float = STOP_GRACE_S) -> None:
        self.layout = layout
        self.rootless = rootless
        self.grace_s = grace_s
        self._taps: dict[tuple[str, str], int] = {}
        self._behind: dict[str, Running | machine.Started] = {}  # by the key of what it makes

    def __enter__(self) -> Executor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the TAPs that no machine took, and end what was begun and nobody waited for."""
        while self._behind:
            self._behind.popitem()[1].end()
        try:
            self._remove_taps(self._taps)
        finally:
            while self._taps:
                os.close(self._taps.popitem()[1])

    def run(self, commands: Sequence[Command]) -> None:
        """All of them, in order; the first failure is raised, and nothing after it is done.

        For guests that are started last nobody has waited yet: `finish` does.
        """
        runners: dict[type[Command], Callable[[Sequence[Command]], None]] = {
            Ip: self._typed(self._ip, Ip),
            Sysctl: self._typed(self._sysctl, Sysctl),
            OpenTap: self._typed(self._open_taps, OpenTap),
            Write: self._typed(self._write, Write),
            Folder: self._typed(self._folder, Folder),
            Remove: self._typed(self._remove, Remove),
            Hold: self._typed(self._hold, Hold),
            Release: self._typed(self._release, Release),
            Run: self._typed(self._run, Run),
            InTurn: self._typed(self._in_turn, InTurn),
            Boot: self._typed(self._boot, Boot),
            Adopt: self._typed(self._adopt, Adopt),
            Stop: self._typed(self._stop, Stop),
            Reload: self._typed(self._reload, Reload),
            Forget: self._typed(self._forget, Forget),
            Serve: self._typed(self._serve, Serve),
            Nft: self._typed(self._nft, Nft),
            Save: self._typed(self._save, Save),
            Disconnect: self._typed(conntrack.disconnect, Disconnect),
            Borrow: self._typed(packet.borrow, Borrow),
            GiveBack: self._typed(packet.give_back, GiveBack),
            Publish: self._typed(self._publish, Publish),
            Withdraw: self._typed(relay.withdraw, Withdraw),
            Amend: self._typed(self._amend, Amend),
            Qmp: self._typed(self._qmp, Qmp),
        }
        for kind, group in _batches(commands):
            self.finish(self._booting())
            if kind in (Nft, Save, Disconnect):  # these have an order among themselves
                self.finish({key for key in self._behind if key.startswith(_RULES)})
            runners[kind](group)

    @staticmethod
    def _typed(runner: Callable[[list[C]], None], kind: type[C]) -> Callable[[Sequence[Command]], None]:
        return lambda commands: runner([one for one in commands if isinstance(one, kind)])

    def _ip(self, commands: list[Ip]) -> None:
        for (namespace, program), batch in _by_program(commands):
            if batch[0].gone_is_fine and find_holder(self.layout, namespace) is None and namespace:
                continue
            force = ["-force"] if all(one.gone_is_fine for one in batch) else []
            lines = [self._filled(one.line) for one in batch]
            doomed = [line.removeprefix(_DELETE) for line in lines if line.startswith(_DELETE)]
            if force and 2 <= len(doomed) == len(lines):
                lines = link.removal(doomed, self.layout.lab)
            text = "".join(line + "\n" for line in lines)
            argv = [*self._entered(namespace), program, *force, "-batch", "-"]
            try:
                run(argv, stdin=text)
            except CommandFailed as error:
                _explain_ip(error, batch, argv)

    def _sysctl(self, commands: list[Sysctl]) -> None:
        script = 'while read -r path value; do [ ! -e "/proc/sys/$path" ] || echo "$value" >"/proc/sys/$path"; done'
        for namespace, group in _by_namespace(commands):
            text = "".join(f"{one.path} {one.value}\n" for one in group)
            run([*self._entered(namespace), "sh", "-ec", script], stdin=text)

    def _nft(self, commands: list[Nft]) -> None:
        for namespace, group in _by_namespace(commands):
            gone = all(one.gone_is_fine for one in group)
            if namespace and gone and find_holder(self.layout, namespace) is None:
                continue
            words = [*self._entered(namespace), "nft", "-f", "-"]
            if gone:  # the kernel waits for packets on their way through them, as it does when links go
                self._behind[f"{_RULES}{namespace}"] = Running([words], stdin="".join(one.text for one in group))
                continue
            try:
                run(words, stdin="".join(one.creating for one in group))
            except CommandFailed:
                if not any(one.new for one in group):
                    raise
                run(words, stdin="".join(one.replacing for one in group))  # it is there, or this tells what is wrong

    def _save(self, commands: list[Save]) -> None:
        for namespace, group in _by_namespace(commands):
            packet.save(group, self._entered(namespace))

    def _open_taps(self, commands: list[OpenTap]) -> None:
        for namespace, group in _by_namespace(commands):
            names = [one.name for one in group]
            with process.uninterrupted():  # a descriptor that is lost would keep its TAP
                fds = open_taps(holder(self.layout, namespace) if namespace else None, names)
                self._taps |= {(namespace, name): fd for name, fd in zip(names, fds, strict=True)}

    def _write(self, commands: list[Write]) -> None:
        for one in commands:
            files.write(one.path, one.text, mode=0o600 if one.private else 0o644)

    def _folder(self, commands: list[Folder]) -> None:
        for one in commands:
            files.make_folder(one.path, private_to=os.geteuid() if one.owner is None else one.owner)

    def _remove(self, commands: list[Remove]) -> None:
        for one in commands:
            files.remove(one.path)

    def _hold(self, commands: list[Hold]) -> None:
        for one in commands:
            _start_holder([self._filled(word) for word in one.argv], one.record)

    def _run(self, commands: list[Run]) -> None:
        for one in [one for one in commands if one.behind]:
            self._behind[one.behind] = Running([self._words(one)])
        with _explained():
            run_all([self._words(one) for one in commands if not one.behind])

    def _words(self, command: Run) -> list[str]:
        return [*machine.as_user(command.run_as), *map(self._filled, command.argv)]

    @property
    def awaits_guests_alone(self) -> bool:
        """Whether all else is as it will be."""
        return bool(self._behind) and len(self._booting()) == len(self._behind)

    def finish(self, needed: Collection[str] | None = None) -> None:
        """Wait for what was begun and others need not wait for.  needed: only that which makes one of these."""
        for key in [key for key in self._behind if needed is None or key in needed]:
            with _explained():
                self._behind.pop(key).wait()

    def _in_turn(self, commands: list[InTurn]) -> None:
        for one in commands:
            try:
                run(one.argv)
            except CommandFailed as error:
                words = [line for line in error.stderr.splitlines() if line.strip()]
                where = _line_of(error.stderr) or shown(one.argv)
                raise HostError(words[0] if words else error.what, where=where) from error

    def _boot(self, commands: list[Boot]) -> None:
        for one in commands:
            if missing := [name for place, name in one.taps if (place, name) not in self._taps]:
                raise HostError(f"its TAP {missing[0]} was not made", where=f"guest {one.guest}")
            with process.uninterrupted():  # likewise
                taps = [self._taps.pop(tap) for tap in one.taps]
                self._behind[f"machine/{one.guest}"] = machine.start(one, taps + self._others(one))

    def _booting(self) -> set[str]:
        return {key for key, one in self._behind.items() if isinstance(one, machine.Started)}

    def _others(self, boot: Boot) -> list[int]:
        """What a QEMU gets beside its TAPs."""
        ends = [fd for key, end in boot.ends for fd in wire.open_ends(holder(self.layout, key), [end])]
        return open_macvtaps(boot.macvtaps) + ends + open_vhosts(boot.vhosts)

    def _stop(self, commands: list[Stop]) -> None:
        machine.ask_to_stop(commands, self.grace_s)
        left = {pid: one for one in commands if (pid := self._find(one)) is not None}
        names = {pid: one.what for pid, one in left.items()}
        with process.uninterrupted():  # an undo would take who is dying for one that lives, without its TAPs
            self._remove_taps(held({pid: one.taps for pid, one in left.items()}))
            process.end(names, grace_s=3.0)

    def _remove_taps(self, taps: Collection[tuple[str, str]]) -> None:
        for namespace in {namespace for namespace, _ in taps}:
            if not namespace or find_holder(self.layout, namespace) is not None:
                names = [name for where, name in taps if where == namespace]
                remove_taps(names, self.layout.lab, enter=self._entered(namespace))

    def _release(self, commands: list[Release]) -> None:
        found = {pid: one.key for one in commands if (pid := find_holder(self.layout, one.key)) is not None}
        process.end(found, grace_s=0)  # the first process of a namespace hears no other signal than SIGKILL

    def _forget(self, commands: list[Forget]) -> None:
        for one in commands:
            files.drop_lines(one.path, one.words)

    def _reload(self, commands: list[Reload]) -> None:
        for one in commands:
            pid = self._find(one)
            if pid is None:
                raise HostError(f"{one.what} is not running any more", hint="`qlan up` starts it again")
            process.kill(pid, signal.SIGHUP, one.what)

    def _serve(self, commands: list[Serve]) -> None:
        for one in commands:
            relay.start(replace(one, enter=tuple(map(self._filled, one.enter))), python=sys.executable)

    def _publish(self, commands: list[Publish]) -> None:
        relay.publish(commands, lambda key: holder(self.layout, key))

    def _amend(self, commands: list[Amend]) -> None:
        for one in commands:
            guest.amend(one)

    def _adopt(self, commands: list[Adopt]) -> None:
        from qlan.host import adopted  # with all that reads a command line and speaks to a monitor

        adopted.take(commands)

    def _qmp(self, commands: list[Qmp]) -> None:
        for one in commands:
            guest.tell(one, self._descriptor(one))

    def _descriptor(self, command: Qmp) -> int | None:
        """What the QEMU gets with it, if anything."""
        if command.tap:
            if command.tap not in self._taps:
                raise HostError(f"TAP {command.tap[1]} could not be opened", where=f"guest {command.guest}")
            return self._taps.pop(command.tap)
        if command.macvtap:
            return open_macvtaps([command.macvtap])[0]
        if command.end:
            namespace, end = command.end
            return wire.open_ends(holder(self.layout, namespace), [end])[0]
        return None

    def _find(self, command: Stop | Reload) -> int | None:
        inside = find_holder(self.layout, command.inside) if command.inside else None
        return process.find_recorded(command.record, mark=command.mark, inside=inside)

    def _entered(self, namespace: str) -> list[str]:
        words = enter(namespace, rootless=self.rootless)
        return [self._filled(word) for word in words if word != "--pid"]

    def _filled(self, text: str) -> str:
        return _PID.sub(lambda match: str(os.getpid() if match[1] == HERE else holder(self.layout, match[1])), text)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except CommandFailed as error:
        if "External interface not usable" in error.stderr:  # pasta and passt of 2023-03
            raise HostError(
                "pasta and passt find no way outside: this machine has no default route",
                where=error.where,
                hint="connect the machine first, or use `kind: host-only` (for a `user` NIC `backend: slirp`)",
            ) from error
        raise


L = TypeVar("L", Nft, OpenTap, Save, Sysctl)


def _by_program(commands: Sequence[Ip]) -> list[tuple[tuple[str, str], list[Ip]]]:
    """The lines of each namespace and program, in their order."""
    found: dict[tuple[str, str], list[Ip]] = {}
    for one in commands:
        found.setdefault((one.namespace, one.program), []).append(one)
    return list(found.items())


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
    for _, stretch in groupby(commands, key=_family):
        ordered = sorted(stretch, key=_place)
        for kind, group in groupby(ordered, key=type):
            yield kind, list(group)


def _family(command: Command) -> str:
    if isinstance(command, Nft) and command.gone_is_fine:
        return "end"  # it goes, as daemons and their files do: one transaction for the tables of all networks
    return _FAMILY[type(command)][0]


def _place(command: Command) -> int:
    if isinstance(command, Nft) and command.gone_is_fine:
        return -1
    if isinstance(command, Ip):
        if command.line.startswith("link add "):
            return 1
        return _PROGRAMS[command.program]
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
    with process.uninterrupted():
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


def _line_of(said: str) -> str:
    """The line of a file of ours at which `ip -batch FILE` stopped; "": it was none."""
    found = re.search(r"Command failed (/.*):(\d+)", said)
    lines = files.read_text(Path(found[1])).splitlines() if found else []
    return f"ip {lines[int(found[2]) - 1]}" if found and int(found[2]) <= len(lines) else ""


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
            and "handle of zero" not in line  # no such queueing discipline
            and "Invalid handle" not in line
        ]
        if not words:
            return
    number = re.search(r"Command failed -:(\d+)", error.stderr)
    line = batch[min(int(number[1]), len(batch)) - 1].line if number else batch[0].line
    what = words[-1] if words else error.what
    where = shown([*argv[: -2 - argv.count("-force")], *line.split()])
    if "File exists" in what:
        raise ConflictError(
            "there is already a link or an address like this",
            where=where,
            hint="qlan touches only what it made: remove or rename the other one",
        ) from error
    if "qdisc kind is unknown" in what and " netem " in line:
        raise _no_netem(line, what, where) from error
    if "qdisc kind is unknown" in what or "TC classifier not found" in what or "Failed to load TC action" in what:
        raise HostError(f"this kernel cannot limit rates: {what}", where=where,
                        hint="it needs sch_tbf, sch_ingress, cls_u32, act_mirred and ifb (modprobe); "
                             "or leave `rate:` out") from error  # fmt: skip
    hint = "a bridge has at most 1023 ports: use two networks" if "Exchange full" in what else ""
    raise HostError(what, where=where, hint=hint) from error


def _no_netem(line: str, what: str, where: str) -> HostError:
    """What was asked for that takes it, by name."""
    asked = [word for word in ("delay", "loss", "duplicate", "corrupt", "reorder") if f" {word} " in line]
    return HostError(
        f"this kernel has no netem, and {' and '.join(asked)} cannot be done without: {what}",
        where=where,
        hint="`modprobe sch_netem` as root, from the package of more modules of this kernel (kernel-modules-extra, "
        "linux-modules-extra-...), or another kernel; --rate works without it",
    )

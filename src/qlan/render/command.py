"""Commands as data.  The same ones are shown by `qlan plan`, written by `--script` and run by `up` and `down`.

`@KEY@` in a word or a line stands for the process id of the namespace with that key: it is known only when it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ip:
    """One line for `ip -batch` in a namespace (a Namespace's key, or "" for the machine's own).

    gone_is_fine: a removal of what may already have gone with something else.
    """

    namespace: str
    line: str
    gone_is_fine: bool = False


@dataclass(frozen=True, slots=True)
class Sysctl:
    """Write a value to a file below /proc/sys, as a namespace has it; a kernel without that file needs no word."""

    namespace: str
    path: str
    value: str


@dataclass(frozen=True, slots=True)
class OpenTap:
    """Make a TAP that lives as long as its descriptor; a later Start hands it on."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Write:
    """Write a file of ours (its folder is made), which others may read."""

    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a folder of ours with all that is in it."""

    path: Path


@dataclass(frozen=True, slots=True)
class Hold:
    """Start the process that holds a namespace open; `record` is written by it before it sleeps."""

    key: str
    argv: tuple[str, ...]
    record: Path


@dataclass(frozen=True, slots=True)
class Release:
    """End the process that holds a namespace open, and with it all that runs there."""

    key: str
    record: Path


@dataclass(frozen=True, slots=True)
class Run:
    """Run a program to its end in a namespace; a daemon ends when it is ready."""

    namespace: str
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QmpCall:
    """A QMP command with its arguments."""

    name: str
    arguments: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class Boot:
    """Start a QEMU.  It gets listening sockets and TAPs as descriptors from FIRST_FD on, in this order.

    argv: complete; `sockets` are (path) of the unix sockets to make and listen on, taps the interfaces opened before.
    own: a folder in which QEMU itself may write.  then: QMP commands to send when it answers (with -S on the command
    line: the last one is `cont`).
    """

    guest: str
    argv: tuple[str, ...]
    record: Path
    log: Path
    own: Path
    sockets: tuple[Path, ...]
    taps: tuple[tuple[str, str], ...]  # (namespace, name)
    then: tuple[QmpCall, ...] = ()
    run_as: int | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """End a process that we started.

    mark: what is in its command line, for a record that is a pid file or was lost; inside: the key of the namespace in
    which it counted its id ("": the machine's).  ask: the QMP socket on which to ask
    first.
    """

    record: Path
    what: str
    mark: str = ""
    inside: str = ""
    ask: Path | None = None


@dataclass(frozen=True, slots=True)
class Reload:
    """Have a daemon of ours read its files again (SIGHUP)."""

    record: Path
    what: str
    mark: str
    inside: str = ""


Command = Ip | Sysctl | OpenTap | Write | Remove | Hold | Release | Run | Boot | Stop | Reload

FIRST_FD = 3

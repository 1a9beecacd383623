"""The commands of a plan as a shell script that anyone can read and run: `qlan plan --script`.

Words are quoted by shlex and texts stand in here-documents with a quoted end, so nothing in them is expanded; the
processes of namespaces are shell variables, known when the script runs.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence

from qlan.render.command import Boot, Command, Hold, Ip, OpenTap, Release, Reload, Remove, Run, Stop, Sysctl, Write
from qlan.render.layout import Layout
from qlan.render.namespace import enter
from qlan.resources.model import HOST

_PID = re.compile(r"@([^@]+)@")
_HEAD = (
    "set -eu",
    'pid_of() { read -r pid rest <"$1"; echo "$pid"; }',
    "# end SIGNAL RECORD [WORDS]: end a process and wait until it is gone; WORDS lead to where its id was counted",
    'end() { signal=$1 pid=$(pid_of "$2") left=200; shift 2; "$@" kill -"$signal" "$pid" || return 0',
    '        while [ $left -gt 0 ] && "$@" kill -0 "$pid" 2>/dev/null; do left=$((left - 1)); sleep 0.05; done; }',
)


def script(commands: Sequence[Command], layout: Layout, *, rootless: bool, plan: Sequence[str], python: str) -> str:
    """The whole script.  plan: its lines, for the head.  python: the interpreter that has qlan, for TAP descriptors."""
    writer = _Writer(rootless, python)
    for command in commands:
        writer.add(command)
    body = writer.finished()
    head = [
        "#!/bin/sh",
        f"# What `qlan up` does for lab {layout.lab}:",
        *(f"#   {line}" for line in plan),
        *_HEAD,
        *_found(commands, layout),
        "",
    ]
    return "\n".join([*head, *body]) + "\n"


def _found(commands: Sequence[Command], layout: Layout) -> list[str]:
    """The variables of namespaces that were there before."""
    made = {command.key for command in commands if isinstance(command, Hold)}
    named = {key for command in commands for key in _namespaces(command)}
    return [
        f"{_variable(key)}=$(pid_of {_quoted([str(layout.namespace(key.partition('/')[2]))])})"
        for key in sorted(named - made - {HOST})
    ]


def _namespaces(command: Command) -> list[str]:
    """The keys of the namespaces that a command is about."""
    if isinstance(command, Ip):
        return [command.namespace, *_PID.findall(command.line)]
    if isinstance(command, Run | Hold):
        return _PID.findall(" ".join(command.argv))
    if isinstance(command, Stop | Reload):
        return [command.inside]
    return [namespace for namespace, _ in command.taps] if isinstance(command, Boot) else []


class _Writer:
    """Collects lines; neighbouring `ip` lines of one namespace become one batch."""

    def __init__(self, rootless: bool, python: str) -> None:
        self._rootless = rootless
        self._python = python
        self._lines: list[str] = []
        self._batch: list[str] = []
        self._batch_of = HOST
        self._taps: dict[tuple[str, str], list[str]] = {}
        self._opened: tuple[str, str] | None = None

    def add(self, command: Command) -> None:
        """One command more."""
        if isinstance(command, OpenTap):
            self._opened = (command.namespace, command.name)
            self._taps[self._opened] = []
            return
        if isinstance(command, Ip):
            self._ip(command)
            return
        self._flush()
        self._lines += self._of(command)

    def finished(self) -> list[str]:
        """All lines."""
        self._flush()
        return self._lines

    def _ip(self, command: Ip) -> None:
        if self._opened and f"dev {self._opened[1]} " in command.line:
            self._taps[self._opened].append(command.line)
            return
        if command.namespace != self._batch_of:
            self._flush()
        self._batch_of = command.namespace
        self._batch.append(command.line)

    def _flush(self) -> None:
        if not self._batch:
            return
        self._lines += [f"{self._entered(self._batch_of)}ip -batch - <<END", *map(_filled, self._batch), "END", ""]
        self._batch = []

    def _of(self, command: Command) -> list[str]:
        if isinstance(command, Write):
            folder, path = _quoted([str(command.path.parent)]), _quoted([str(command.path)])
            return [f"mkdir -p {folder}", f"cat >{path} <<'END'", command.text.rstrip("\n"), "END", ""]
        if isinstance(command, Sysctl):
            inside = self._entered(command.namespace)
            return [f"{inside}sh -c 'echo {command.value} >/proc/sys/{command.path}'", ""]
        if isinstance(command, Remove):
            return [f"rm -rf {_quoted([str(command.path)])}", ""]
        if isinstance(command, Hold):
            return self._hold(command)
        if isinstance(command, Run):
            return [_quoted(command.argv), ""]
        if isinstance(command, Boot):
            return self._boot(command)
        if isinstance(command, Stop):
            words = ["TERM", str(command.record), *self._counting(command.inside)]
            return [f"# {command.what} ends", f"end {_quoted(words)}", ""]
        if isinstance(command, Release):
            return [f"# {command.key} goes, with all that runs there", f"end KILL {_quoted([str(command.record)])}", ""]
        if isinstance(command, Reload):
            kill = _quoted([*self._counting(command.inside), "kill", "-HUP"])
            return [
                f"# {command.what} reads its files again",
                f'{kill} "$(pid_of {_quoted([str(command.record)])})"',
                "",
            ]
        raise AssertionError(command)

    def _hold(self, command: Hold) -> list[str]:
        record = _quoted([str(command.record)])
        return [
            f"# {command.key}: a process that holds it open, and says on descriptor 3 when it is there",
            f"mkdir -p {_quoted([str(command.record.parent)])}",
            f"({_quoted(command.argv)} 3>&1 >/dev/null 2>{record}.log &) | head -n 1 >/dev/null",
            f"{_variable(command.key)}=$(pid_of {record})",
            "",
        ]

    def _boot(self, command: Boot) -> list[str]:
        words = [
            self._python,
            "-m",
            "qlan.host.handover",
            "--guest",
            command.guest,
            "--folder",
            str(command.record.parent),
        ]
        head = _quoted(words) + (" --rootless" if self._rootless else "")
        lines: list[str] = []
        for namespace, name in command.taps:
            pid = f"${{{_variable(namespace)}}}" if namespace else "0"
            head += f" --tap {pid}:{name}"
            lines += [f"{pid} {line}" for line in self._taps.pop((namespace, name), [])]
        if command.run_as is not None:
            head += f" --run-as {command.run_as}"
        for call in command.then:
            head += " --qmp " + shlex.quote(json.dumps({"execute": call.name, "arguments": dict(call.arguments)}))
        text = [f"{head} -- \\", f"  {_wrapped(command.argv)} <<END", *lines, "END"]
        return [f"# guest {command.guest}", *text, ""]

    def _counting(self, inside: str) -> tuple[str, ...]:
        """The words that lead to where a daemon's id was counted."""
        return enter(inside, rootless=self._rootless) if inside else ()

    def _entered(self, key: str) -> str:
        words = [word for word in enter(key, rootless=self._rootless) if word != "--pid"]
        return _quoted(words) + " " if words else ""


def _quoted(words: Sequence[str]) -> str:
    return " ".join(_filled(shlex.quote(word)) for word in words)


def _wrapped(argv: Sequence[str]) -> str:
    """A long command line, an option a line."""
    text = ""
    for word in argv:
        text += (" \\\n    " if word.startswith("-") and text else " " if text else "") + shlex.quote(word)
    return text


def _filled(text: str) -> str:
    return _PID.sub(lambda match: f"${{{_variable(match[1])}}}", text)


def _variable(key: str) -> str:
    return "pid_" + re.sub(r"[^a-z0-9]", "_", key.partition("/")[2])

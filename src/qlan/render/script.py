"""The commands of a plan as a shell script that anyone can read and run: `qlan plan --script`.

Words are quoted by shlex and texts stand in here-documents with a quoted end, so nothing in them is expanded; the
processes of namespaces are shell variables, known when the script runs.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence

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
from qlan.resources.model import HOST
from qlan.values import asdict

_PID = re.compile(r"@([^@]+)@")
_DEV = re.compile(r"\bdev (\S+)")
_HEAD = (
    "set -eu",
    'pid_of() { read -r pid rest <"$1"; echo "$pid"; }',
    "# end SIGNAL RECORD [WORDS]: end a process and wait until it is gone; WORDS lead to where its id was counted",
    'end() { [ -s "$2" ] || return 0; signal=$1 pid=$(pid_of "$2") left=200; shift 2',
    '        "$@" kill -"$signal" "$pid" || return 0',
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
        for key in sorted(named - made - {HOST, HERE})
    ]


def _namespaces(command: Command) -> list[str]:
    """The keys of the namespaces that a command is about."""
    if isinstance(command, Ip):
        return [command.namespace, *_PID.findall(command.line)]
    if isinstance(command, Nft | Save):
        return [command.namespace]
    if isinstance(command, Run | Hold):
        return _PID.findall(" ".join(command.argv))
    if isinstance(command, Publish):
        return [command.inside]
    if isinstance(command, Serve):
        return _PID.findall(" ".join(command.enter))
    if isinstance(command, Stop | Reload):
        return [command.inside]
    if isinstance(command, Qmp):
        return [one[0] for one in (command.tap, command.end) if one]
    return [namespace for namespace, _ in (*command.taps, *command.ends)] if isinstance(command, Boot) else []


def _run(command: Run | InTurn | Folder) -> list[str]:
    """As the user that it is for."""
    if isinstance(command, Folder):
        path = _quoted([str(command.path)])
        return [
            f"mkdir -p {path}",
            f"chmod 700 {path}",
            *([f"chown {command.owner} {path}"] if command.owner else []),
            "",
        ]
    uid = command.run_as if isinstance(command, Run) else None
    drop = [] if uid is None else ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    return [_quoted([*drop, *command.argv]), ""]


def _adoption(command: Adopt) -> list[str]:
    """It must be the same process still."""
    stat, record = f"/proc/{command.pid}/stat", _quoted([str(command.record)])
    return [
        f"mkdir -p {_quoted([str(command.own)])}",
        f"grep ' {command.start} ' {stat} >{record}",
        _quoted(["ln", "-sf", str(command.socket), str(command.monitor)]),
        "",
    ]


def _removal(command: Remove | Forget) -> list[str]:
    """Of a folder, or of lines: these in place, so that the file stays its owner's."""
    path = _quoted([str(command.path)])
    if isinstance(command, Remove):
        return [f"rm -rf {path}", ""]
    words = " ".join(f"-e ' {word} '" for word in command.words)
    return [f"kept=$(grep -vF {words} {path} || :)", f'[ ! -e {path} ] || echo "$kept" >{path}', ""]


class _Writer:
    """Collects lines; neighbouring `ip` lines of one namespace become one batch."""

    def __init__(self, rootless: bool, python: str) -> None:
        self._rootless = rootless
        self._python = python
        self._lines: list[str] = []
        self._batch: list[str] = []
        self._batch_of = (HOST, "ip")
        self._taps: dict[tuple[str, str], list[str]] = {}

    def add(self, command: Command) -> None:
        """One command more."""
        if isinstance(command, OpenTap):
            self._taps[command.namespace, command.name] = []
            return
        if isinstance(command, Ip):
            self._ip(command)
            return
        self._flush()
        if isinstance(command, Serve | Publish | Withdraw):
            self._lines += self._relay(command)
        elif isinstance(command, Nft | Save | Disconnect | Borrow | GiveBack):
            self._lines += self._packet(command)
        elif isinstance(command, Amend | Qmp):
            self._lines += self._change(command)
        else:
            self._lines += self._of(command)

    def finished(self) -> list[str]:
        """All lines."""
        self._flush()
        return self._lines

    def _ip(self, command: Ip) -> None:
        tap = _DEV.search(command.line)
        if tap and (command.namespace, tap[1]) in self._taps:
            self._taps[command.namespace, tap[1]].append(f"{command.program} {command.line}")
            return
        if (command.namespace, command.program) != self._batch_of:
            self._flush()
        self._batch_of = (command.namespace, command.program)
        self._batch.append(command.line)

    def _flush(self) -> None:
        if not self._batch:
            return
        namespace, program = self._batch_of
        self._lines += [f"{self._entered(namespace)}{program} -batch - <<END", *map(_filled, self._batch), "END", ""]
        self._batch = []

    def _of(self, command: Command) -> list[str]:
        if isinstance(command, Write):
            folder, path = _quoted([str(command.path.parent)]), _quoted([str(command.path)])
            made = [f"install -m 600 /dev/null {path}"] if command.private else []
            return [f"mkdir -p {folder}", *made, f"cat >{path} <<'END'", command.text.rstrip("\n"), "END", ""]
        if isinstance(command, Sysctl):
            inside = self._entered(command.namespace)
            return [f"{inside}sh -c 'echo {command.value} >/proc/sys/{command.path}'", ""]
        if isinstance(command, Remove | Forget):
            return _removal(command)
        if isinstance(command, Hold):
            return self._hold(command)
        if isinstance(command, Run | InTurn | Folder):
            return _run(command)
        if isinstance(command, Boot | Adopt):
            return self._boot(command) if isinstance(command, Boot) else _adoption(command)
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
        for name in command.macvtaps:
            head += f" --macvtap {name}"
        for namespace, end in command.ends:
            head += f" --end ${{{_variable(namespace)}}}:{end}"
        if command.vhosts:
            head += f" --vhosts {command.vhosts}"
        if command.run_as is not None:
            head += f" --run-as {command.run_as}"
        for call in command.then:
            head += " --qmp " + shlex.quote(json.dumps({"execute": call.name, "arguments": dict(call.arguments)}))
        text = [f"{head} -- \\", f"  {_wrapped(command.argv)} <<END", *lines, "END"]
        return [f"# guest {command.guest}", *text, ""]

    def _relay(self, command: Serve | Publish | Withdraw) -> list[str]:
        words = [self._python, "-m", "qlan.host.relay_script"]
        if isinstance(command, Serve):
            run_as = [] if command.run_as is None else ["--run-as", str(command.run_as)]
            line = _quoted([*words, "serve", *run_as, str(command.folder), "--", *command.enter])
            return ["# the relay for published ports", line, ""]
        if isinstance(command, Withdraw):
            return [_quoted([*words, "withdraw", str(command.folder), command.key]), ""]
        listen, target = ("/".join(map(str, end)) for end in (command.listen, command.target))
        place = [word for word in (f"--link={command.link}", f"--only={command.only}") if not word.endswith("=")]
        called = command.as_caller
        place += [f"--as-caller={called.link}/{','.join(called.but)}"] if called else []
        place += ["--is-open"] if command.is_open else []
        inside = f" --inside=${{{_variable(command.inside)}}}" if command.inside else ""
        line = _quoted([*words, "publish", *place, str(command.folder), command.key, command.protocol, listen, target,
                        command.note])  # fmt: skip
        return [line + inside, ""]

    def _change(self, command: Amend | Qmp) -> list[str]:
        """One change of a guest that runs."""
        head = _quoted([self._python, "-m", "qlan.host.change"]) + (" --rootless" if self._rootless else "")
        data = asdict(command)
        for what in ("tap", "macvtap", "end"):  # they come as words of their own
            data.pop(what, None)
        text = shlex.quote(json.dumps({type(command).__name__.lower(): data}, default=str))
        if isinstance(command, Amend) or command.tap is None:
            if isinstance(command, Qmp) and command.macvtap:
                head += f" --macvtap {command.macvtap}"
            if isinstance(command, Qmp) and command.end:
                head += f" --end ${{{_variable(command.end[0])}}}:{command.end[1]}"
            return [f"{head} {text}", ""]
        namespace, name = command.tap
        pid = f"${{{_variable(namespace)}}}" if namespace else "0"
        lines = [f"{pid} {line}" for line in self._taps.pop(command.tap, [])]
        return [f"{head} --tap {pid}:{name} {text} <<END", *lines, "END", ""]

    def _packet(self, command: Nft | Save | Disconnect | Borrow | GiveBack) -> list[str]:
        if isinstance(command, Nft):
            return [f"{self._entered(command.namespace)}nft -f - <<'END'", command.replacing.rstrip("\n"), "END", ""]
        if isinstance(command, Save):
            listing = f"{self._entered(command.namespace)}{_quoted(command.listing)}"
            return [f"{listing} >{_quoted([str(command.path)])}", ""]
        if isinstance(command, Disconnect):
            words = [self._python, "-m", "qlan.host.conntrack", command.protocol, command.guest]
            return [_quoted([*words, str(command.guest_port), command.host_address, str(command.host_port)]), ""]
        verb, value = ("borrow", [command.value]) if isinstance(command, Borrow) else ("give-back", [])
        words = [self._python, "-m", "qlan.host.packet", verb, command.link, command.path, str(command.book)]
        return [_quoted([*words, command.lab, *value]), ""]

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
    return _PID.sub(lambda match: "$$" if match[1] == HERE else f"${{{_variable(match[1])}}}", text)


def _variable(key: str) -> str:
    return "pid_" + re.sub(r"[^a-z0-9]", "_", key.partition("/")[2])

"""The real QEMUs that the language is compared with: the installed one, and newer or older ones if they are there.

`scripts/fetch_other_qemus.sh` unpacks others (of other Debian releases, a folder each) into ~/.cache/qlan-tests; they
run by their own loader, with their own libraries.  Every start is paused, without display, in a network namespace of
its own, so nothing of the host is touched and no port is taken.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from qlan import cmdline

CACHE = Path(os.environ.get("QLAN_TEST_CACHE", "~/.cache/qlan-tests")).expanduser()
PAUSED = (
    "-S",
    "-display",
    "none",
    "-monitor",
    "none",
    "-serial",
    "none",
    "-parallel",
    "none",
    "-vga",
    "none",
    "-m",
    "32",
)

# What the host lacks, not what the words say: QEMU understood them and went on to act.
HOST_SAYS = re.compile(
    "|".join(
        (
            r"[Cc]ould not open '?/dev/net/tun|could not configure /dev/net/tun|failed to launch bridge helper",
            r"bridge helper failed|Address already in use|Failed to connect",
            r"could not bind|can't bind|socket creation failed|Cannot assign requested address|can't resolve|smbd",
            r"address resolution failed|vhost-vdpa.*(No such file|open)|Could not open '/|could not resolve",
            r"Unable to connect character device|Network is unreachable|No such device|File descriptor named",
            r"Bad file descriptor|fcntl|can't get socket option|Operation not permitted|vhost_net|tap: open vhost",
            r"can't join|setsockopt|IP_ADD_MEMBERSHIP|Failed to execute child process",
            r"'vhost-vdpa' could not be initialized|Could not open vde|TUNGETIFF|/dev/fdset|not a valid char driver",
        )
    )
)


@dataclass(frozen=True)
class Verdict:
    """accepted: QEMU came up.  host: it did not, but only because of this machine.  said: its words."""

    accepted: bool
    host: bool
    said: str
    replies: tuple[dict[str, object], ...] = ()

    @property
    def understood(self) -> bool:
        return self.accepted or self.host


@dataclass(frozen=True)
class Program:
    """One real QEMU."""

    prefix: tuple[str, ...]
    version: str

    def start(self, words: list[str], *commands: str, machine: str = "pc,accel=tcg") -> Verdict:
        """Start it paused with these words, ask it the QMP commands, and end it."""
        asked = ["qmp_capabilities", *commands, "quit"]
        shell = [
            "unshare",
            *([] if os.geteuid() == 0 else ["-r"]),
            "-n",
            "sh",
            "-c",
            'ip link set lo up; exec "$@"',
            "sh",
        ]
        argv = [*shell, *self.prefix, *PAUSED, "-machine", machine, "-qmp", "stdio", *words]
        status, lines, stderr = _conversation(argv, [_command(word) for word in asked])
        replies = tuple(json.loads(line) for line in lines if line.startswith('{"'))
        accepted = status == 0 and bool(replies)
        said = stderr
        for word in (word for word in words if len(word) > 9):  # QEMU repeats them before its reason
            said = said.replace(word, "")
        return Verdict(accepted, not accepted and bool(HOST_SAYS.search(said)), stderr, replies)

    def ask(self, *words: str) -> str:
        """What it prints and complains; it must end by itself."""
        done = subprocess.run([*self.prefix, *words], capture_output=True, text=True, timeout=30, check=False, input="")
        return done.stdout + done.stderr

    @property
    def rules(self) -> cmdline.Rules:
        return cmdline.rules(self.version)


def _conversation(argv: list[str], asked: list[str]) -> tuple[int, list[str], str]:
    """Exit status, lines and complaints.  Each is asked when the one before was answered: QEMU that is told to quit
    drops what it has not written yet."""
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        watchdog = threading.Timer(30, process.kill)
        watchdog.start()
        assert process.stdin and process.stdout
        lines: list[str] = []
        for words in asked:
            try:
                process.stdin.write(words)
                process.stdin.flush()
            except BrokenPipeError:  # it has ended
                break
            for line in process.stdout:
                lines.append(line)
                if line.startswith(('{"return"', '{"error"')):
                    break
        lines += process.stdout.readlines()
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()
        watchdog.cancel()
        errors.seek(0)
        return process.returncode, lines, errors.read()


def _command(text: str) -> str:
    if text.startswith("{"):
        return text + "\n"
    name, _, human = text.partition(" ")
    if human:
        return json.dumps({"execute": name, "arguments": {"command-line": human}}) + "\n"
    return json.dumps({"execute": name}) + "\n"


def _programs() -> list[Program]:
    found = []
    others = [_unpacked(root) for root in sorted(CACHE.glob("[!.]*")) if (root / "usr/bin/qemu-system-x86_64").exists()]
    for prefix in [("qemu-system-x86_64",), *others]:
        found.append(_program(prefix))
    return found


def _program(prefix: tuple[str, ...]) -> Program:
    said = subprocess.run([*prefix, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    hit = re.search(r"version (\d+\.\d+)", said)
    assert hit, said
    return Program(prefix, hit[1])


def _unpacked(root: Path) -> tuple[str, ...]:
    """A QEMU that is not installed: it would look for libraries and firmware in the machine's folders."""
    loader = (str(root / "usr/lib64/ld-linux-x86-64.so.2"), "--library-path", str(root / "usr/lib/x86_64-linux-gnu"))
    firmware = (word for name in ("qemu", "seabios") for word in ("-L", str(root / "usr/share" / name)))
    return (*loader, str(root / "usr/bin/qemu-system-x86_64"), *firmware)


PROGRAMS = _programs()


@pytest.fixture(params=PROGRAMS, ids=[program.version for program in PROGRAMS], scope="session")
def program(request: pytest.FixtureRequest) -> Program:
    found = request.param
    assert isinstance(found, Program)
    return found


@pytest.fixture
def foreign() -> Callable[[str], Program]:
    """The installed QEMU of another processor."""

    def find(processor: str) -> Program:
        name = f"qemu-system-{processor}"
        if not shutil.which(name):
            pytest.skip(f"{name} is not here: scripts/setup --all installs it")
        return _program((name,))

    return find


@pytest.fixture(scope="session")
def programs() -> list[Program]:
    return PROGRAMS

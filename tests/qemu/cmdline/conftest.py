"""The real QEMUs that the language is compared with: the installed one, and newer or older ones if they are there.

`scripts/fetch_other_qemus.sh` puts others (Debian releases, each in a root of its own) into ~/.cache/qlan-tests; they
run by chroot.  Every start is paused, without display, in a network namespace of its own, so nothing of the host is
touched and no port is taken.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from qlan import cmdline

CACHE = Path(os.environ.get("QLAN_TEST_CACHE", "~/.cache/qlan-tests")).expanduser()
ROOTS = ("debian11", "debian13", "debian-sid")
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
        done = subprocess.run(
            [*shell, *self.prefix, *PAUSED, "-machine", machine, "-qmp", "stdio", *words],
            input="".join(_command(word) for word in asked),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        replies = tuple(json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"'))
        accepted = done.returncode == 0 and bool(replies)
        said = done.stderr
        for word in (word for word in words if len(word) > 9):  # QEMU repeats them before its reason
            said = said.replace(word, "")
        return Verdict(accepted, not accepted and bool(HOST_SAYS.search(said)), done.stderr, replies)

    def ask(self, *words: str) -> str:
        """What it prints and complains; it must end by itself."""
        done = subprocess.run([*self.prefix, *words], capture_output=True, text=True, timeout=30, check=False, input="")
        return done.stdout + done.stderr

    @property
    def rules(self) -> cmdline.Rules:
        return cmdline.rules(self.version)


def _command(text: str) -> str:
    if text.startswith("{"):
        return text + "\n"
    name, _, human = text.partition(" ")
    if human:
        return json.dumps({"execute": name, "arguments": {"command-line": human}}) + "\n"
    return json.dumps({"execute": name}) + "\n"


def _programs() -> list[Program]:
    found = []
    candidates = [((shutil.which("qemu-system-x86_64") or "qemu-system-x86_64",))]
    if os.geteuid() == 0:
        candidates += [
            ("chroot", str(CACHE / root), "/usr/bin/qemu-system-x86_64")
            for root in ROOTS
            if (CACHE / root / "usr/bin/qemu-system-x86_64").exists()
        ]
    for prefix in candidates:
        said = subprocess.run([*prefix, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
        hit = re.search(r"version (\d+\.\d+)", said)
        assert hit, said
        found.append(Program(tuple(prefix), hit[1]))
    return found


PROGRAMS = _programs()


@pytest.fixture(params=PROGRAMS, ids=[program.version for program in PROGRAMS], scope="session")
def program(request: pytest.FixtureRequest) -> Program:
    found = request.param
    assert isinstance(found, Program)
    return found


@pytest.fixture(scope="session")
def programs() -> list[Program]:
    return PROGRAMS

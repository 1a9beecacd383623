"""A machine with a way outside, and what is outside: two network namespaces of the test's own, joined by a cable.

Made without root too: then both are in a user namespace, and qlan runs in one below it as the ordinary user that it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from .place import IS_ROOT, Place

HERE, THERE, BEYOND = "198.51.100.2", "198.51.100.1", "203.0.113.7"  # TEST-NET-2 and -3, RFC 5737
HERE6, THERE6, BEYOND6 = "2001:db8:51::2", "2001:db8:51::1", "2001:db8:203::7"  # RFC 3849
UPLINK = "up0"
_UP_ON_AN_OLD_KERNEL = """
import sys
from qlan.values import replace
from pathlib import Path
from qlan.lab import Lab
lab = Lab.load(Path(sys.argv[1]))
lab.facts = replace(lab.facts, force_forwarding=False)
lab.up()
"""
_HOLD = "ip link set lo up; echo; exec sleep infinity"


@dataclass
class World:
    """machine: where qlan runs.  here, outside: the words that run a command there as who may configure it."""

    machine: Place
    here: tuple[str, ...]
    outside: tuple[str, ...]

    def on_machine(self, *argv: str) -> str:
        return run(*self.here, *argv)

    def at_outside(self, *argv: str) -> str:
        return run(*self.outside, *argv)


def up(place: Place, lab: Path, *, old_kernel: bool) -> None:
    """The lab up; old_kernel: as where IPv6 of single links cannot be forwarded (before Linux 6.17)."""
    if old_kernel:
        place.run(sys.executable, "-c", _UP_ON_AN_OLD_KERNEL, str(lab))
    else:
        place.qlan("up", "--no-wait")


@contextlib.contextmanager
def world(place: Place) -> Iterator[World]:
    """place: its run folders are used, and its namespace is replaced."""
    own = [] if IS_ROOT else ["--user", "--map-root-user"]
    with _held(["unshare", *own, "--net", "sh", "-c", _HOLD]) as here_pid:
        user = () if IS_ROOT else ("--user", "--preserve-credentials")
        here = ("nsenter", f"--target={here_pid}", *user, "--net")
        with _held([*here, "unshare", "--net", "sh", "-c", _HOLD]) as there_pid:
            there = ("nsenter", f"--target={there_pid}", *user, "--net")
            run(*here, "ip", "link", "add", UPLINK, "type", "veth", "peer", "name", "lan0", "netns", str(there_pid))
            for words in (
                f"addr add {HERE}/24 dev {UPLINK}",
                f"link set {UPLINK} addrgenmode none up",
                f"route add default via {THERE}",
                f"addr add fe80::2/64 dev {UPLINK} nodad",
                f"addr add {HERE6}/64 dev {UPLINK} nodad",
                f"route add default via {THERE6}",
            ):
                run(*here, "ip", *words.split())
            for words in (
                f"addr add {THERE}/24 dev lan0",
                f"addr add {BEYOND}/32 dev lo",
                "link set lan0 up",
                f"addr add {THERE6}/64 dev lan0 nodad",
                f"addr add {BEYOND6}/128 dev lo",
            ):
                run(*there, "ip", *words.split())
            run(*here, "sysctl", "-q", "-w", "net.ipv4.ping_group_range=0 0")  # of the user's, without root
            _wait_for_carrier(here)
            with _below(here) as below:
                yield World(replace(place, enter=(*here, *below)), here, there)


def _wait_for_carrier(here: tuple[str, ...]) -> None:
    """The kernel tells it a moment after both ends are up; a test that compares must not see it come."""
    deadline = time.monotonic() + 10
    while json.loads(run(*here, "ip", "-j", "link", "show", "dev", UPLINK))[0]["operstate"] != "UP":
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextlib.contextmanager
def _below(here: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The words that lead on into the namespace where the user is nobody special again; root needs none."""
    if IS_ROOT:
        yield ()
        return
    words = ["unshare", "--user", f"--map-user={os.getuid()}", f"--map-group={os.getgid()}"]
    with _held([*here, *words, "sh", "-c", "echo; exec sleep infinity"]) as pid:
        yield ("nsenter", f"--target={pid}", "--user", "--preserve-credentials")


@contextlib.contextmanager
def _held(argv: list[str]) -> Iterator[int]:
    holder = subprocess.Popen(argv, stdout=subprocess.PIPE)
    try:
        assert holder.stdout and holder.stdout.read(1)
        yield holder.pid
    finally:
        holder.kill()
        holder.wait()


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout

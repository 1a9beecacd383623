"""A place where a test may make kernel objects, and what is in it, seen with foreign eyes.

An ordinary user's labs make their own namespaces: the place is the machine, and it must not change.  Root's labs are
made in a network namespace that only the test has.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_PLAN = """
import sys, pathlib
from qlan.lab import Lab
from qlan.planning import text
for line in text.lines(Lab.load(pathlib.Path(sys.argv[1])).plan()):
    print(line)
"""

IS_ROOT = os.geteuid() == 0
REALM = "host" if IS_ROOT else "rootless"


@dataclass
class Place:
    """enter: words that run a command there.  run_dir, state_dir: qlan's folders for this test alone."""

    enter: tuple[str, ...]
    run_dir: Path
    state_dir: Path
    folder: Path

    @property
    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "QLAN_RUN_DIR": str(self.run_dir), "QLAN_STATE_DIR": str(self.state_dir)}

    def run(self, *argv: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self.enter, *argv],
            env=self.environment,
            text=True,
            capture_output=True,
            timeout=timeout,
            check=False,
            cwd=self.folder,
        )
        if check and done.returncode:
            raise AssertionError(f"{argv}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def qlan(self, *words: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "qlan", *words, check=check, timeout=timeout)

    def plan(self, file: Path) -> list[str]:
        """What `up` would do now, a line a step."""
        return self.run(sys.executable, "-c", _PLAN, str(file)).stdout.splitlines()

    def snapshot(self) -> dict[str, object]:
        """Links, addresses, routes, rules, nft, bridge ports, our processes, our files."""
        return {
            "link": self._ip("-d", "link"),
            "address": self._ip("address"),
            "route": self._ip("route", "show", "table", "all"),
            "rule": self._ip("rule"),
            "bridge": self._json("bridge", "-j", "link"),
            "nft": self._json("nft", "-j", "list", "ruleset") if IS_ROOT else None,
            "processes": sorted(words for _, words in self.processes()),
            "files": sorted(str(path) for path in self.run_dir.rglob("*")) if self.run_dir.exists() else [],
        }

    def processes(self) -> list[tuple[int, str]]:
        """All processes whose command line names this test's folder, zombies aside."""
        found = []
        for entry in os.scandir("/proc"):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{entry.name}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if entry.name.isdigit() and str(self.run_dir) in words:
                    found.append((int(entry.name), words))
        return found

    def in_lab(self, *argv: str, lab: str = "demo") -> subprocess.CompletedProcess[str]:
        """A command where the lab's links are."""
        return self.run(*argv) if IS_ROOT else self.qlan("exec", "-l", lab, "--", *argv)

    def links(self, lab: str = "demo") -> list[str]:
        """The names of all links there."""
        return [row["ifname"] for row in json.loads(self.in_lab("ip", "-j", "link", lab=lab).stdout) if row]

    def _ip(self, *words: str) -> object:
        return [_steady(row) for row in self._json("ip", "-j", *words)]

    def _json(self, *argv: str) -> list[dict[str, object]]:
        text = self.run(*argv).stdout
        rows = json.loads(text or "[]")
        return rows if isinstance(rows, list) else [rows]


def _steady(row: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in row.items() if key not in ("stats", "stats64", "num_tx_queues")}


@contextlib.contextmanager
def throw_away(folder: Path) -> Iterator[Place]:
    """A place for one test; whatever is left in it is ended at the end."""
    short = folder / "r"  # sockets' paths are limited to 107 bytes
    place = Place((), short, folder / "s", folder)
    holder = None
    if IS_ROOT:
        holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up; echo; exec sleep infinity"], stdout=subprocess.PIPE
        )
        assert holder.stdout and holder.stdout.read(1)
        place.enter = ("nsenter", f"--target={holder.pid}", "--net")
    try:
        yield place
    finally:
        left = place.processes()
        for pid, _ in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if holder:
            holder.kill()
            holder.wait()

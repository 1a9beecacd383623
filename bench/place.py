"""Where a lab is measured: as an ordinary user (rootless), or as root on the machine's network (host).

Root's benchmarks run in namespaces that `scripts/bench` made; no link and no process outlives them.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.measure import Failed, took_s

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Place:
    """enter: words that run what follows as the right user.  folder: the lab's file, and qlan's own, are in it."""

    realm: str
    enter: tuple[str, ...]
    folder: Path
    run_as: str

    def qlan(self, *words: str) -> float:
        """How long `qlan WORDS` takes, in seconds."""
        return took_s(self.words(*words), self.environment, str(self.folder))

    def words(self, *words: str) -> list[str]:
        """`qlan WORDS` as it is installed: by its console script."""
        script = Path(sys.executable).parent / "qlan"
        return [*self.enter, *([str(script)] if script.exists() else [sys.executable, "-m", "qlan"]), *words]

    def own(self, *argv: str) -> float:
        """How long another program takes, run as the same user."""
        return took_s([*self.enter, *argv], self.environment, str(self.folder))

    @property
    def environment(self) -> dict[str, str]:
        own = {"QLAN_RUN_DIR": str(self.folder / "r"), "QLAN_STATE_DIR": str(self.folder / "s"), "LC_ALL": "C"}
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), **own}

    def below(self, name: str) -> Place:
        """The same in a folder of its own: for a lab that stays up beside others."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        owner = self.folder.stat()
        os.chown(folder, owner.st_uid, owner.st_gid)
        return replace(self, folder=folder)

    def write(self, lab: str) -> None:
        """The lab's file; it says who runs QEMU where root calls."""
        user = f"user: {self.run_as}\n" if self.realm == "host" else ""
        (self.folder / "qlan.yaml").write_text(user + lab)

    def status(self) -> Json:
        """`qlan status --json` of the one lab."""
        words = self.words("status", "--json")
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=self.environment, cwd=self.folder)
        if done.returncode:
            raise Failed(f"status: {done.stderr}")
        found: Json = json.loads(done.stdout)["labs"][0]
        return found

    def must_be_up(self, nics: int) -> None:
        """Failed unless all guests run with that many NICs and nothing drifted."""
        status = self.status()
        guests = status["guests"]
        assert isinstance(guests, list)
        count = sum(len(guest["nics"]) for guest in guests if guest["state"] != "stopped")
        if count != nics or status.get("drift"):
            raise Failed(f"{count} NICs of {nics}, drift {status.get('drift')}")


@contextmanager
def places() -> Iterator[tuple[dict[str, Place], dict[str, str]]]:
    """The places that can be had here by realm, and for the others why not."""
    with tempfile.TemporaryDirectory(prefix="qb") as scratch:
        Path(scratch).chmod(0o755)
        found: dict[str, Place] = {}
        missing: dict[str, str] = {}
        user = ordinary_user()
        if user is None:
            missing["rootless"] = "needs an ordinary user: QLAN_TEST_USER names one"
        else:
            found["rootless"] = Place("rootless", _become(user), _folder(scratch, "u", user), user)
        if os.geteuid():
            missing["host"] = "needs root"
        else:
            found["host"] = Place("host", (), _folder(scratch, "h", "root"), user or "nobody")
        try:
            yield found, missing
        finally:
            for place in found.values():
                subprocess.run(
                    place.words("down", "--force"), env=place.environment, cwd=place.folder, capture_output=True,
                    check=False,
                )  # fmt: skip


def ordinary_user() -> str | None:
    """Who runs rootless labs: the caller, or for root the one who called sudo or is named."""
    if os.geteuid():
        return pwd.getpwuid(os.geteuid()).pw_name
    return os.environ.get("QLAN_TEST_USER") or os.environ.get("SUDO_USER")


def _become(user: str) -> tuple[str, ...]:
    if os.geteuid():
        return ()
    entry = pwd.getpwnam(user)
    return ("setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups")


def _folder(scratch: str, name: str, user: str) -> Path:
    folder = Path(scratch) / name
    folder.mkdir()
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    return folder

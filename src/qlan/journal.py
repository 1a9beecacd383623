"""One lab's memory on disk: who works on it now (lock), what was wanted last (record), what is being done (journal).

The journal is written before a step runs and emptied when the plan is done.  It is not replayed: after a crash the host
is read again, and the journal only helps to recognise what was half made.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qlan.errors import ConflictError
from qlan.host import files
from qlan.realm import Realm
from qlan.render.layout import Layout
from qlan.resources import codec
from qlan.resources.model import Resource, Resources

if TYPE_CHECKING:
    from qlan.topology.model import Picks

_POLL_S = 0.05  # flock(2) has no time limit of its own


@dataclass(frozen=True, slots=True)
class Record:
    """What was wanted last.  digest: of the file's text, to see whether it was edited since."""

    lab: str
    realm: Realm
    source: Path | None
    digest: str
    wanted: Resources = field(default_factory=dict)


@contextmanager
def locked(path: Path, *, wait_s: float, what: str) -> Iterator[None]:
    """Hold a lock file; ConflictError names its holder when it is not free within wait_s.

    The file may be removed by who holds it: one who waited for a file that is gone waits anew.
    """
    deadline = time.monotonic() + wait_s
    files.make_folder(path.parent)
    try:
        fd = _open_lock(path)
        while not (_take(fd) and _is_same(fd, path)):
            if time.monotonic() >= deadline:
                raise _locked_by(fd, path, what)
            os.close(fd)
            time.sleep(_POLL_S)
            fd = _open_lock(path)
    except OSError as error:
        raise files.explained(error, path) from error
    try:
        _sign(fd)
        yield
    finally:
        os.close(fd)


def _open_lock(path: Path) -> int:
    files.make_folder(path.parent)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _take(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_same(fd: int, path: Path) -> bool:
    try:
        return os.fstat(fd).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _locked_by(fd: int, path: Path, what: str) -> ConflictError:
    who = os.pread(fd, 200, 0).decode(errors="replace").strip() or "another process"
    os.close(fd)
    return ConflictError(
        f"{what} is being changed by {who}",
        where=str(path),
        hint="wait for it, or give more time with --lock-wait SECONDS",
    )


def _sign(fd: int) -> None:
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"process {os.getpid()}\n".encode(), 0)
    except OSError:
        return  # a full disk: the lock holds all the same, only its holder's name is missing


def read_record(layout: Layout) -> Record | None:
    """What was wanted last, or None if the lab is not up or the record is no longer readable (a damaged file; another
    version of qlan wrote it): what is there is found without it.
    """
    data = files.read_json(layout.record)
    try:
        source = Path(data["source"]) if data["source"] else None
        wanted = {one.key: one for one in map(codec.decode, data["wanted"])}
        return Record(data["lab"], Realm(data["realm"]), source, data["digest"], wanted)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def write_record(layout: Layout, record: Record) -> None:
    """Remember what is wanted from now on."""
    files.write(layout.record, record_text(record))


def record_text(record: Record) -> str:
    """The text of the record's file."""
    data = {
        "lab": record.lab,
        "realm": record.realm.value,
        "source": str(record.source) if record.source else None,
        "digest": record.digest,
        "wanted": [codec.encode(one) for one in record.wanted.values()],
    }
    return json.dumps(data)


def intend(layout: Layout, resources: Sequence[Resource]) -> None:
    """Write down what the next steps will make, before they run."""
    line = json.dumps([codec.encode(one) for one in resources]) + "\n"
    try:
        files.make_folder(layout.run)
        with layout.journal.open("a", encoding="utf-8") as journal:
            journal.write(line)
    except OSError as error:
        raise files.explained(error, layout.journal) from error


def settle(layout: Layout) -> None:
    """The plan is done: nothing is half made any more."""
    files.remove(layout.journal)


def read_intents(layout: Layout) -> list[Resource]:
    """What was being made when the last command ended without settling.  A line that was cut off is left out."""
    try:
        lines = layout.journal.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise files.explained(error, layout.journal) from error
    found: list[Resource] = []
    for line in lines:
        try:
            found += [codec.decode(one) for one in json.loads(line)]
        except (ValueError, KeyError, TypeError):
            continue
    return found


def read_picks(layout: Layout) -> Picks:
    """What was picked for the lab so far."""
    return _picks(files.read_json(layout.picks))


def write_picks(layout: Layout, picks: Picks) -> None:
    """Remember what was picked."""
    data = {
        "subnets": {name: str(subnet) for name, subnet in picks.subnets.items()},
        "addresses": {name: str(address) for name, address in picks.addresses.items()},
        "ports": dict(picks.ports),
    }
    files.write(layout.picks, json.dumps(data, indent=1) + "\n")


def other_picks(layout: Layout) -> Mapping[str, Picks]:
    """The picks of this user's other labs, by lab."""
    try:
        folders = [entry for entry in layout.state_root.iterdir() if entry.name != layout.lab]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise files.explained(error, layout.state_root) from error
    return {folder.name: _picks(files.read_json(folder / "picks.json")) for folder in folders}


def labs(layout: Layout) -> list[str]:
    """The names of all labs of this user that have something there, or may have."""
    try:
        return sorted(
            entry.name for entry in layout.run_root.iterdir() if entry.is_dir() and (entry / "lab.json").exists()
        )
    except (FileNotFoundError, NotADirectoryError):
        return []


def find_lab(layout: Layout, source: Path) -> str | None:
    """The lab of this user that is up from a file."""
    for name in labs(layout):
        data = files.read_json(layout.run_root / name / "lab.json")
        if isinstance(data, dict) and data.get("source") == str(source):
            return name
    return None


def _picks(data: Any) -> Picks:
    from qlan.topology.model import Picks

    try:
        return Picks(
            {name: IPv4Network(subnet) for name, subnet in data["subnets"].items()},
            {name: IPv4Address(address) for name, address in data["addresses"].items()},
            {name: int(port) for name, port in data["ports"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Picks({}, {}, {})  # none yet, or damaged: it is picked anew

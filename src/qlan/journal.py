"""One lab's memory on disk: who works on it now (lock), what was wanted last (record), what is being done (journal).

The journal is written before a step runs and emptied when the plan is done.  It is not replayed: after a crash the host
is read again, and the journal only helps to recognise what was half made.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Raw
from msgspec.json import decode as parse_json

from qlan import names
from qlan.errors import ConflictError, HostError
from qlan.host import files
from qlan.host.run import outdate
from qlan.realm import Realm
from qlan.render.layout import Layout
from qlan.resources import codec
from qlan.resources.model import Forwarding, Ifb, Outlet, Partition, PortMap, Relay, Resource, Resources, Shaping
from qlan.values import Partly, Struct, Value, asdict, field, replace

if TYPE_CHECKING:
    from qlan.topology.bends import Bends
    from qlan.topology.changes import Change
    from qlan.topology.model import Picks

_POLL_S = 0.05  # flock(2) has no time limit of its own
_BY_THEMSELVES = (Shaping, Ifb, Partition, PortMap, Forwarding, Relay, Outlet)  # with bends and ports


class Record(Value):
    """What was wanted last.  digest: of the file's text, to see whether it was edited since.  unsaved: what is wanted
    beside the file, as `+ KEY`, `- KEY`, and `~ KEY` for another than the file's.  changes: NICs changed by hand,
    likewise.  bends: what stays until it is taken back, whatever the file says.  bases: of guests that were changed by
    hand, digests of what the file said then.  of_file: what the file has where `unsaved` says `-` or `~`.
    """

    lab: str
    realm: Realm
    source: Path | None
    digest: str
    wanted: Resources = field(default_factory=dict)
    unsaved: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    bends: Bends | None = None
    bases: dict[str, str] = field(default_factory=dict)
    of_file: Resources = field(default_factory=dict)


class _Head(Struct):
    """What of a record tells whose it is."""

    source: str | None = None


class _Written(Struct):
    """A record as its file has it; the resources are pieces of JSON yet."""

    lab: str
    realm: str
    source: str | None
    digest: str
    wanted: list[Raw]
    unsaved: tuple[str, ...] = ()
    changes: list[dict[str, Any]] = field(default_factory=list)
    bends: dict[str, Any] | None = None
    bases: dict[str, str] = field(default_factory=dict)
    of_file: list[Raw] = field(default_factory=list)


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
            outdate()  # who holds it changes something
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


def is_held(path: Path) -> bool:
    """Whether somebody holds a lock file just now."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def digest(path: Path) -> str:
    """Of a file's text; "" if it cannot be read."""
    try:
        return names.digest_of(path.read_bytes(), size=32).hex()
    except OSError:
        return ""


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


_read: dict[Path, tuple[tuple[int, int, int], Record | None]] = {}  # the last one read, with its file's identity


def read_record(layout: Layout) -> Record | None:
    """What was wanted last, or None if the lab is not up or the record is no longer readable (a damaged file; another
    version of qlan wrote it): what is there is found without it.

    The record of a big lab takes a while to read, and a verb asks for it at every turn: the same file is read once.
    """
    try:
        status = layout.record.stat()
    except OSError:
        return _record_in(layout)
    identity = (status.st_ino, status.st_mtime_ns, status.st_size)
    known = _read.get(layout.record)
    if known is None or known[0] != identity:
        known = (identity, _record_in(layout))
        _read.clear()
        _read[layout.record] = known
    return known[1]


def _record_in(layout: Layout) -> Record | None:
    said = files.read_json(layout.record, _Written)
    if said is None:
        return None
    try:
        source = Path(said.source) if said.source else None
        wanted, of_file = ({one.key: one for one in map(codec.read, map(bytes, part))}
                           for part in (said.wanted, said.of_file))  # fmt: skip
        by_hand = (said.unsaved, _changes(said.changes), _bends(said.bends), said.bases, of_file)
        return Record(said.lab, Realm(said.realm), source, said.digest, wanted, *by_hand)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def unsaved(before: Record, wanted: Mapping[str, Resource]) -> tuple[tuple[str, ...], Resources]:
    """What differs from the file when this is wanted instead of what was before, and what the file has of it.

    What goes back cancels out.  Bends are none of it, nor what they are made of; and what ports bring along is not
    worth a word.
    """
    signs, of_file = {line[2:]: line[0] for line in before.unsaved}, dict(before.of_file)
    old, new = (
        {key for key, one in found.items() if not isinstance(one, _BY_THEMSELVES)} for found in (before.wanted, wanted)
    )
    for key in sorted(new - old):
        signs[key] = "~" if key in signs else "+"
        if wanted[key] == of_file.get(key):
            del signs[key]
    for key in sorted(old - new):
        if signs.get(key) == "+":
            del signs[key]
        else:
            of_file.setdefault(key, before.wanted[key])
            signs[key] = "-"
    lines = tuple(f"{sign} {key}" for key, sign in signs.items())
    return lines, {key: one for key, one in of_file.items() if signs.get(key) in ("-", "~")}


def _changes(said: Sequence[dict[str, Any]]) -> tuple[Change, ...]:
    if not said:
        return ()
    from qlan.topology.changes import Change

    return tuple(Change(**one | ({"found": codec.decode_part(one["found"])} if one.get("found") else {}))
                 for one in said)  # fmt: skip


def _bends(said: dict[str, Any] | None) -> Bends | None:
    if not said:
        return None
    from qlan.topology.bends import Bends, Impairment

    return Bends(tuple(Impairment(**one) for one in said["impairments"]), tuple(map(tuple, said["sides"])))


def is_edited(layout: Layout, record: Record | None) -> bool:
    """Whether the file has another text than at the last `up`; it is read only if it was touched since."""
    if record is None or record.source is None or not record.digest:
        return False
    with suppress(OSError):
        if record.source.stat().st_ctime < layout.record.stat().st_mtime:
            return False
    return digest(record.source) != record.digest


def write_record(layout: Layout, record: Record) -> None:
    """Remember what is wanted from now on.  One that says so already is left: a big lab's takes a while to write."""
    before = read_record(layout)
    if before is not None and _say_the_same(before, record):
        return
    files.write(layout.record, record_text(record))
    _read.clear()


def _say_the_same(one: Record, other: Record) -> bool:
    if one != other or list(one.wanted) != list(other.wanted):  # guests are shown in this order
        return False
    pairs = zip(one.wanted.values(), other.wanted.values(), strict=True)
    return all(a.is_same(b) for a, b in pairs if isinstance(a, Partly) and isinstance(b, Partly))


def record_text(record: Record) -> str:
    """The text of the record's file."""
    data = {
        "lab": record.lab,
        "realm": record.realm.value,
        "source": str(record.source) if record.source else None,
        "digest": record.digest,
        "unsaved": record.unsaved,
        "wanted": list(record.wanted.values()),
        "changes": [asdict(replace(one, found=None)) | {"found": one.found} for one in record.changes],
        "bends": asdict(record.bends) if record.bends else None,
        "bases": record.bases,
        "of_file": list(record.of_file.values()),
    }
    return codec.encode(data)


def intend(layout: Layout, resources: Sequence[Resource]) -> None:
    """Write down what the next steps will make, before they run."""
    line = codec.encode(resources) + "\n"
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
            found += [codec.read(bytes(piece)) for piece in parse_json(line, type=list[Raw])]
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
        "prefixes": {name: str(prefix) for name, prefix in picks.prefixes.items()},
    }
    files.write(layout.picks, codec.laid_out(data))


def put_back_picks(layout: Layout, text: str) -> None:
    """As the file was before a change that came to nothing; text: "": there was none, and what was picked may stay."""
    if text and text != files.read_text(layout.picks):
        files.write(layout.picks, text)


@contextmanager
def picking(layout: Layout, *, wait_s: float) -> Iterator[None]:
    """Nobody else picks for any lab of this user meanwhile."""
    with locked(layout.state_root / ".lock", wait_s=wait_s, what="the list of picks"):
        yield


def forget_picks(layout: Layout, *, wait_s: float) -> None:
    """As if nothing had ever been picked for the lab; with the last lab's picks the folder of them all goes."""
    if not layout.state_root.exists():
        return
    with picking(layout, wait_s=wait_s):
        files.remove(layout.picks.parent)
        if [entry.name for entry in layout.state_root.iterdir()] == [".lock"]:
            files.remove(layout.state_root / ".lock")
            with suppress(OSError):  # somebody came in between and made it anew
                layout.state_root.rmdir()


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
        return sorted(entry.name for entry in layout.run_root.iterdir() if _is_labs(entry))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_labs(folder: Path) -> bool:
    """Whether it is a lab's folder; one that is closed to us counts: who asks for this lab is told so."""
    try:
        return folder.is_dir() and (folder / "lab.json").exists()
    except PermissionError:
        return True


def find_lab(layout: Layout, source: Path) -> str | None:
    """The lab of this user that is up from a file."""
    for name in labs(layout):
        with suppress(HostError):  # that lab's own verbs tell why it cannot be read
            head = files.read_json(layout.run_root / name / "lab.json", _Head)
            if head and head.source == str(source):
                return name
    return None


def check_same(layout: Layout, before: Record | None, name: str, realm: Realm, source: Path | None) -> None:
    """ConflictError: a lab of this name is up from another file or in the other realm, or this file's has another name.

    before: what is up by this name.
    """
    other = find_lab(layout, source) if source and not before else None
    if other and other != name:
        raise ConflictError(
            f"this file's lab is up already, under the name it had: `{other}`",
            where=str(source),
            hint=f"take that one down first: qlan down -l {other}",
        )
    if before and before.source and source and before.source != source:
        raise ConflictError(
            f"a lab named `{name}` is up already, from {before.source}",
            hint=f"write another `lab:` name, or take that one down: qlan down -f {before.source}",
        )
    if before and before.realm is not realm:
        raise ConflictError(
            f"lab `{name}` is up in the {before.realm} realm", hint="`qlan down` first, then up in the other"
        )


def _picks(data: Any) -> Picks:
    from qlan.topology.model import Picks

    try:
        return Picks(
            {name: IPv4Network(subnet) for name, subnet in data["subnets"].items()},
            {name: IPv4Address(address) for name, address in data["addresses"].items()},
            {name: int(port) for name, port in data["ports"].items()},
            {name: IPv6Network(prefix) for name, prefix in data.get("prefixes", {}).items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Picks({}, {}, {})  # none yet, or damaged: it is picked anew

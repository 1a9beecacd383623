"""Files of ours: written whole or not at all, removed with their folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, NoReturn

from msgspec.json import decode as parse_json

from qlan.errors import HostError


def write(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace a file in one step; its folder is made.  HostError when there is no room or no right."""
    try:
        _make_folder(path.parent)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.chmod(mode)
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        raise explained(error, path) from error


def make_folder(path: Path, *, private_to: int | None = None) -> None:
    """A folder that others can look into but not change (a dnsmasq without root must read its files), whatever the
    umask says.  private_to: a user to whom it belongs, and nobody else looks into it.  HostError.
    """
    try:
        _make_folder(path)
        if private_to is not None:
            os.chown(path, private_to, -1)
            path.chmod(0o700)
    except OSError as error:
        raise explained(error, path) from error


def _make_folder(path: Path) -> None:
    if path.is_dir():
        return
    _make_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o755)
        path.chmod(0o755)


def read_json(path: Path, kind: Any = Any) -> Any:
    """The data in a file of ours, or None if there is no such file or it was cut off.

    kind: a Struct with what is wanted of it; the rest is not made.
    """
    try:
        return parse_json(path.read_bytes(), type=kind)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise explained(error, path) from error


def read_text(path: Path) -> str:
    """What is in a file, or "" if there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise explained(error, path) from error


def entries(path: Path) -> list[Path]:
    """What is in a folder; nothing if there is no such folder."""
    try:
        return list(path.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise explained(error, path) from error


def remove(path: Path) -> None:
    """Remove a folder or a file of ours; gone already is fine."""
    try:
        if path.is_dir() and not path.is_symlink():
            _remove_folder(path)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return
    except OSError as error:
        raise explained(error, path) from error


def _remove_folder(path: Path) -> None:
    """As shutil.rmtree does it, which takes all compression modules along: 4 ms of every `qlan down`."""

    def fail(error: OSError) -> NoReturn:
        raise error

    for _, folders, others, fd in os.fwalk(path, topdown=False, onerror=fail):
        for name in others:
            os.unlink(name, dir_fd=fd)
        for name in folders:
            try:
                os.rmdir(name, dir_fd=fd)
            except NotADirectoryError:  # a link to a folder
                os.unlink(name, dir_fd=fd)
    path.rmdir()


def explained(error: OSError, path: Path) -> HostError:
    """An error of the file system in our words."""
    place = error.filename or path
    hint = f"who may go there: namei -l {place}" if isinstance(error, PermissionError) else ""
    return HostError(f"{error.strerror or error}", where=str(place), hint=hint)


def drop_lines(path: Path, words: Collection[str]) -> None:
    """Take the lines that have one of the words out of a file, in place: its owner stays.  No such file is fine."""
    try:
        with path.open("r+", encoding="utf-8", errors="surrogateescape") as file:
            kept = [line for line in file if not set(line.split()) & set(words)]
            file.seek(0)
            file.writelines(kept)
            file.truncate()
    except FileNotFoundError:
        return
    except OSError as error:
        raise explained(error, path) from error

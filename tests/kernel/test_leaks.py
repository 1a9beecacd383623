"""What runs on in the background holds nothing that belongs to who called qlan."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from .place import Place


@pytest.mark.usefixtures("lab")
def test_no_descriptor_of_the_caller_lives_on_in_the_background(place: Place) -> None:
    lock = place.folder / "lock"
    words = f'exec 3>"{lock}" 9>"{lock}" && {sys.executable} -m qlan up --no-wait'
    place.run("sh", "-c", words)
    held = [(words, fd) for pid, words in place.processes() for fd in open_files(pid) if fd == str(lock)]
    place.qlan("down", "--force")
    assert held == []


def open_files(pid: int) -> list[str]:
    return [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd") if Path(entry.path).is_symlink()]

"""Files of ours, and folders that go with all that is in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qlan.errors import HostError
from qlan.host import files


def test_a_folder_goes_with_all_that_is_in_it_and_nothing_beside_it(tmp_path: Path) -> None:
    """Sockets and pipes too; of a link the link alone."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("x")
    run = tmp_path / "run"
    (run / "guest" / "web").mkdir(parents=True)
    (run / "guest" / "web" / "log").write_text("x")
    os.mkfifo(run / "guest" / "pipe")
    (run / "to-folder").symlink_to(elsewhere)
    (run / "guest" / "to-nothing").symlink_to(tmp_path / "nothing")
    files.remove(run)
    assert not run.exists()
    assert (elsewhere / "kept").read_text() == "x"


def test_what_is_no_folder_goes_too_and_what_is_not_there_is_fine(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link", "link", "nothing"):
        files.remove(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run" / "guest").mkdir(parents=True)

    def refused(*words: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", "guest")

    monkeypatch.setattr(os, "rmdir", refused)
    with pytest.raises(HostError, match="Permission denied"):
        files.remove(tmp_path / "run")

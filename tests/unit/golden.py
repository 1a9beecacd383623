"""Expected texts that stand beside their case: golden/<what>/<case>/.  QLAN_UPDATE_GOLDEN=1 writes them anew."""

from __future__ import annotations

from pathlib import Path

from tests import samples


def cases(what: str) -> list[str]:
    """The folders of golden/<what>."""
    found = sorted(path.name for path in (samples.GOLDEN / what).iterdir() if path.is_dir())
    assert found, f"no case in golden/{what}"
    return found


def text_of(what: str, case: str, name: str) -> str:
    """A file of a case; "" if there is none."""
    path = samples.GOLDEN / what / case / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def compare(text: str, path: Path) -> None:
    """The text must be what the file says, to the letter."""
    if samples.UPDATE:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")

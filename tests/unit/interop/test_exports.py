"""The text of every export, to the letter: golden/interop/exported/<case>/<format>.txt."""

from __future__ import annotations

import pytest

from qlan.cli.export import FORMATS, stream
from qlan.interop.formats import EXPORTS
from tests.samples import GOLDEN
from tests.unit import golden

from .labs import EVERYTHING, settled


@pytest.mark.parametrize("name", EXPORTS)
def test_text(name: str) -> None:
    text = stream(EXPORTS[name].export_lab(settled(EVERYTHING)), name)
    golden.compare(text, GOLDEN / "interop" / "exported" / "everything" / f"{name}.txt")


def test_every_format_has_a_line_of_help_and_the_reverse() -> None:
    assert FORMATS.keys() == {"script", *EXPORTS}


@pytest.mark.parametrize("name", EXPORTS)
def test_the_same_lab_is_the_same_text(name: str) -> None:
    assert EXPORTS[name].export_lab(settled(EVERYTHING)) == EXPORTS[name].export_lab(settled(EVERYTHING))


def test_no_two_files_have_one_path() -> None:
    for module in EXPORTS.values():
        paths = [file.path for file in module.export_lab(settled(EVERYTHING))]
        assert len(paths) == len(set(paths))
        assert not any(path.startswith("/") or ".." in path for path in paths)

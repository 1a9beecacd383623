"""Foreign files and the qlan.yaml that they become: golden/interop/<format>/<case>/, with expected.yaml."""

from __future__ import annotations

import pytest

from qlan.interop import document
from qlan.interop.formats import IMPORTS, recognised
from qlan.interop.imported import Imported, Source
from qlan.topology import load
from qlan.topology.check import check_written
from tests.samples import GOLDEN
from tests.unit import golden

CASES = [pytest.param(form, case, id=f"{form}/{case}") for form in IMPORTS for case in golden.cases(f"interop/{form}")]


def imported(form: str, case: str) -> Imported:
    folder = GOLDEN / "interop" / form / case
    files = sorted(path for path in folder.iterdir() if path.name != "expected.yaml")
    sources = [Source(path.name, path.read_text(encoding="utf-8"), "folder") for path in files]
    assert {recognised(source.name, source.text) for source in sources} == {form}
    return IMPORTS[form].import_sources(sources)


@pytest.mark.parametrize(("form", "case"), CASES)
def test_case(form: str, case: str) -> None:
    text = document.write(imported(form, case))
    topology = load.parse(text, "/lab/qlan.yaml")
    assert list(check_written(topology)) == []
    golden.compare(text, GOLDEN / "interop" / form / case / "expected.yaml")


@pytest.mark.parametrize(("form", "case"), CASES)
def test_every_note_is_in_the_text_at_its_place(form: str, case: str) -> None:
    result = imported(form, case)
    lines = document.write(result).splitlines()
    for place, notes in result.notes.by_place.items():
        for note in notes:
            spots = [at for at, line in enumerate(lines) if line.strip() == f"# {note}"]
            below = [next((line for line in lines[at:] if not line.strip().startswith("#")), "") for at in spots]
            if len(place) == 3:
                assert any(line.startswith("      - ") for line in below), (note, below)
            elif len(place) == 2:
                assert any(line.strip(' "').startswith(f"{place[1]}") for line in below), (note, below)
            else:
                assert "" in below, (note, below)

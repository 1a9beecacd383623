"""Whatever an importer is given: a file that loads, or an error that a user can act on."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlan.errors import QlanError
from qlan.interop import document
from qlan.interop.formats import IMPORTS, recognised
from qlan.interop.imported import Source
from qlan.topology import load
from qlan.topology.check import check_written
from tests.samples import GOLDEN

TEXTS = {
    form: [path.read_text(encoding="utf-8") for path in sorted((GOLDEN / "interop" / form).glob("*/*"))
           if path.name != "expected.yaml"] for form in IMPORTS
}  # fmt: skip
EVIL = ["", "-1", "0", "99999999999999999999", "a" * 300, "10.0.0.1/33", "255.255.255.255", "::", "\x7f", "é", '"', "'",
        "{", "#", "&x", "*x", "null", "$X", ",,", "=", "../..", "%s", "\u2028", "1.5G", "0x10", "on"]  # fmt: skip


@st.composite
def broken(draw: st.DrawFn, form: str) -> str:
    """A real file with a few words exchanged, doubled, or taken out."""
    text = draw(st.sampled_from(TEXTS[form]))
    for _ in range(draw(st.integers(1, 6))):
        words = [at for at in range(len(text)) if text[at].isalnum() and not text[at - 1 : at].isalnum()]
        if not words:
            break
        start = draw(st.sampled_from(words))
        end = next((at for at in range(start, len(text)) if not (text[at].isalnum() or text[at] in ".:-")), len(text))
        new = draw(st.one_of(st.sampled_from(EVIL), st.just(text[start:end] * 2), st.text(max_size=5)))
        text = text[:start] + new + text[end:]
    return text


def attempt(form: str, text: str) -> None:
    with contextlib.suppress(QlanError):
        written = document.write(IMPORTS[form].import_sources([Source("x", text)]))
        assert list(check_written(load.parse(written, "/lab/qlan.yaml"))) == []


@pytest.mark.parametrize("form", IMPORTS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_broken_files(form: str, data: st.DataObject) -> None:
    attempt(form, data.draw(broken(form)))


@pytest.mark.parametrize("form", IMPORTS)
@given(text=st.text())
def test_any_text(form: str, text: str) -> None:
    assert recognised("x", text) in IMPORTS
    attempt(form, text)

"""Forwards written into a file's text: only their own words change."""

from __future__ import annotations

import pytest

from qlan.errors import UsageError
from qlan.topology.edit import with_forwards, without_forward

HEAD = "guests:\n  web:  # mine\n    disk: a\n"
CASES = {
    "a name alone": ("    nics: [lan, back]  # two\n", '    nics: [{network: lan, forwards: ["1:2"]}, back]  # two\n'),
    "flow without": ("    nics: [{user: true}]\n", '    nics: [{user: true, forwards: ["1:2"]}]\n'),
    "flow with": (
        '    nics: [{user: true, forwards: ["3:4"]}]\n',
        '    nics: [{user: true, forwards: ["3:4", "1:2"]}]\n',
    ),
    "flow empty": ("    nics: [{user: true, forwards: []}]\n", '    nics: [{user: true, forwards: ["1:2"]}]\n'),
    "block without": (
        "    nics:\n      - network: lan  # it\n      - back\n",
        '    nics:\n      - network: lan  # it\n        forwards: ["1:2"]\n      - back\n',
    ),
    "block with": (
        '    nics:\n      - network: lan\n        forwards:\n          - "3:4"  # o\n    cpus: 2\n',
        '    nics:\n      - network: lan\n        forwards:\n          - "3:4"  # o\n          - "1:2"\n    cpus: 2\n',
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_added_and_taken_out_again(case: str) -> None:
    before, after = CASES[case]
    assert with_forwards(HEAD + before, "web", 0, ["1:2"]) == HEAD + after
    out = without_forward(HEAD + after, "web", 0, lambda text: text == "1:2")
    assert out == HEAD + (before if "with" in case and "without" not in case else after.replace('["1:2"]', "[]"))


def test_the_first_of_several_is_taken_out() -> None:
    text = HEAD + '    nics: [{user: true, forwards: ["1:2", "3:4"]}]\n'
    assert without_forward(text, "web", 0, lambda one: one == "1:2") == text.replace('"1:2", ', "")


@pytest.mark.parametrize("nics", ["", "    nics: [user]\n", '    nics: ["user,model=e1000"]\n'])
def test_what_has_no_place_is_said(nics: str) -> None:
    with pytest.raises(UsageError):
        without_forward(HEAD + nics, "web", 0, lambda one: True)
    if "," in nics or not nics:
        with pytest.raises(UsageError):
            with_forwards(HEAD + nics, "web", 0, ["1:2"])

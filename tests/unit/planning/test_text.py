"""Plans in words: golden/plan/<case>/{before.yaml,qlan.yaml}, from one file's lab to the other's (none: nothing)."""

from __future__ import annotations

import pytest

from qlan.planning import text
from qlan.planning.plan import plan
from qlan.resources.model import Resources
from qlan.topology.model import Realm
from tests import samples
from tests.unit import golden


def lab(case: str, name: str, realm: Realm) -> Resources:
    words = golden.text_of("plan", case, name)
    return samples.parsed(words, realm) if words else {}


@pytest.mark.parametrize("case", golden.cases("plan"))
@pytest.mark.parametrize("realm", list(Realm))
def test_the_words(case: str, realm: Realm) -> None:
    todo = plan(lab(case, "qlan.yaml", realm), lab(case, "before.yaml", realm))
    said = "".join(f"{line}\n" for line in [*text.lines(todo), text.summary(todo)])
    golden.compare(said, samples.GOLDEN / "plan" / case / f"{realm}.txt")

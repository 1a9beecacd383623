"""The picture for terminals: golden/interop/picture/<case>.txt, looked at by eye; and what no picture may do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlan.interop import picture
from qlan.interop.drawing import draw
from tests.samples import GOLDEN
from tests.unit import golden

from .labs import EVERYTHING, settled
from .test_checkers import LABS
from .test_round_trip import labs

CASES = {
    "wide": (picture.UNICODE, None),
    "letters-for-names": (picture.UNICODE, 80),
    "list": (picture.UNICODE, 40),
    "ascii": (picture.ASCII, None),
}


@pytest.mark.parametrize("case", CASES)
def test_picture(case: str) -> None:
    pens, width = CASES[case]
    text = picture.render(draw(settled(EVERYTHING)), pens, width)
    golden.compare(text, GOLDEN / "interop" / "picture" / f"{case}.txt")


@given(st.one_of(labs(), st.sampled_from(list(LABS.values()))), st.integers(36, 200))
def test_it_fits_and_shows_everything(text: str, width: int) -> None:
    lab = settled(text)
    shown = picture.render(draw(lab), picture.ASCII, width)
    assert shown.isascii()
    assert max(map(len, shown.splitlines())) <= max(width, 20)
    for named in (*lab.topology.networks, *lab.topology.guests):
        assert named.name in shown


def columns(lines: list[str], letter: str) -> set[int]:
    return {at for line in lines for at, one in enumerate(line) if one == letter}


def test_every_plug_is_on_its_rail() -> None:
    """Each network has a column of its own, and its plugs are as many as it has members and the host."""
    lab = settled(EVERYTHING)
    lines = picture.render(draw(lab), picture.UNICODE).splitlines()
    head = next(line for line in lines if "lan" in line and "back" in line)
    for network in lab.topology.networks:
        at = head.index(network.name) + len(network.name) // 2
        plugs = sum(line[at : at + 1] == "●" for line in lines)
        assert plugs == len(list(lab.members(network))) + (network.kind == "host-only")
    assert len(columns(lines, "●")) == len(lab.topology.networks)

"""What a comparison says of its numbers, and that nothing that failed is one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.chart import chart
from bench.initrd import with_program
from bench.lines import lines
from bench.measure import Failed, LeftOut, Measured, Results, in_turns, took_s
from bench.report import as_json, as_page, has_failed, is_met
from bench.session import Session

_SVG = "{http://www.w3.org/2000/svg}"


def measured(ours: tuple[float, ...], theirs: tuple[float, ...], limit: float | None) -> Measured:
    return Measured("row", "it & that", "<peer>", "s", ours, theirs, limit)


def test_the_ratio_is_that_of_pairs() -> None:
    """A machine that is slow for a while is slow for both of a pair."""
    one = measured((1.0, 10.0, 1.2), (2.0, 20.0, 2.4), 0.5)
    assert one.ratio == pytest.approx(0.5)
    assert one.is_met
    assert not measured((3.0,), (2.0,), 1.4).is_met


def test_of_a_rate_more_is_better() -> None:
    """The ratio is that of costs everywhere: half the throughput is twice the cost."""
    half = Measured("row", "it", "peer", "Mbit/s", (50.0, 40.0), (100.0, 80.0), 1.03, is_rate=True)
    assert half.ratio == pytest.approx(2.0)
    assert not half.is_met
    assert Measured("row", "it", "peer", "", (0.0,), (0.0,), 1.0, is_rate=True).is_met, "both alike"
    assert not Measured("row", "it", "peer", "", (0.0,), (1.0,), 1.0, is_rate=True).is_met


def test_rounds_go_on_without_who_failed() -> None:
    results = Results(lambda one: None)
    session = Session({}, {}, lambda: "not here", results, quick=False, row="row")
    order: list[str] = []

    def run(name: str) -> float:
        order.append(name)
        if name == "b":
            raise Failed("no")
        return float(len(order))

    found = session.rounds({name: (lambda name=name: run(name)) for name in "abc"}, 2)
    assert "".join(order) == "abc" + "ac" * 2
    assert found == {"a": (4.0, 6.0), "c": (5.0, 7.0)}
    session.pair("it", found, ("a", "c"))
    session.pair("it", found, ("a", "b"))
    assert [one.peer for one in results.measured] == ["c"]


def test_an_initrd_with_a_program_is_one_archive_after_the_other(tmp_path: Path) -> None:
    """The kernel looks for the next archive at a multiple of four."""
    (tmp_path / "initrd").write_bytes(b"first")
    made = with_program(tmp_path / "initrd", Path("/usr/bin/env"), os.environ)
    assert made.startswith(b"first\0\0\0" + b"070701")
    assert b"bin/env\0" in made and b"libc.so.6\0" in made and made.rstrip(b"\0").endswith(b"TRAILER!!!")


def test_in_turns_and_the_first_pair_is_for_the_caches() -> None:
    order: list[str] = []

    def run(name: str) -> float:
        order.append(name)
        return float(len(order))

    ours, theirs = in_turns(lambda: run("a"), lambda: run("b"), 2, lambda: order.append("settled"))
    assert order == ["a", "settled", "b", "settled"] * 3
    assert (ours, theirs) == ([5.0, 9.0], [7.0, 11.0])


def test_what_failed_has_no_time() -> None:
    results = Results(lambda one: None)
    session = Session({}, {}, lambda: "not here", results, quick=True, row="row")
    session.compare("it", lambda: took_s([sys.executable, "-c", "exit(3)"]), ("peer", lambda: 1.0))
    session.against_libvirt("it", lambda: 1.0, lambda libvirt: libvirt.virsh("list"))
    assert not results.measured
    assert ["exit status 3" in one.why for one in results.left_out] == [True, False]
    assert has_failed(results)
    with pytest.raises(Failed, match="exit status 3"):
        took_s([sys.executable, "-c", "exit(3)"])


def test_a_chart_is_well_formed_xml() -> None:
    from xml.etree import ElementTree

    text = chart([measured((1.0,), (2.0,), 0.4), measured((0.0,), (0.0,), None)])
    assert len(ElementTree.fromstring(text)) > 10
    assert "#c43" in text


def test_the_page_keeps_what_is_around_the_table() -> None:
    results = Results(lambda one: None)
    results.add(measured((0.5,), (2.0,), 0.1))
    results.add(LeftOut("row", "that", "no root"))
    page = as_page(results, "before\n<!-- measured -->\nold\n<!-- end -->\nafter\n")
    assert page.startswith("before\n") and page.endswith("\nafter\n") and "old" not in page
    assert "| row | it & that | 500 ms | <peer> | 2 s | 0.25 | 0.1, **not met** |" in page
    assert "* left out: row: that: no root" in page
    assert as_page(results, page) == page


def test_json_has_every_number() -> None:
    results = Results(lambda one: None)
    results.add(measured((1.0,), (2.0,), 0.4))
    results.add(LeftOut("row", "that", "why"))
    assert '"ratio": 0.5' in as_json(results)
    assert not is_met(results)
    assert not has_failed(results)


def test_a_line_for_each_who_did_it() -> None:
    """What grows with what."""
    measured = [
        Measured("scale", f"{nics} NICs, host: {what}", peer, "s", (seconds, 9.0, 0.001), (seconds * 2,) * 3)
        for nics, seconds in ((10, 0.1), (100, 0.3), (1000, 2.0))
        for what, peer in (("up", "ip -batch"), ("up again", "its first up"), ("down", "one by one"), ("up", "Mininet"))
    ]
    other = Measured(
        "scale", "10 NICs, host: messages of `ip monitor` at the second up", "none", "messages", (0,), (1,)
    )
    drawn = ElementTree.fromstring(lines([*measured, other]))
    texts = [one.text for one in drawn.iter(f"{_SVG}text")]
    assert [one for one in texts if one and ", host" in one] == [
        "qlan, host", "Mininet, host", "ip -batch, host", "one by one, host",
    ]  # fmt: skip
    circles = [(float(one.attrib["cx"]), float(one.attrib["cy"])) for one in drawn.iter(f"{_SVG}circle")]
    assert len(circles) == 3 * (3 + 1 + 2), "of up three, of up again ours alone, of down two"
    width, height = (float(drawn.attrib[side]) for side in ("width", "height"))
    assert all(0 < x < width and 0 < y < height for x, y in circles)

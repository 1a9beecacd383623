"""Whatever the text: a topology or a TopologyError with a place and words, and soon."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qlan.facts.machine import Facts
from qlan.problems import TopologyError
from qlan.topology.addressing import complete
from qlan.topology.check import check
from qlan.topology.load import parse
from qlan.topology.model import Picks, Topology
from qlan.topology.vocabulary import SECTIONS

GOLDEN = Path(__file__).parents[2] / "golden" / "errors"
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
FACTS = Facts("s", 1000, "x86_64")
FILE = "/labs/shop/qlan.yaml"

WORDS = st.sampled_from(
    ["lan", "user", "none", "true", "no", "", "~", "10.0.0.0/24", "10.0.0.5", "2222:22", "auto:22", "1G", "60", "1h",
     "private", "host-only", "52:54:00:00:00:01", "tcp::1-:2", "lan,model=e1000", "host", "web.img", "[", "é\n"]
)  # fmt: skip
KEYS = st.sampled_from(sorted({key for section in SECTIONS.values() for key in section} | {"lan", "web", "x"}))


def nested(children: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(children, max_size=4) | st.dictionaries(KEYS, children, max_size=6)


TREES = st.dictionaries(
    st.sampled_from(["lab", "realm", "user", "networks", "guests"]),
    st.recursive(WORDS | st.integers() | st.booleans() | st.none(), nested, max_leaves=30),
)


def read(text: str) -> Topology | None:
    try:
        topology = parse(text, FILE)
    except TopologyError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.mark is not None
            assert problem.mark.line >= 1
            assert problem.mark.column >= 1
            assert "\n" not in problem.what
            assert problem.what
        return None
    if not check(topology, FACTS, lambda path: True):
        complete(topology, Picks({}, {}, {}), FACTS)
    return topology


@settings(max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
@given(st.text())
def test_any_text(text: str) -> None:
    read(text)


@settings(max_examples=300, deadline=2000)
@given(st.text(alphabet="abc:-[]{},&*!|>'\"%@#?<\t\n ", max_size=60))
def test_any_yaml_punctuation(text: str) -> None:
    read(text)


@settings(max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
@given(TREES)
def test_any_tree_of_our_words(tree: dict[str, object]) -> None:
    read(yaml.safe_dump(tree, allow_unicode=True))


@settings(max_examples=200, deadline=2000)
@given(st.sampled_from(CASES), st.data())
def test_bad_files_cut_anywhere(case: str, data: st.DataObject) -> None:
    text = (GOLDEN / case / "qlan.yaml").read_bytes().decode("utf-8", "replace")
    start = data.draw(st.integers(0, len(text)))
    read(text[:start] + data.draw(st.text(max_size=3)) + text[start:])
    read(text[:start])


@pytest.mark.parametrize("case", [case for case in CASES if case != "backslash"])
def test_the_parser_in_python_says_the_same(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML without libyaml (`backslash`: it points one letter further)."""
    text = (GOLDEN / case / "qlan.yaml").read_bytes()
    if case == "not-utf8":
        return
    with_c = words(text.decode())
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert words(text.decode()) == with_c


def words(text: str) -> str:
    try:
        parse(text, FILE)
    except TopologyError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [" + "x, " * 5000 + "]\n" + "".join(f"k{i}: *a\n" for i in range(5000)),
        "guests: {" + "? " * 100_000,
        "lab: " + "x" * 4_000_000,
        "lab: '" + "\\x" * 2_000_000,
        "- " * 100_000,
        "guests: {a: {" + "".join(f"memory{i}: 1, " for i in range(100_000)) + "}}",
        "networks:\n"
        + "".join(f"  a-network-{i}: private\n" for i in range(5000))
        + "guests: {a: {disk: a, nics: ["
        + "".join(f"a-nettwork-{i}, " for i in range(5000))
        + "]}}",
        "{" + "a: 1, " * 200_000 + "}",
        "guests: {a: {qemu_args: [" + "x, " * 300_000 + "], disk: a}}",
        "guests: {a: {disk: a, nics: [{network: " + "l" * 100_000 + "}]}}",
    ],
    ids=[
        "aliases",
        "question marks",
        "long word",
        "long quotes",
        "dashes",
        "unknown keys",
        "unknown networks",
        "one key",
        "words",
        "long name",
    ],
)
def test_nothing_hangs(text: str) -> None:
    start = time.process_time()
    read(text)
    assert time.process_time() - start < 20, "seconds of work for a few MB"


def test_ten_thousand_guests() -> None:
    text = "networks:\n  lan: {kind: host-only, subnet: 10.0.0.0/16}\nguests:\n" + "".join(
        f"""  vm-{i}:
    disk: vm-{i}.qcow2
    memory: 1G
    nics:
      - lan
      - {{network: lan, address: 10.0.{i // 250}.{i % 250 + 2}}}
      - {{user: {{hostname: vm-{i}}}, forwards: ["{i + 2000}:22", auto:80]}}
"""
        for i in range(10_000)
    )
    start = time.process_time()
    topology = parse(text, FILE)
    said = [problem.what for problem in check(topology, FACTS, lambda path: True)]
    assert said == []
    picks = complete(topology, Picks({}, {}, {}), FACTS)
    assert len(picks.addresses) == 10_000
    assert len(set(picks.ports.values())) == 10_000
    assert time.process_time() - start < 15, "4 s on a machine of 2024; what is quadratic takes minutes"

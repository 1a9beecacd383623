"""Tables, times, and the list of verbs: what is printed, without a lab."""

from __future__ import annotations

import importlib
import json
import re

import pytest

from qlan.cli import output, table, terminal
from qlan.cli.log import _CONTROL, _visible
from qlan.cli.verbs import MODULES, VERBS, help_text

from ..kernel.place import Place

HEAD = ("GUEST", "NIC", "FORWARDS", "EMPTY")
ROWS = [("web", "0", "2222 -> 22\n8080 -> 80", ""), ("", "1", "", ""), ("a-long-name", "0", "-", "")]


def test_table() -> None:
    assert table.lines(HEAD, ROWS, fits=None) == [
        "GUEST        NIC  FORWARDS",
        "web          0    2222 -> 22",
        "                  8080 -> 80",
        "             1",
        "a-long-name  0    -",
    ]


def test_table_on_a_narrow_terminal() -> None:
    assert table.lines(HEAD, ROWS, fits=28) == table.lines(HEAD, ROWS, fits=None)
    assert table.lines(HEAD, ROWS, fits=27) == [
        "GUEST     web",
        "NIC       0",
        "FORWARDS  2222 -> 22",
        "          8080 -> 80",
        "NIC       1",
        "",
        "GUEST     a-long-name",
        "NIC       0",
        "FORWARDS  -",
    ]


def test_empty_table() -> None:
    assert table.lines(HEAD, [], fits=10) == []


def test_what_a_guest_says_does_not_steer_the_terminal() -> None:
    assert terminal.printable("a\x1b]0;title\x07b\x9b") == "a\\x1b]0;title\\x07b\\x9b"
    assert table.lines(("A",), [("\x1b[2J",)], fits=None) == ["A", "\\x1b[2J"]
    assert _CONTROL.sub(_visible, b"\x1b[31mred\x1b[0m\r\n\x1b]0;t\x07\ttab\r") == (
        b"\x1b[31mred\x1b[0m\n\\x1b]0;t\\x07\ttab\r"
    )


@pytest.mark.parametrize(
    "time_s, text", [(0.04, "0.0 s"), (9.94, "9.9 s"), (12, "12 s"), (119, "119 s"), (121, "2 min"), (3600, "60 min"),
                     (7300, "2 h"), (172801, "2 d"), (1e7, "116 d")],
)  # fmt: skip
def test_duration(time_s: float, text: str) -> None:
    assert output.duration(time_s) == text


def test_every_verb_has_a_description_and_examples() -> None:
    shown = help_text()
    for verb, text in VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(text)}$", shown, re.MULTILINE)
        module = importlib.import_module(f"qlan.cli.{MODULES[verb]}")
        assert f"qlan {verb}" in module.EXAMPLES, verb
        assert len(module.DESCRIPTION) > 60, verb
    assert all(len(line) <= 80 for line in shown.splitlines())


@pytest.mark.parametrize("verb", list(VERBS))
def test_help_of_every_verb(place: Place, verb: str) -> None:
    done = place.qlan(verb, "--help")
    assert done.stdout.startswith(f"usage: qlan {verb}")
    assert "\nexamples:\n" in done.stdout
    assert done.stdout == place.qlan("help", verb).stdout


def test_models(place: Place) -> None:
    text = place.qlan("models").stdout
    assert re.search(r"^\*  virtio-net-pci +virtio +PCI +-? .*Linux", text, re.MULTILINE)
    assert re.search(r"^   e1000 .*Windows", text, re.MULTILINE)
    models = json.loads(place.qlan("models", "--json").stdout)["models"]
    assert [one["name"] for one in models if one["default"]] == ["virtio-net-pci"]
    assert {one["name"]: one["bus"] for one in models}["ne2k_isa"] == "ISA"


def test_models_of_a_machine_that_is_not_there(place: Place) -> None:
    done = place.qlan("models", "--arch", "nosuch", check=False)
    assert done.returncode == 3
    assert "there is no QEMU for nosuch" in done.stderr
    assert place.qlan("models", "--arch", "../x", check=False).returncode == 2

"""Which backend `auto` takes."""

from __future__ import annotations

import pytest

from qlan.facts.machine import PasstFacts, QemuFacts
from qlan.topology.backends import GOOD, chosen
from qlan.topology.load import parse

OLD, NEW = PasstFacts(frozenset({"--socket"})), PasstFacts(frozenset({"--socket", "--hostname", GOOD}))


def qemu(*version: int) -> QemuFacts:
    return QemuFacts("qemu", (version[0], version[1], 0), (), "pc", {})


@pytest.mark.parametrize(
    ("user", "passt", "version", "wanted"),
    [
        ("{backend: auto}", NEW, (7, 2), "passt"),
        ("{backend: auto}", OLD, (7, 2), "slirp"),
        ("{backend: auto}", None, (7, 2), "slirp"),
        ("{backend: auto}", NEW, (7, 1), "slirp"),
        ("{backend: auto, restrict: true}", NEW, (9, 0), "slirp"),
        ("{backend: auto, hostname: web}", NEW, (9, 0), "passt"),
        ("{backend: passt}", OLD, (7, 2), "passt"),
        ("true", NEW, (9, 0), "slirp"),
    ],
)
def test_auto_waits_for_a_passt_that_is_better(
    user: str, passt: PasstFacts | None, version: tuple[int, int], wanted: str
) -> None:
    text = f"lab: x\nguests:\n  web: {{kernel: k, nics: [{{user: {user}}}]}}\n"
    [nic] = parse(text, "/lab/qlan.yaml").guests[0].nics
    assert chosen(nic, passt, qemu(*version)) == wanted

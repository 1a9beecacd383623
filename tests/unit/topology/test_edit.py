"""A change of a NIC in the text of a file: only its own words differ, comments stay."""

from __future__ import annotations

import pytest

from qlan.errors import UsageError
from qlan.topology.changes import Change, changed
from qlan.topology.edit import edited
from qlan.topology.load import parse

FILE = """\
# the shop
lab: shop
networks: {lan: host-only, back: {kind: private}}   # two
guests:
  web:                       # the front
    kernel: k
    nics:
      - lan                  # to customers
      - network: back        # to db
        model: e1000
    # behind the list
  db: {kernel: k, nics: [back, {network: lan, model: e1000}]}   # flow
  cut: {kernel: k, nics: []}
  nil: {kernel: k, nics: none}
  box:
    kernel: k
    nics: [user]
"""

ATTACH = ("attach", 0)


@pytest.mark.parametrize(
    ("change", "old", "new"),
    [
        (Change("web", "attach", 2, "lan"), "        model: e1000\n", "        model: e1000\n      - lan\n"),
        (Change("web", "detach", 1), "      - network: back        # to db\n        model: e1000\n", ""),
        (Change("web", "move", 0, "back"), "- lan                  #", "- back                  #"),
        (Change("web", "move", 1, "user"), "network: back        #", "user: true        #"),
        (Change("web", "down", 0), "- lan                  #", "- {network: lan, link: down}                  #"),
        (Change("web", "down", 1), "        model: e1000\n", "        model: e1000\n        link: down\n"),
        (Change("db", "attach", 2, "lan", "virtio", "52:00:00:00:00:01"), "model: e1000}]}",
         'model: e1000}, {network: lan, model: virtio, mac: "52:00:00:00:00:01"}]}'),
        (Change("db", "detach", 1), "[back, {network: lan, model: e1000}]", "[back]"),
        (Change("db", "up", 1), "model: e1000}]", "model: e1000, link: up}]"),
        (Change("cut", "attach", 0, "lan"), "cut: {kernel: k, nics: []}", "cut: {kernel: k, nics: [lan]}"),
        (Change("nil", "attach", 0, "user", "e1000"), "nics: none", "nics: [{user: true, model: e1000}]"),
        (Change("box", "detach", 0), "nics: [user]", "nics: []"),
        (Change("box", "down", 0), "nics: [user]", "nics: [{user: true, link: down}]"),
    ],
    ids=str,
)  # fmt: skip
def test_only_its_own_words_change(change: Change, old: str, new: str) -> None:
    assert FILE.count(old) == 1
    text = edited(FILE, change)
    assert text == FILE.replace(old, new)
    meant = changed(parse(FILE, "a"), [change]).guests if change.verb != "detach" else None
    found = parse(text, "a").guests
    if meant:
        for one, other in zip(meant, found, strict=True):
            assert [(nic.network, nic.user, nic.model, nic.mac, nic.link_up) for nic in one.nics] == [
                (nic.network, nic.user, nic.model, nic.mac, nic.link_up) for nic in other.nics
            ]


@pytest.mark.parametrize(
    ("text", "change", "words"),
    [
        (FILE, Change("web", "detach", 0), "NIC 0 of guest `web` is not its last"),
        (FILE, Change("who", "attach", 0, "lan"), "guest `who` is not in the file"),
        ("guests: {a: {kernel: k}}", Change("a", "attach", 1, "lan"), "has no `nics:` of its own"),
        ("x: &n [lan]\nguests: {a: {nics: *n}}", Change("a", "attach", 1, "lan"), "shared with others by an anchor"),
        ("guests: {a: {nics: [lan]}}", Change("a", "down", 3), "has no NIC 3 in the file"),
    ],
)
def test_what_is_not_written_into_the_file(text: str, change: Change, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        edited(text, change)

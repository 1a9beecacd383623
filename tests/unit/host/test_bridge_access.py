"""/etc/qemu/bridge.conf as QEMU's helper reads it (qemu-bridge-helper.c)."""

from __future__ import annotations

from pathlib import Path

import pytest

from qlan.host.bridge_access import find_denial, find_rule, is_privileged, read


def wrote(folder: Path, text: str, name: str = "bridge.conf") -> Path:
    path = folder / name
    path.write_text(text)
    return path


# tests/kernel/test_bridge.py asks the helper itself
LISTS: list[tuple[str, str | None]] = [
    ("allow br0\n", None),
    ("  allow \t br0  \n", None),
    ("allow\tbr0\n", None),
    ("allow\tbr0 \n", "`allow\tbr0` is not known"),
    ("# words\n\nallow all", None),
    ("", "does not allow br0"),
    ("allow br00\n", "does not allow br0"),
    ("allow br0\ndeny br0\n", "bridge.conf:2 says `deny br0`, and deny wins"),
    ("deny all\nallow br0\n", "bridge.conf:1 says `deny all`, and deny wins"),
    ("allow br0\nallow\n", "bridge.conf:2: `allow` has no second word"),
    ("permit br0\n", "bridge.conf:1: `permit` is not known"),
    ("allow br0 # the office\n", "the name `br0 # the office` is too long"),
    ("allow br0\nallow abcdefghijklmnop\n", "bridge.conf:2: the name `abcdefghijklmnop` is too long"),
    ("allow abcdefghijklmno\nallow br0", None),
]


@pytest.mark.parametrize(("text", "why"), LISTS)
def test_who_is_let_in(tmp_path: Path, text: str, why: str | None) -> None:
    refusal = find_denial("br0", wrote(tmp_path, text))
    assert (refusal is None) if why is None else (refusal is not None and why in refusal.what)


def test_included_files(tmp_path: Path) -> None:
    """A missing one is passed over, a broken one counts up to where it breaks, one that includes itself ends."""
    own = wrote(tmp_path, f"allow br1\nnonsense\nallow br2\ninclude {tmp_path}/own.conf\n", "own.conf")
    conf = wrote(tmp_path, f"include {tmp_path}/none.conf\ninclude {own}\ninclude {tmp_path}/bridge.conf\nallow br3\n")
    rules, broken = read(conf)
    assert broken is None
    assert {rule.bridge for rule in rules} == {"br1", "br3"}
    found = find_rule(rules, "br1", allows=True)
    assert found is not None
    assert (found.path, found.line) == (own, 1)


def test_no_list_allows_nothing(tmp_path: Path) -> None:
    refusal = find_denial("br0", tmp_path / "bridge.conf")
    assert refusal is not None
    assert refusal.hint == "sudo qlan host allow br0"


def test_an_ordinary_program_is_not_privileged(tmp_path: Path) -> None:
    assert not is_privileged(wrote(tmp_path, "", "helper"))
    assert not is_privileged(tmp_path / "none")

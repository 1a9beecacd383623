"""The table of kinds is one: the code, README and `qlan explain` say the same (scripts/reach: and so do packets)."""

from __future__ import annotations

from pathlib import Path

import pytest

from qlan import cmdline
from qlan.networks.expand import KINDS, kind_reach

README = Path(__file__).parents[3] / "README.md"
COLUMNS = ("guests", "host", "outside", "from_host")
WORDS = {"yes": True, "no": False, "by": False, "with": False}  # by forwards, with `host_access`


def rows() -> dict[str, list[str]]:
    """README's table, by kind."""
    lines = README.read_text(encoding="utf-8").partition("\n| kind |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {kind.strip("`").replace("nics: none", "none"): rest for kind, *rest in cells}


def test_readme_has_every_kind() -> None:
    assert set(rows()) == {*KINDS, "user", "none"}


@pytest.mark.parametrize("kind", sorted({*KINDS, "user", "none"} - {"bridge"}))  # it is as somebody else made it
def test_readme_says_what_the_code_says(kind: str) -> None:
    said, row = rows()[kind], kind_reach(kind)
    for column, text in zip(COLUMNS, said, strict=False):
        assert WORDS[text.split()[0].strip(",;(")] is getattr(row, column), f"{kind}, {column}: {text}"


def test_explain_says_of_user_mode_what_the_table_says() -> None:
    rules = cmdline.rules()
    reach = cmdline.explain(cmdline.read("qemu-system-x86_64 -nic user", rules), rules).netdevs[0].reach
    row = kind_reach("user")
    assert [reach.guests != "no", reach.host != "no", reach.outside != "no"] == [row.guests, row.host, row.outside]
    assert reach.inbound == "nobody"
    assert not (row.from_host or row.from_outside)

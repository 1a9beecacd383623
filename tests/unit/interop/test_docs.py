"""docs/interop.md says what the code does.  QLAN_UPDATE_GOLDEN=1 writes its tables anew."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from qlan.cli import export, importing
from qlan.interop.formats import IMPORTS
from tests.samples import UPDATE

from .table import KEYS, export_table, keeps, round_trip_table, says

PAGE = Path(__file__).parents[3] / "docs" / "interop.md"


@pytest.mark.parametrize(("title", "table"), [("export", export_table), ("round trip", round_trip_table)])
def test_table(title: str, table: Callable[[], str]) -> None:
    start, end = f"<!-- table: {title} -->\n", "<!-- end -->"
    text = PAGE.read_text(encoding="utf-8")
    before, found, after = text.partition(start)
    assert found
    old, _, after = after.partition(end)
    new = f"{table()}\n"
    if UPDATE:
        PAGE.write_text(f"{before}{start}{new}{end}{after}", encoding="utf-8")
        old = new
    assert old == new


def test_every_format_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in export.FORMATS:
        assert f"`{name}`" in page
    assert importing.FORMATS.keys() == IMPORTS.keys()


def test_the_table_can_tell_the_difference() -> None:
    assert says("qemu", KEYS["NIC: `model`"]) == "yes"
    assert says("libvirt", KEYS["user: `restrict`"]) == "words"
    assert says("netplan", KEYS["NIC: `model`"]) == "-"
    from qlan.interop import qemu

    assert keeps(qemu, KEYS["NIC: `link`"]) == "no"
    assert keeps(qemu, KEYS["NIC: `model`"]) == "yes"


def test_all_keys_of_the_file_have_a_row() -> None:
    """A key that is added to the vocabulary must be put into the table."""
    from qlan.topology import vocabulary

    named = set(re.findall(r"`([a-z_0-9]+)", " ".join(KEYS))) | {"range", "lease"}
    known = {*vocabulary.NETWORK, *vocabulary.GUEST, *vocabulary.NIC, *vocabulary.USER}
    rest = {
        "kind",
        "bridge",
        "uplink",
        "reach",
        "proxy_arp",
        "confirm_within",
        "managed",
        "mode",
        "host_access",
        "subnet",
        "disks",
        "initrd",
        "arch",
        "nics",
        "mac",
        "user",
        "ipv4",
        "ipv6_prefix",
        "smb",
        "guestfwd",
        "hotplug",
    }
    assert known - named == rest - named

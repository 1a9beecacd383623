"""Names that fit the kernel, MACs that are ours, and words that were meant."""

from __future__ import annotations

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlan import names

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)
MACS = st.from_regex(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}", fullmatch=True).filter(lambda mac: set(mac) != {"0", ":"})


@pytest.mark.parametrize("text", ["a", "0", "web", "web-1", "1-2-3", "x" * 32])
def test_a_name(text: str) -> None:
    assert names.is_name(text)


@pytest.mark.parametrize(
    "text",
    ["", "-", "-a", "a-", "A", "a_b", "a.b", "a b", "a\n", "\na", "a,b", "$(id)", "../x", "x" * 33, "ä", "٣", "web\0"],
)
def test_no_name(text: str) -> None:
    assert not names.is_name(text)


@given(st.text())
def test_what_passes_needs_no_quoting_anywhere(text: str) -> None:
    if names.is_name(text):
        assert shlex.quote(text) == text
        assert not set(text) & set(",=:;#%/\\\"' \t\n")
        assert text.isascii()


@given(NAMES, st.text())
def test_an_interface_name_fits_and_says_where_it_belongs(stem: str, salt: str) -> None:
    name = names.interface_name(stem, salt)
    assert names.fits_interface(name)
    assert name[:9].startswith(stem[:9].rstrip("-."))
    assert re.fullmatch(r"[a-z0-9.-]+-[0-9a-f]{5}", name)


def test_ten_thousand_interface_names_hardly_ever_clash() -> None:
    """20 bits of hash: within one stem a clash in ten thousand labs is to be expected now and then, not often."""
    found = {names.interface_name("lan", f"lab{number}/bridge/lan") for number in range(10_000)}
    assert len(found) > 9_900


@pytest.mark.parametrize("name", ["", ".", "..", "lo", "all", "default", "a/b", "x" * 16])
def test_names_that_the_kernel_refuses_or_keeps(name: str) -> None:
    assert not names.fits_interface(name)


@given(st.lists(st.text(), min_size=1))
def test_a_derived_mac_is_a_nic_s_own(salt: list[str]) -> None:
    mac = names.derived_mac(*salt)
    assert names.parse_mac(mac) == mac
    assert int(mac[:2], 16) & 3 == 2  # locally administered, unicast: IEEE 802
    assert names.derived_mac(*salt) == mac


def test_where_a_salt_is_split_matters() -> None:
    assert names.derived_mac("ab", "c") != names.derived_mac("a", "bc")


@given(MACS)
def test_usual_spellings_of_a_mac(mac: str) -> None:
    for text in (mac, mac.upper(), mac.replace(":", "-"), f" {mac}\n"):
        assert names.parse_mac(text) == mac


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "six pairs"),
        ("52:54:00:12:34", "six pairs"),
        ("52:54:00:12:34:5g", "six pairs"),
        ("52:54:00:12:34:56:78", "six pairs"),
        ("525400123456", "six pairs"),
        ("01:00:5e:00:00:01", "multicast"),
        ("ff:ff:ff:ff:ff:ff", "multicast"),
        ("00:00:00:00:00:00", "no NIC's address"),
        ("52:54:00:12:34:５７", "six pairs"),  # digits of another alphabet
    ],
)
def test_what_is_no_mac_of_a_nic(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        names.parse_mac(text)


@given(NAMES)
def test_a_link_group_is_a_number_for_ip_and_never_the_default(lab: str) -> None:
    group = names.link_group(lab)
    assert 0 < group < 1 << 31
    assert group >> 16 == 0x716C


@pytest.mark.parametrize(
    ("word", "near"), [("guest", "guests"), ("Networks", "networks"), ("netwrks", "networks"), ("zzz", "")]
)
def test_the_nearest_word(word: str, near: str) -> None:
    assert names.nearest(word, ["networks", "guests", "lab"]) == near

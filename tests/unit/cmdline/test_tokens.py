"""The inside of an argument: split and joined again without loss."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlan.cmdline.tokens import (
    BadArgument,
    Setting,
    Spelling,
    join_json,
    join_settings,
    split_json,
    split_keyval,
    split_settings,
)

PIECES = st.text(alphabet=st.sampled_from("ab=,.no:-{} $é\n'\""), max_size=30)


def meaning(settings: tuple[Setting, ...]) -> list[tuple[str, str]]:
    return [(setting.key, setting.value) for setting in settings]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user,id=n0", [("type", "user"), ("id", "n0")]),
        ("id=n0,user", [("id", "n0"), ("user", "on")]),
        ("user,noipv6,restrict", [("type", "user"), ("ipv6", "off"), ("restrict", "on")]),
        ("user,file=a,,b,,,c", [("type", "user"), ("file", "a,b,"), ("c", "on")]),
        ("user,,id=n0", [("type", "user,id=n0")]),
        ("user,", [("type", "user")]),
        (",id=n0", [("type", ""), ("id", "n0")]),
        ("", []),
        ("a==b", [("a", "=b")]),
        ("no", [("type", "no")]),
        ("user,no", [("type", "user"), ("", "off")]),
    ],
)
def test_split(text: str, expected: list[tuple[str, str]]) -> None:
    assert meaning(split_settings(text, "type")) == expected


def test_places_point_into_the_text() -> None:
    text = "user,hostfwd=tcp::1-:2,net=10.0.2.0/24"
    for setting in split_settings(text, "type"):
        assert text[setting.value_start :].startswith(setting.value)
        assert setting.start <= setting.value_start


@given(PIECES)
def test_joined_means_the_same(text: str) -> None:
    once = split_settings(text, "type")
    assert meaning(split_settings(join_settings(once), "type")) == meaning(once)


@given(st.lists(st.tuples(st.sampled_from(["id", "net", "file"]), PIECES), min_size=1, max_size=6))
def test_any_value_survives(pairs: list[tuple[str, str]]) -> None:
    settings = tuple(Setting(key, value) for key, value in pairs)
    assert meaning(split_settings(join_settings(settings), None)) == pairs
    assert meaning(split_keyval(join_settings(settings), None)) == pairs


@pytest.mark.parametrize(
    ("text", "offset"), [("stream,server", 7), ("stream,=x", 7), ("stream,a..b=1", 7), ("a b=1", 0)]
)
def test_keyval_says_where(text: str, offset: int) -> None:
    with pytest.raises(BadArgument) as caught:
        split_keyval(text, "type")
    assert caught.value.offset == offset


def test_json_is_flattened_and_made_again() -> None:
    text = '{"type": "user", "id": "n0", "hostfwd": [{"str": "tcp::1-:2"}], "ipv4": true, "addr": {"port": "1"}}'
    settings = split_json(text)
    assert ("addr.port", "1") in meaning(settings)
    assert [setting.exact for setting in settings if setting.key == "ipv4"] == [True]
    assert split_json(join_json(settings, frozenset())) == settings


@pytest.mark.parametrize("text", ['{"a":1', '{"a":1,"a":2}', "{a:1}", '{"a":NaN}', "{" * 5000])
def test_json_that_qemu_refuses(text: str) -> None:
    with pytest.raises(BadArgument):
        split_json(text)


def test_single_quotes_are_json_to_qemu() -> None:
    assert meaning(split_json("""{'type':'us"er'}""")) == [("type", 'us"er')]


def test_spellings_are_kept() -> None:
    kinds = [setting.spelling for setting in split_settings("user,id=a,ipv6,noipv4", "type")]
    assert kinds == [Spelling.IMPLIED, Spelling.EQUALS, Spelling.ON, Spelling.OFF]

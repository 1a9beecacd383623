"""Every resource to JSON and back, whatever its fields hold; and the promises that every resource type keeps."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlan.errors import UsageError
from qlan.resources import codec
from qlan.resources.model import RESOURCE_TYPES, Drive, Resource, TapBackend, UserBackend
from qlan.values import NODEFAULT, defaults, replace

PATHS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).map(Path)
for kind, strategy in {
    IPv4Interface: st.builds(lambda ip, length: IPv4Interface((ip, length)), st.ip_addresses(v=4), st.integers(0, 32)),
    IPv4Address: st.ip_addresses(v=4),
    IPv4Network: st.builds(lambda ip, n: IPv4Network((ip, n), strict=False), st.ip_addresses(v=4), st.integers(0, 32)),
    IPv6Network: st.builds(lambda ip, n: IPv6Network((ip, n), strict=False), st.ip_addresses(v=6), st.integers(0, 128)),
    Path: PATHS,
    str: st.text(st.characters(exclude_categories=["Cs"])),
}.items():
    st.register_type_strategy(kind, strategy)

TYPES = pytest.mark.parametrize("cls", RESOURCE_TYPES)


@TYPES
@given(data=st.data())
def test_there_and_back(cls: type[Resource], data: st.DataObject) -> None:
    """By way of a text, as the record and the journal do it."""
    one = data.draw(st.from_type(cls))
    again = codec.decode(json.loads(codec.encode(one)))
    assert again == one
    assert codec.read(codec.encode(one).encode()) == one
    names = cls.__struct_fields__
    assert [type(getattr(again, name)) for name in names] == [type(getattr(one, name)) for name in names]


@TYPES
@given(data=st.data())
def test_a_field_that_is_not_written_gets_its_default(cls: type[Resource], data: st.DataObject) -> None:
    one = data.draw(st.from_type(cls))
    fields = [(name, default) for name, default in defaults(cls) if default is not NODEFAULT]
    written: dict[str, Any] = json.loads(codec.encode(one))
    for name, _ in fields:
        written.pop(name, None)
    read = codec.decode(written)
    assert all(getattr(read, name) == default for name, default in fields)
    assert not written.keys() & {name for name, _ in fields}


@pytest.mark.parametrize(
    "data",
    [{}, [], {"type": "Reservation", "mac": "", "address": "10.0.0.1", "name": ""}, {"type": "Nonsense"},
     {"type": "Bridge"},
     {"type": "Address", "link_key": "", "link": "", "interface": "10.0.0.256/8"}],
)  # fmt: skip
def test_what_is_no_resource(data: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        codec.decode(data)


def test_the_two_backends_do_not_mix() -> None:
    """A union is told apart by its `type`, not by which fields happen to fit."""
    assert json.loads(codec.encode(TapBackend("tap/a/0")))["type"] == "TapBackend"
    assert json.loads(codec.encode(UserBackend()))["type"] == "UserBackend"


@TYPES
@given(data=st.data())
def test_what_the_planner_relies_on(cls: type[Resource], data: st.DataObject) -> None:
    """A key made of FIXED fields alone (else a change would be another resource), and FIXED names fields."""
    one = data.draw(st.from_type(cls))
    fields = set(cls.__struct_fields__)
    assert fields >= cls.FIXED
    assert one.key not in (*one.needs, *one.within)
    other = data.draw(st.from_type(cls))
    changeable = {name: getattr(other, name) for name in fields - cls.FIXED}
    assert replace(one, **changeable).key == one.key


def test_a_path_that_is_no_text_is_refused_in_words() -> None:
    """Linux takes any bytes for a name; Python has those that are not UTF-8 as surrogates."""
    with pytest.raises(UsageError, match=r"`/srv/\\udcff.img` is not UTF-8"):
        codec.encode(Drive(Path("/srv/\udcff.img"), "raw"))

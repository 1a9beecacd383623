"""Resources to JSON and back, driven by their fields: a new resource needs nothing here.

A value becomes an object with its `type`; addresses and paths become strings; a tuple becomes an array.
What is as it is by default is left out.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Any

from msgspec import Raw
from msgspec.json import Encoder
from msgspec.json import decode as parse_json
from msgspec.json import format as format_json

from qlan.errors import UsageError
from qlan.resources import model
from qlan.resources.model import Resource
from qlan.values import Value, defaults

_TEXT_TYPES: tuple[type, ...] = (
    IPv4Interface,
    IPv4Address,
    IPv4Network,
    IPv6Interface,
    IPv6Address,
    IPv6Network,
    Path,
)
_AS_IT_IS = frozenset({str, int, bool, float, type(None), *_TEXT_TYPES})
_KEPT_MAX = 1 << 14  # pieces of JSON: enough for a lab of thousands of NICs, and an end for who watches one for weeks
_CLASSES: dict[str, type] = {cls.__name__: cls for cls in (*model.RESOURCE_TYPES, *model.PART_TYPES)}

Decoder = Callable[[Any], Any]


def encode(value: Any) -> str:
    """A resource, a part of one, or what holds some, as JSON.  UsageError: a path is not UTF-8, and so no text."""
    try:
        return _ENCODER.encode(_data(value)).decode()
    except UnicodeEncodeError as error:
        shown = error.object.encode(errors="backslashreplace").decode()
        raise UsageError(f"`{shown}` is not UTF-8", hint="rename it: what a lab is made of is kept as text") from error


def laid_out(value: Any) -> str:
    """The same for people to read, a line a value."""
    return format_json(_ENCODER.encode(_data(value)), indent=1).decode() + "\n"


def _data(value: Any) -> Any:
    """With objects of the fields that say something in place of values."""
    if type(value) in _AS_IT_IS:  # nearly all, and thousands of them
        return value
    if isinstance(value, Value):
        said = {"type": type(value).__name__}
        for name, default in _defaults(type(value)):
            field = getattr(value, name)
            if field != default:
                said[name] = _data(field)
        return said
    if isinstance(value, tuple | list):
        return [_data(item) for item in value]
    return {key: _data(item) for key, item in value.items()} if isinstance(value, dict) else value


def _as_text(value: object) -> str:
    if isinstance(value, _TEXT_TYPES):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} is not kept in files")


_defaults = cache(defaults)
_ENCODER = Encoder(enc_hook=_as_text)


def decode(data: dict[str, Any]) -> Resource:
    """The resource that `encode` wrote; ValueError (or KeyError, TypeError) if the data is none."""
    cls: Any = _CLASSES[data["type"]]
    if cls not in model.RESOURCE_TYPES:
        raise ValueError(f"{data['type']} is not a resource")
    return typing.cast("Resource", _value_decoder(cls)(data))


@lru_cache(_KEPT_MAX)
def read(text: bytes) -> Resource:
    """The same from a piece of JSON.  A lab's record and its guests' files say the same of a thousand NICs: once."""
    return decode(parse_json(text))


def find(data: Any) -> Resource | None:
    """The same of what a file has that anybody may have damaged; None: it is none that this version knows.

    data: a piece of JSON, or what is in it.
    """
    try:
        return read(bytes(data)) if isinstance(data, Raw) else decode(data)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def decode_part(data: dict[str, Any]) -> Any:
    """What only occurs inside a resource; ValueError (or KeyError, TypeError)."""
    return _value_decoder(_CLASSES[data["type"]])(data)


@cache
def _value_decoder(cls: Any) -> Decoder:
    hints = typing.get_type_hints(cls)
    names = cls.__struct_fields__
    decoders = [(name, decoder) for name in names if (decoder := _decoder(hints[name])) is not _as_it_is]

    def decode_fields(data: dict[str, Any]) -> Any:
        said = {name: data[name] for name in names if name in data}
        for name, decoder in decoders:
            if name in said:
                said[name] = decoder(said[name])
        return cls(**said)

    return decode_fields


@cache
def _decoder(hint: Any) -> Decoder:
    origin = typing.get_origin(hint)
    if origin is tuple:
        return _tuple_decoder(typing.get_args(hint))
    if origin in (types.UnionType, typing.Union):
        return _union_decoder([arg for arg in typing.get_args(hint) if arg is not types.NoneType])
    if isinstance(hint, type) and issubclass(hint, Value):
        return _value_decoder(typing.cast("type", hint))
    if hint in _TEXT_TYPES:
        return cache(typing.cast("Decoder", hint))  # a lab's record and its guests' files say the same addresses again
    return _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def _tuple_decoder(args: tuple[Any, ...]) -> Decoder:
    if len(args) == 2 and args[1] is Ellipsis:
        item = _decoder(args[0])
        return lambda values: tuple(item(value) for value in values)
    items = [_decoder(arg) for arg in args]
    return lambda values: tuple(decoder(value) for decoder, value in zip(items, values, strict=True))


def _union_decoder(members: list[Any]) -> Decoder:
    if len(members) == 1:
        one = _decoder(members[0])
        if one is _as_it_is:
            return one
        return lambda value: None if value is None else one(value)
    if all(member in _TEXT_TYPES for member in members):
        return cache(lambda value: None if value is None else _text_of(members, value))
    return lambda value: None if value is None else _value_decoder(_CLASSES[value["type"]])(value)


def _text_of(kinds: list[Any], value: str) -> Any:
    """An address of whichever family it is."""
    for kind in kinds:
        with suppress(ValueError):
            return kind(value)
    raise ValueError(f"{value!r} is none of {', '.join(kind.__name__ for kind in kinds)}")

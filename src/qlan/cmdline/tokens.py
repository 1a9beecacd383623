"""The inside of one argument: `key=value,...` (QemuOpts and keyval) and JSON, without loss.

QemuOpts (util/qemu-option.c): a comma inside a value is doubled; the first word may lack its key (`user,...` for
`type=user,...`); a key without `=` means `on`, and `no` before it means `off`; a key that repeats makes a list, or the
last one counts; `id` is picked out, the first one counts.  keyval (util/keyval.c, for `-netdev stream` and `dgram` and
for -object): dotted keys, no bare booleans.  JSON stands where the argument begins with `{`.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import Any

from qlan.values import Value, replace

_KEYVAL_KEY = re.compile(r"[a-zA-Z0-9_-]+(?:\.[a-zA-Z0-9_-]+)*", re.ASCII)
_SINGLE_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"|'((?:[^'\\]|\\.)*)'""")


class Spelling(StrEnum):
    """How a setting was written."""

    EQUALS = "equals"  # key=value
    IMPLIED = "implied"  # value, the key is understood
    ON = "on"  # key
    OFF = "off"  # nokey
    MEMBER = "member"  # in a list, in JSON
    NULL = "null"  # in JSON, where QEMU wants it nowhere


class Setting(Value):
    """One `key=value`.  start, value_start: offsets in the argument, from 0.  exact: JSON's own value, else None."""

    key: str
    value: str
    spelling: Spelling = Spelling.EQUALS
    start: int = 0
    value_start: int = 0
    exact: bool | int | float | None = None


class BadArgument(ValueError):
    """The argument is not of the language.  offset: where, from 0."""

    def __init__(self, what: str, offset: int, expected: str) -> None:
        super().__init__(what)
        self.offset = offset
        self.expected = expected


def split_settings(text: str, implied: str | None) -> tuple[Setting, ...]:
    """QemuOpts.  implied: the key of a first word without `=`; None where there is none."""
    found: list[Setting] = []
    at = 0
    while at < len(text):
        end = at
        while end < len(text) and text[end] not in "=,":
            end += 1
        if end < len(text) and text[end] == "=":
            value, after = _value(text, end + 1)
            found.append(Setting(text[at:end], value, Spelling.EQUALS, at, end + 1))
        elif implied is not None and not found:
            value, after = _value(text, at)
            found.append(Setting(implied, value, Spelling.IMPLIED, at, at))
        else:
            after = end
            word = text[at:end]
            if word.startswith("no"):
                found.append(Setting(word[2:], "off", Spelling.OFF, at, at))
            else:
                found.append(Setting(word, "on", Spelling.ON, at, at))
        at = after + 1
    return tuple(found)


def split_keyval(text: str, implied: str | None) -> tuple[Setting, ...]:
    """keyval.  Raises BadArgument."""
    found: list[Setting] = []
    at = 0
    while at < len(text):
        end = at
        while end < len(text) and text[end] not in "=,":
            end += 1
        key = text[at:end]
        if end < len(text) and text[end] == "=":
            if not _KEYVAL_KEY.fullmatch(key):
                raise BadArgument(f"{key!r} is not a key", at, "letters, digits, - _ and dots between")
            value, after = _value(text, end + 1)
            found.append(Setting(key, value, Spelling.EQUALS, at, end + 1))
        elif implied is not None and not found and key:
            value, after = _value(text, at)
            found.append(Setting(implied, value, Spelling.IMPLIED, at, at))
        else:
            raise BadArgument(f"{key!r} has no value", at, f"{key or 'key'}=value (a bare word does not mean on here)")
        at = after + 1
    return tuple(found)


def join_settings(settings: tuple[Setting, ...]) -> str:
    """The argument again: `split_settings(join_settings(x))` has the same keys, values and spellings."""
    words = [_word(setting) for setting in settings]
    text = ",".join(words)
    return text + "," if words and words[-1] == "" else text


def split_json(text: str) -> tuple[Setting, ...]:
    """A JSON object as settings: nested keys are dotted, list members repeat.  Raises BadArgument."""
    try:
        root = json.loads(_double_quoted(text), object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise BadArgument(f"not JSON: {error.msg}", error.pos, "a JSON object") from None
    except (ValueError, RecursionError) as error:
        raise BadArgument(f"not JSON: {error}", 0, "a JSON object") from None
    return tuple(_flat(root, ""))


def join_json(settings: tuple[Setting, ...], lists: frozenset[str]) -> str:
    """A JSON object of these settings.  lists: keys whose values are lists of {"str": ...}."""
    root: dict[str, Any] = {}
    for setting in settings:
        *parents, last = setting.key.split(".")
        place = root
        for parent in parents:
            place = place.setdefault(parent, {})
        value = None if setting.spelling is Spelling.NULL else setting.value if setting.exact is None else setting.exact
        if setting.key in lists or setting.spelling is Spelling.MEMBER:
            place.setdefault(last, []).append({"str": value})
        else:
            place[last] = value
    return json.dumps(root)


def last_value(settings: tuple[Setting, ...], key: str) -> str | None:
    """QEMU takes the last of several."""
    return next((setting.value for setting in reversed(settings) if setting.key == key), None)


def first_value(settings: tuple[Setting, ...], key: str) -> str | None:
    """For `id`, QEMU takes the first of several."""
    return next((setting.value for setting in settings if setting.key == key), None)


def with_value(setting: Setting, value: str) -> Setting:
    """The setting with another value, spelled so that it can hold it."""
    spelling = Spelling.EQUALS if setting.spelling in (Spelling.ON, Spelling.OFF) else setting.spelling
    return replace(setting, value=value, spelling=spelling, exact=None)


def _value(text: str, at: int) -> tuple[str, int]:
    """The value that begins at `at`, and where the single comma or the end after it is."""
    end = at
    while True:
        comma = text.find(",", end)
        if comma < 0:
            return text[at:].replace(",,", ","), len(text)
        if text[comma : comma + 2] == ",,":
            end = comma + 2
            continue
        return text[at:comma].replace(",,", ","), comma


def _word(setting: Setting) -> str:
    escaped = setting.value.replace(",", ",,")
    match setting.spelling:
        case Spelling.IMPLIED if "=" not in setting.value:
            return escaped
        case Spelling.ON:
            return setting.key
        case Spelling.OFF:
            return "no" + setting.key
    return f"{setting.key}={escaped}"


def _double_quoted(text: str) -> str:
    """QEMU's JSON takes strings in single quotes too."""

    def change(hit: re.Match[str]) -> str:
        if hit[0][0] == '"':
            return hit[0]
        return '"' + hit[1].replace('"', '\\"').replace("\\'", "'") + '"'

    return _SINGLE_QUOTED.sub(change, text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key!r} is there twice")
        found[key] = value
    return found


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no value")


def _flat(node: Any, key: str) -> list[Setting]:
    if isinstance(node, dict):
        if key and not node:
            return [Setting(key, "{}")]
        return [item for name, child in node.items() for item in _flat(child, f"{key}.{name}" if key else name)]
    if isinstance(node, list):
        return [item for child in node for item in _flat_member(child, key)]
    if isinstance(node, bool):
        return [Setting(key, "on" if node else "off", exact=node)]
    if isinstance(node, int | float):
        return [Setting(key, str(node), exact=node)]
    return [Setting(key, node) if isinstance(node, str) else Setting(key, "null", Spelling.NULL)]


def _flat_member(child: Any, key: str) -> list[Setting]:
    """A member of a list of {"str": ...} is that string; any other member keeps its own keys."""
    if isinstance(child, dict) and list(child) == ["str"] and isinstance(child["str"], str):
        return [Setting(key, child["str"], Spelling.MEMBER)]
    return _flat(child, key + "[]")

"""What verbs print beside tables: JSON of values, durations, plurals."""

from __future__ import annotations

import json
from typing import Any

from qlan.values import Struct


def print_json(data: object) -> None:
    """One JSON document on standard output."""
    print(json.dumps(plain(data), indent=1))


def plain(data: Any) -> Any:
    """Values as objects, tuples as arrays, addresses and paths as strings."""
    if isinstance(data, Struct):
        return {name: plain(getattr(data, name)) for name in data.__struct_fields__}
    if isinstance(data, dict):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [plain(item) for item in data]
    return data if isinstance(data, str | int | float | bool | None) else str(data)


def duration(time_s: float) -> str:
    """`0.4 s`, `12 s`, `3 min`, `2 h`, `5 d`."""
    if time_s < 10:
        return f"{time_s:.1f} s"
    for limit_s, unit_s, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if time_s < limit_s:
            return f"{time_s / unit_s:.0f} {unit}"
    return f"{time_s / 86400:.0f} d"


def count(number: int, noun: str) -> str:
    """`1 guest`, `2 guests`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

"""What the program passes around: values, which never change and are equal if they hold the same.

They are msgspec's structs and no dataclasses: such a class is made in a thirtieth of the time, an instance in a tenth,
and a short command makes a hundred classes before it begins (docs/decisions/values.md).  What may change is a Struct.
"""

from __future__ import annotations

from typing import Any, ClassVar, dataclass_transform

from msgspec import NODEFAULT, Struct, field
from msgspec.structs import force_setattr, replace

__all__ = ["NODEFAULT", "Partly", "Struct", "Value", "asdict", "defaults", "field", "fill_in", "replace"]

fill_in = force_setattr  # for a __post_init__: what is worked out of the other fields


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Value(Struct, frozen=True):
    """The base of all of them.  UNCOMPARED: fields in which two may differ and are equal all the same."""

    UNCOMPARED: ClassVar[frozenset[str]] = frozenset()


class Partly(Value):
    """One with fields that are UNCOMPARED: places in a file, what changes by itself."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(self._compared())

    def is_same(self, other: Partly) -> bool:
        """Whether they are equal in those fields as well."""
        return self == other and all(getattr(self, name) == getattr(other, name) for name in self.UNCOMPARED)

    def _compared(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self.__struct_fields__ if name not in self.UNCOMPARED])


def defaults(kind: type[Struct]) -> list[tuple[str, Any]]:
    """The fields with their defaults, NODEFAULT for those that must be said (or are made anew each time)."""
    names, known = kind.__struct_fields__, kind.__struct_defaults__
    return list(zip(names, (NODEFAULT,) * (len(names) - len(known)) + known, strict=True))


def asdict(value: Any) -> Any:
    """A value as a dict, with all values within it."""
    if isinstance(value, Struct):
        return {name: asdict(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple | list):
        return type(value)(map(asdict, value))
    return {key: asdict(inner) for key, inner in value.items()} if isinstance(value, dict) else value

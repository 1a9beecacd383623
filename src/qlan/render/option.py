"""One value of QEMU's option language: `type,key=value,...` with commas in values doubled."""

from __future__ import annotations


class Option:
    """`Option("tap", id="net0", fd=5)` is `tap,id=net0,fd=5`; pairs keep their order and may repeat."""

    def __init__(self, first: str = "", /, **pairs: object) -> None:
        self._words = [escape(first)] if first else []
        self.add(**pairs)

    def add(self, **pairs: object) -> None:
        """More pairs; a None is left out."""
        self._words += [f"{key}={escape(str(value))}" for key, value in pairs.items() if value is not None]

    def __str__(self) -> str:
        return ",".join(self._words)


def escape(value: str) -> str:
    """A comma doubled, as QEMU wants it."""
    return value.replace(",", ",,")

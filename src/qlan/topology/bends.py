"""What is done to a lab that is up to see how its guests take it: bad links, and guests that do not hear each other.

It is no part of the file, and stays until it is taken back: a guest that is started anew, and `up` of an edited file,
find it again.
"""

from __future__ import annotations

from qlan.values import Value

WAYS = ("in", "out")  # as the guest sees it


class Impairment(Value):
    """One direction of a NIC made worse.  direction: one of WAYS.  rate_bps: 0: as the file says.

    ..._ppm: of a million frames.
    """

    guest: str
    nic: int
    direction: str
    rate_bps: int = 0
    delay_us: int = 0
    jitter_us: int = 0
    loss_ppm: int = 0
    duplicate_ppm: int = 0
    corrupt_ppm: int = 0
    reorder_ppm: int = 0

    @property
    def settings(self) -> dict[str, int]:
        """What it does, by field: those that are not 0."""
        return {name: value for name in SETTINGS if (value := getattr(self, name))}

    def __str__(self) -> str:
        said = ", ".join(f"{name.partition('_')[0]} {_words(name, value)}" for name, value in self.settings.items())
        return f"{self.guest}/{self.nic} {self.direction}: {said}"


SETTINGS = tuple(name for name in Impairment.__struct_fields__ if name not in ("guest", "nic", "direction"))


class Bends(Value):
    """All of a lab.  sides: guests, of which those of one side do not hear those of another; none: all hear all."""

    impairments: tuple[Impairment, ...] = ()
    sides: tuple[tuple[str, ...], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.impairments or self.sides)

    @property
    def lines(self) -> tuple[str, ...]:
        """In words, a line each."""
        said = map(str, self.impairments)
        return (*said, f"partition: {in_words(self.sides)}") if self.sides else tuple(said)


def in_words(sides: tuple[tuple[str, ...], ...]) -> str:
    """As they are typed: `web,db / cache`."""
    return " / ".join(",".join(side) for side in sides)


def _words(name: str, value: int) -> str:
    if name.endswith("_ppm"):
        return f"{value / 10_000:g}%"
    if name.endswith("_bps"):
        scale, unit = next((s, u) for s, u in ((10**9, "gbit"), (10**6, "mbit"), (10**3, "kbit")) if value >= s)
        return f"{value / scale:g}{unit}"
    return f"{value / 1000:g}ms" if value >= 1000 else f"{value}us"

"""Series of times of two programs that were run in turns, and what they say."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Run = Callable[[], float]  # runs something once, makes sure that it worked, and returns what it cost


class Failed(Exception):
    """What was to be measured did not work, so it has no time."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One comparison.  limit: what the median of the pairwise ratios (ours / theirs) may be at most.

    is_rate: more is better; then the ratio is theirs / ours: again how much more qlan costs.
    """

    row: str
    what: str
    peer: str
    unit: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    limit: float | None = None
    is_rate: bool = False

    @property
    def ratio(self) -> float:
        """The median of the ratios of each pair: load that comes and goes hits both of a pair."""
        pairs = zip(self.ours, self.theirs, strict=True)
        if self.is_rate:
            pairs = zip(self.theirs, self.ours, strict=True)
        return statistics.median(_times(a, b) for a, b in pairs)

    @property
    def is_met(self) -> bool:
        return self.limit is None or self.ratio <= self.limit


def _times(ours: float, theirs: float) -> float:
    if ours == theirs:
        return 1.0
    return ours / theirs if theirs else float("inf")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What could not be measured here, and why."""

    row: str
    what: str
    why: str


@dataclass(slots=True)
class Results:
    """What came out; shown as it comes by `tell`."""

    tell: Callable[[Measured | LeftOut], None]
    measured: list[Measured] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def add(self, one: Measured | LeftOut) -> None:
        (self.measured if isinstance(one, Measured) else self.left_out).append(one)  # type: ignore[arg-type]
        self.tell(one)


def in_turns(ours: Run, theirs: Run, pairs: int, settle: Callable[[], None]) -> tuple[list[float], list[float]]:
    """A B A B; whatever the first run of each has to load is loaded before."""
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(pairs + (pairs > 1)):
        for series, run in zip(found, (ours, theirs), strict=True):
            cost = run()
            settle()
            if number or pairs == 1:
                series.append(cost)
    return found


def took_s(argv: Sequence[str], environment: Mapping[str, str] | None = None, cwd: str | None = None) -> float:
    """How long a program took from its start to its end.  Failed if it did not end well."""
    start = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=cwd, check=False, timeout=600)
    cost = time.perf_counter() - start
    if done.returncode:
        raise Failed(f"{' '.join(argv)[:200]}: exit status {done.returncode}: {done.stderr.strip()[-500:]}")
    return cost


def settle() -> None:
    """Wait until the kernel is done with links that were removed: until then it makes others wait."""
    quick = 0
    for _ in range(200):
        start = time.perf_counter()
        subprocess.run(["ip", "link", "show", "lo"], stdout=subprocess.DEVNULL, check=True, env={**os.environ})
        quick = quick + 1 if time.perf_counter() - start < 0.05 else 0
        if quick == 2:
            return

"""What a row is given: places, peers, how much to do, and where results go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bench.libvirt import Libvirt
from bench.measure import Failed, LeftOut, Measured, Results, Run, in_turns, settle
from bench.place import Place
from bench.world import World

if TYPE_CHECKING:
    from bench.wirings import Wired

CONTROL_PAIRS = 15
GUEST_PAIRS = 5
QUICK_PAIRS = 1


@dataclass(slots=True)
class Session:
    """quick: the smallest size, once.

    libvirt: its daemon, world: what guests are booted in, wired: guests that several rows measure; or why there is
    none.
    """

    places: dict[str, Place]
    missing: dict[str, str]
    libvirt: Callable[[], Libvirt | str]
    results: Results
    quick: bool
    row: str = ""
    world: Callable[[], World | str] = lambda: "nobody made one"
    wired: Callable[[], Mapping[str, Wired] | str] = lambda: "nobody made any"

    def realms(self, what: str) -> Iterator[Place]:
        """The places that can be had; for the others it is said that `what` is left out."""
        for realm in ("rootless", "host"):
            if realm in self.places:
                yield self.places[realm]
            else:
                self.leave_out(f"{what}, {realm}", self.missing[realm])

    def place(self, what: str) -> Place | None:
        """Any one of them."""
        found = next(iter(self.places.values()), None)
        if found is None:
            self.leave_out(what, "; ".join(self.missing.values()))
        return found

    def leave_out(self, what: str, why: str) -> None:
        self.results.add(LeftOut(self.row, what, why))

    def pairs(self, full: int = CONTROL_PAIRS) -> int:
        return QUICK_PAIRS if self.quick else full

    def compare(self, what: str, ours: Run, peer: tuple[str, Run], limit: float | None = None,
                pairs: int = CONTROL_PAIRS) -> None:  # fmt: skip
        """Both in turns; what did not work is left out with what it said."""
        name, theirs = peer
        with self.no_time_for_failures(f"{what} beside {name}"):
            a, b = in_turns(ours, theirs, self.pairs(pairs), settle)
            self.results.add(Measured(self.row, what, name, "s", tuple(a), tuple(b), limit))

    def series(self, what: str, peer: str, unit: str, pairs: Sequence[tuple[float, float]],
               limit: float | None = None) -> None:  # fmt: skip
        """Pairs that were measured beside something else."""
        ours, theirs = zip(*pairs, strict=True)
        self.results.add(Measured(self.row, what, peer, unit, ours, theirs, limit))

    def rounds(self, runs: Mapping[str, Run], full: int = GUEST_PAIRS) -> dict[str, tuple[float, ...]]:
        """All in turns, A B C A B C; the first round is for the caches.  What fails once is left out from then on."""
        found: dict[str, list[float]] = {name: [] for name in runs}
        count = self.pairs(full)
        for number in range(count + (count > 1)):
            for name in list(found):
                with self.no_time_for_failures(name):
                    cost = runs[name]()
                    if number or count == 1:
                        found[name].append(cost)
                    continue
                del found[name]
        return {name: tuple(costs) for name, costs in found.items()}

    def pair(self, what: str, found: Mapping[str, Sequence[float]], names: tuple[str, str], *, unit: str = "s",
             limit: float | None = None, is_rate: bool = False) -> None:  # fmt: skip
        """Two of `rounds` beside each other, if both worked.  names: ours, theirs."""
        if all(found.get(name) for name in names):
            ours, theirs = (tuple(found[name]) for name in names)
            self.results.add(Measured(self.row, what, names[1], unit, ours, theirs, limit, is_rate))

    def figure(self, what: str, peer: str, unit: str, values: tuple[float, float], limit: float | None = None) -> None:
        """Two numbers that need no repetition."""
        self.series(what, peer, unit, [values], limit)

    def against_libvirt(self, what: str, ours: Run, theirs: Callable[[Libvirt], float], limit: float | None = None,
                        pairs: int = CONTROL_PAIRS) -> None:  # fmt: skip
        """Beside libvirt, if its daemon can be had."""
        daemon = self.libvirt()
        if isinstance(daemon, str):
            self.leave_out(f"{what} beside libvirt", daemon)
        else:
            self.compare(what, ours, ("virsh", partial(theirs, daemon)), limit, pairs)

    @contextmanager
    def no_time_for_failures(self, what: str) -> Iterator[None]:
        """What fails is no result, and never ends the other rows."""
        try:
            yield
        except Failed as failure:
            self.leave_out(what, f"FAILED: {failure}")

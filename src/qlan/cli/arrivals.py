"""Waiting until guests have their network, and saying how long each took."""

from __future__ import annotations

import time
from collections.abc import Iterable

from qlan.cli.progress import Progress
from qlan.host.leases import Arrival
from qlan.lab import Lab
from qlan.planning.plan import Action, Plan
from qlan.resources.model import Machine, Nic

TIMEOUT_S = 120.0


class Arrivals:
    """Prints a guest's line when all its NICs are there.  start_s: time.monotonic() when the command began."""

    def __init__(self, guests: Iterable[str], nics: Iterable[tuple[str, int]], start_s: float, *, quiet: bool) -> None:
        self.guests: dict[str, list[Arrival]] = {guest: [] for guest in guests}
        self.took_s: dict[str, float] = {}
        self._left = {guest: {index for name, index in nics if name == guest} for guest in self.guests}
        self._start_s = start_s
        self._quiet = quiet

    def seen(self, arrival: Arrival, progress: Progress) -> None:
        """A NIC has its network."""
        self.guests[arrival.guest].append(arrival)
        self._left[arrival.guest].discard(arrival.nic)
        if self._left[arrival.guest]:
            return
        self.took_s[arrival.guest] = time.monotonic() - self._start_s
        if not self._quiet:
            progress.clear()
            print(f"{arrival.guest}: {self._networks(arrival.guest)}, {self.took_s[arrival.guest]:.1f} s", flush=True)
        left = [guest for guest, nics in self._left.items() if nics]
        if left and not self._quiet:
            progress.line(f"waiting for the network of {', '.join(left)}")

    def say_bare(self) -> None:
        """The guests that have no NIC to wait for."""
        for guest, nics in self.guests.items():
            if not nics and not self._quiet:
                print(f"{guest}: no NIC")

    def data(self) -> list[dict[str, object]]:
        """For JSON: a row a guest."""
        return [{"guest": guest, "took_s": round(self.took_s[guest], 3) if guest in self.took_s else None,
                 "nics": [{"nic": one.nic, "network": one.network, "address": one.address} for one in nics]}
                for guest, nics in self.guests.items()]  # fmt: skip

    def _networks(self, guest: str) -> str:
        nics = sorted(self.guests[guest], key=lambda one: one.nic)
        return ", ".join(f"{one.network} {one.address or 'up'}" for one in nics)


def started(plan: Plan) -> list[str]:
    """The guests that a plan started."""
    return [step.after.guest for step in plan.steps
            if step.action is Action.CREATE and isinstance(step.after, Machine)]  # fmt: skip


def wait(lab: Lab, plan: Plan, start_s: float, *, time_limit_s: float, progress: Progress, quiet: bool) -> Arrivals:
    """Wait for the guests that the plan started.  NotInTime, GuestFailed."""
    guests = started(plan)
    nics = [(step.after.guest, step.after.index) for step in plan.steps if isinstance(step.after, Nic)]
    arrivals = Arrivals(guests, nics, start_s, quiet=quiet)
    if guests:
        stays = "the lab stays up, but not all of its guests have their network yet"
        with progress.shown(f"waiting for the network of {', '.join(guests)}", when_interrupted=stays):
            lab.wait(guests, time_limit_s=time_limit_s, seen=lambda one: arrivals.seen(one, progress))
    arrivals.say_bare()
    return arrivals

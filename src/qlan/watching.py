"""What happens to a lab while one looks on: guests that end, leases, changes from outside and their repair.

Theory of operation: sleep until there is a sign (host/signs.py), or a lease file or the record was written, or five
seconds have passed; then read the lab as `status` does and tell what differs from the last time.  Nothing is read while
another qlan changes the lab, so half-done work is never reported, let alone repaired.

What was repaired and is broken again three times within a minute is left alone for a minute: somebody else wants it
otherwise, and two programs that undo each other's work help nobody.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from qlan import journal
from qlan.errors import QlanError
from qlan.host import present
from qlan.host.leases import Lease
from qlan.host.namespace import find_holder
from qlan.host.packet import RESOLVERS
from qlan.host.signs import Signs
from qlan.lab import Lab
from qlan.planning import scope
from qlan.planning.plan import Action, Step, plan
from qlan.qmp.events import Ear
from qlan.realm import Realm
from qlan.resources.model import Adopted, Dnsmasq, Machine, Namespace, Nic, Pasta, Resource, Resources
from qlan.status import all_leases
from qlan.values import Struct, Value, field, replace

_TICK_S, _READ_AT_LEAST_S, _BUSY_S = 0.5, 5.0, 0.1
_REPAIRS_MAX, _REPAIRS_WITHIN_S = 3, 60.0


class Event(Value):
    """One thing that happened.

    what: `drift` (something is not as it was wanted), `mended` (it is again), `repaired` (by us), `failed` (repairing
    did), `left` (we do not repair it, or not any more), `guest-up`, `guest-down`, `qemu` (what a guest's QEMU tells:
    QMP's events), `lease`, `lease-end`, `changed` (by qlan) or `down` (the lab).  key: the resource's, or the guest's
    name.  time_s: seconds since the epoch.
    """

    time_s: float
    lab: str
    what: str
    key: str
    text: str


class _View(Value):
    """The lab at one moment.  drift: step by key; pids: by guest; leases: by (network, MAC).

    stamps: when the files that tell of changes had been written before it was read.
    """

    wanted: Resources
    drift: Mapping[str, str]
    pids: Mapping[str, int]
    leases: Mapping[tuple[str, str], Lease]
    stamps: Sequence[int] = ()


class Watch(Struct):
    """Looks on until the lab is down.  repair: put back what others change."""

    lab: Lab
    repair: bool = False
    _repairs: dict[str, deque[float]] = field(default_factory=dict)
    _left: dict[str, float] = field(default_factory=dict)
    _waiting: set[str] = field(default_factory=set)
    _ears: dict[str, Ear] = field(default_factory=dict)
    _signs: Signs | None = None
    _listening: tuple[Sequence[int | None], ...] = ()

    def events(self, *, tick_s: float | None = None) -> Iterator[Event | None]:
        """What happens, as it happens; None when nothing did for tick_s (None: never that).

        The first ones tell what is wrong already.
        """
        try:
            yield from self._events(tick_s)
        finally:
            for ear in self._ears.values():
                ear.close()
            if self._signs:
                self._signs.close()

    def _events(self, tick_s: float | None) -> Iterator[Event | None]:
        seen = _View({}, {}, {}, {})
        first = True
        while self.lab.is_up:
            view = self._read()
            if view is None:
                continue
            yield from self._heard(view)
            yield from [] if first else self._differences(seen, view)
            yield from self._drift({} if first else seen.drift, view.drift)
            seen, first = view, False
            if self.repair and (again := (yield from self._to_repair())):
                done = yield from self._repaired(again)
                seen = replace(view, drift={key: words for key, words in view.drift.items() if key not in done})
                continue
            yield from self._sleep(view, tick_s)
        yield from self._heard(_View({}, {}, {}, {}))
        yield self._event("down", self.lab.name, "the lab is down")

    # --- looking

    def _read(self) -> _View | None:
        """What is there; None while it is being changed, or just went."""
        if journal.is_held(self.lab.layout.lock):
            time.sleep(_BUSY_S)
            return None
        layout = self.lab.layout
        record = self.lab.record
        stamps = self._stamps(record.wanted if record else {})
        known, there = self.lab.read()
        if journal.is_held(layout.lock) or not self.lab.is_up:
            return None
        guests = scope.guest_names({**there, **known})
        pids = {guest: pid for guest in guests if (pid := present.find_machine(layout, guest)) is not None}
        leases = {(network, mac): lease for network, found in all_leases(layout, known).items()
                  for mac, lease in found.items()}  # fmt: skip
        steps = [
            step
            for step in plan(known, there).steps
            if isinstance(step.resource, Machine | Adopted) or scope.guest_of(step.resource) in (None, *pids)
        ]
        return _View(known, _differing(steps), pids, leases, stamps)

    def _sleep(self, view: _View, tick_s: float | None) -> Iterator[None]:
        """Until there is something to read."""
        layout = self.lab.layout
        holders = [find_holder(layout, one.key) for one in view.wanted.values() if isinstance(one, Namespace)]
        known = [pid for pid in holders if pid is not None]
        pids = [*known, *view.pids.values(), *present.find_daemons(layout, view.wanted.values())]
        begun, signs = time.monotonic(), self._listen([*known, *([None] if self.lab.realm is Realm.HOST else [])], pids)
        while signs and time.monotonic() - begun < _READ_AT_LEAST_S:
            if signs.wait(_TICK_S if tick_s is None else min(tick_s, _TICK_S)):
                return
            if self._stamps(view.wanted) != view.stamps:
                return
            if tick_s is not None:
                yield None

    def _listen(self, holders: Sequence[int | None], pids: Sequence[int]) -> Signs | None:
        """The signs, which are listened for since before the lab was read; None: only from now on, so read it again."""
        others = [ear.fileno() for ear in self._ears.values()]
        to = (holders, pids, others)
        if self._signs and to == self._listening:
            return self._signs
        if self._signs:
            self._signs.close()
            self._signs = None
        with suppress(OSError):  # a namespace went just now
            self._signs = Signs(holders, pids, others)
            self._listening = to
        return None

    def _stamps(self, wanted: Mapping[str, Resource]) -> list[int]:
        """When the record, the leases and the list of name servers were written last."""
        layout = self.lab.layout
        found = []
        resolvers = [RESOLVERS] if any(isinstance(one, Pasta) for one in wanted.values()) else []
        for path in [layout.record, *resolvers, *(layout.leases(network) for network in _served(wanted))]:
            with suppress(OSError):
                found.append(path.stat().st_mtime_ns)
        return found

    # --- telling

    def _heard(self, view: _View) -> Iterator[Event]:
        """What the guests' QEMUs said, of which those that ended say the reason; then listen to the new ones."""
        for guest, ear in list(self._ears.items()):
            for said in ear.heard():
                at, data = said["timestamp"], said.get("data", {})
                more = f" ({', '.join(f'{key}: {json.dumps(value)}' for key, value in data.items())})" if data else ""
                time_s = at["seconds"] + at["microseconds"] / 1e6
                yield Event(time_s, self.lab.name, "qemu", guest, f"{guest}: {said['event']}{more}")
            if not ear.open:
                del self._ears[guest]
        for guest in view.pids.keys() - self._ears.keys():
            with suppress(OSError):  # an adopted one has no such monitor; one that starts has none yet
                self._ears[guest] = Ear(self.lab.layout.events(guest))

    def _differences(self, before: _View, after: _View) -> Iterator[Event]:
        guests = dict.fromkeys([*before.pids, *after.pids])
        for guest in guests:
            was, now = before.pids.get(guest), after.pids.get(guest)
            if was != now and was is not None:
                yield self._event("guest-down", guest, f"{guest} ended (process {was})")
            if was != now and now is not None:
                yield self._event("guest-up", guest, f"{guest} runs (process {now})")
        yield from self._leases(before, after)
        for key in [*(key for key in before.wanted if key not in after.wanted)]:
            yield self._event("changed", key, f"{key} is not wanted any more")
        for key, one in after.wanted.items():
            if key not in before.wanted:
                yield self._event("changed", key, f"{key} is wanted now")
            elif before.wanted[key] != one:
                yield self._event("changed", key, f"{key} is wanted otherwise")

    def _leases(self, before: _View, after: _View) -> Iterator[Event]:
        names = {one.mac: f"{one.guest}/{one.index}" for one in after.wanted.values() if isinstance(one, Nic)}
        for at, lease in after.leases.items():
            old = before.leases.get(at)
            if old is None or old.address != lease.address:
                name = names.get(lease.mac, lease.mac)
                yield self._event("lease", name, f"{name} has {lease.address} on {at[0]}")
        for at, lease in before.leases.items():
            if at not in after.leases:
                name = names.get(lease.mac, lease.mac)
                yield self._event("lease-end", name, f"{name} no longer has {lease.address} on {at[0]}")

    def _drift(self, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Event]:
        for key, words in after.items():
            if before.get(key) != words:
                yield self._event("drift", key, f"{key} {words}")
        for key in before:
            if key not in after:
                yield self._event("mended", key, f"{key} is as it was wanted again")

    def _event(self, what: str, key: str, words: str) -> Event:
        return Event(time.time(), self.lab.name, what, key, words)

    # --- repairing

    def _to_repair(self) -> Generator[Event, None, list[str]]:
        """Returns the keys that can be put back without touching a guest's process, and are not left alone."""
        known, there = self.lab.read()
        waiting = scope.to_restart(plan(known, there), known, there)
        for guest, keys in waiting.items():
            if guest not in self._waiting:
                words = f"guest {guest} would have to be restarted for {', '.join(keys)}: `qlan up` does that"
                yield self._event("left", keys[0], words)
        self._waiting = set(waiting)
        now = time.monotonic()
        self._left = {key: since for key, since in self._left.items() if now - since < _REPAIRS_WITHIN_S}
        todo = [step.key for step in plan(scope.for_repair(known, there), there).steps]
        return [] if any(key in self._left for key in todo) else todo

    def _repaired(self, keys: list[str]) -> Generator[Event, None, set[str]]:
        """Returns the keys of what was put back."""
        now = time.monotonic()
        for key in keys:
            times = self._repairs.setdefault(key, deque(maxlen=_REPAIRS_MAX))
            if len(times) == _REPAIRS_MAX and now - times[0] < _REPAIRS_WITHIN_S:
                self._left[key] = now
                times.clear()
                words = (f"{key} was put back {_REPAIRS_MAX} times within a minute and is gone again: "
                         "something else on this machine takes it away; left alone for a minute")  # fmt: skip
                yield self._event("left", key, words)
                return set()
            times.append(now)
        try:
            done = self.lab.repair()
        except QlanError as error:
            yield self._event("failed", keys[0], f"cannot be put back: {error}".splitlines()[0])
            self._left[keys[0]] = now
            return set()
        for key in dict.fromkeys(step.key for step in done.steps):
            yield self._event("repaired", key, f"{key} is put back")
        return {step.key for step in done.steps}


def _differing(steps: Iterable[Step]) -> dict[str, str]:
    """Key to what is wrong with it, in words that follow the key."""
    found: dict[str, str] = {}
    for step in steps:
        if step.action is Action.CHANGE:
            words = ", ".join(
                f"{name} {old or 'nothing'} instead of {new}" for name, (old, new) in step.changes().items()
            )
            found[step.key] = f"differs: {words}"
        elif step.key in found:
            found[step.key] = "must be made anew"
        else:
            found[step.key] = "is missing" if step.action is Action.CREATE else "is not wanted"
    return found


def _served(resources: Mapping[str, Resource]) -> list[str]:
    return [one.network for one in resources.values() if isinstance(one, Dnsmasq)]

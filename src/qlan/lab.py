"""A lab: the only facade.  The command line, the web page and Python programs know nothing below it.

lab = Lab.load(Path("qlan.yaml"))
print(lab.plan())
lab.up()
lab.wait()
lab.down()
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from qlan import beside, journal, status
from qlan.errors import UsageError
from qlan.host import files, leases, present, user
from qlan.host.process import STOP_GRACE_S, uninterrupted
from qlan.journal import Record
from qlan.names import is_name, nearest
from qlan.planning import scope
from qlan.planning.plan import Plan, plan
from qlan.problems import TopologyError
from qlan.realm import Realm
from qlan.render.enter import REALM
from qlan.render.layout import Layout
from qlan.resources.model import LinkDns, PortForward, PublishedPort, Resource, Resources
from qlan.status import LabStatus
from qlan.values import Value, replace

if TYPE_CHECKING:  # what a change needs and `qlan status` does not is imported where it is used
    from qlan.apply import Progress
    from qlan.facts.machine import Facts
    from qlan.live import RealHost
    from qlan.topology.bends import Bends
    from qlan.topology.changes import Change
    from qlan.topology.model import Topology

LOCK_WAIT_S = 60.0


class UpReport(Value):
    """What `up` did.  postponed: guests that must be restarted for the change, with the keys that differ."""

    plan: Plan
    postponed: dict[str, list[str]]
    took_s: float


class Lab:
    """One topology on this machine.  Constructing it does nothing."""

    def __init__(self, layout: Layout, topology: Topology | None, *, digest: str = "") -> None:
        self.layout = layout
        self.topology = topology
        self.digest = digest
        self.lock_wait_s = LOCK_WAIT_S
        self.changes: tuple[Change, ...] | None = None  # by hand: in the topology, not in the file; None: as before
        self.bases: dict[str, str] = {}  # of guests that are changed by hand now: what the file says of them
        self.discard = False  # go back to the file, whatever was changed by hand
        self.bends: Bends | None = None  # that stay until they are taken back; None: as before

    # --- where a lab comes from

    @classmethod
    def load(cls, path: Path, *, realm: Realm | None = None, run_as: str | None = None) -> Lab:
        """From a file.  realm and run_as go before what the file says.  TopologyError."""
        from qlan.topology.load import load

        topology = load(path)
        topology = replace(topology, realm=realm or topology.realm, run_as=run_as or topology.run_as)
        return cls.of(topology, digest=journal.digest(path))

    @classmethod
    def of(cls, topology: Topology, *, digest: str = "") -> Lab:
        """From a topology made in Python."""
        return cls(user.layout(topology.lab), topology, digest=digest)

    @classmethod
    def named(cls, name: str) -> Lab:
        """A lab that is up, known by its name alone; UsageError if none of that name is."""
        layout = user.layout(name if is_name(name) else "x")
        if not is_name(name) or not layout.record.exists():
            known = journal.labs(layout)
            hint = f"did you mean `{near}`?" if (near := nearest(name, known)) else f"up now: {', '.join(known)}"
            raise UsageError(f"no lab `{name}` is up", hint=hint if known else "up now: none")
        return cls(layout, None)

    @classmethod
    def known(cls, name: str) -> Lab:
        """A lab that is up or was once (something was picked for it); UsageError."""
        layout = user.layout(name if is_name(name) else "x")
        return cls(layout, None) if is_name(name) and layout.picks.exists() else cls.named(name)

    @classmethod
    def of_source(cls, path: Path) -> Lab | None:
        """The lab that is up from this file; the file itself is not read."""
        layout = user.layout("x")
        name = journal.find_lab(layout, path.parent.resolve() / path.name)
        return cls(replace(layout, lab=name), None) if name else None

    @staticmethod
    def names() -> list[str]:
        """The labs of this user that are up."""
        return journal.labs(user.layout("x"))

    @property
    def name(self) -> str:
        return self.layout.lab

    @property
    def realm(self) -> Realm:
        """What the topology says, else what is up, else what fits the user."""
        if self.topology and self.topology.realm:
            return self.topology.realm
        return record.realm if (record := self.record) else user.default_realm()

    @property
    def record(self) -> Record | None:
        """What was wanted last; None if the lab is not up."""
        record = journal.read_record(self.layout)
        return beside.living(self.layout, record) if record and record.changes else record

    @property
    def is_up(self) -> bool:
        """Whether anything of it is there, or may be."""
        return self.layout.record.exists()

    @property
    def guests(self) -> list[str]:
        """Its guests' names: those that are up, else those of the topology."""
        if self.record is None and self.topology:
            return [guest.name for guest in self.topology.guests]
        return scope.guest_names(self._known)

    @property
    def networks(self) -> list[str]:
        """Its networks' names, likewise."""
        if self.record is None and self.topology:
            return [network.name for network in self.topology.networks]
        return scope.network_names(self._known)

    # --- questions

    def check_guest(self, guest: str, *, running: bool = False) -> None:
        """UsageError, with the nearest name, if it has no such guest, or if that does not run and should."""
        scope.check_names([guest], self.guests)
        if running and self.find_pid(guest) is None:
            raise UsageError(f"guest `{guest}` is not running", hint=f"qlan up {guest}")

    def find_pid(self, guest: str) -> int | None:
        """The process of a guest's QEMU, or None if it does not run."""
        return present.find_machine(self.layout, guest)

    def inside(self) -> list[str]:
        """The words that run what follows them in the lab's own network namespace; none for the host realm.

        UsageError if it has no network (its guests use user-mode networking), HostError if the namespace is gone.
        """
        from qlan.host.namespace import inside
        from qlan.live import is_rootless

        if self.realm is Realm.HOST:
            return []
        if not is_rootless(self._known):
            hint = "its guests use user-mode networking: reach them by their forwards (`qlan status`)"
            raise UsageError(f"lab `{self.name}` has no network of its own to go into",
                             hint=hint if self.record else "`qlan up` first")  # fmt: skip
        return inside(self.layout, REALM)

    def plan(self, guests: Sequence[str] = ()) -> Plan:
        """What `up` would do; nothing is changed (but picks are remembered)."""
        wanted = self.wanted_for(guests)
        with self._host(wanted) as host:
            return plan(wanted, host.read())

    def script(self, guests: Sequence[str] = (), *, python: str) -> str:
        """The same as a shell script.  python: the interpreter that has qlan, which opens the TAPs."""
        from qlan.live import commands
        from qlan.planning import text
        from qlan.render.command import Write
        from qlan.render.scene import Scene
        from qlan.render.script import script

        wanted = self.wanted_for(guests)
        with self._host(wanted) as host:
            wanted, _, again, postponed = self._at_once(wanted, there := host.read())
            todo = plan(wanted, there, replace=again)
            head = Write(self.layout.record, journal.record_text(self._record_of(wanted)))
            lines = [head, *commands(todo.steps, Scene(self.layout, wanted, host.rootless))]
        said = [*text.lines(todo), *(f"{guest} waits for `qlan up --restart`" for guest in postponed)]
        return script(lines, self.layout, rootless=host.rootless, plan=said, python=python)

    @cached_property
    def wanted(self) -> Resources:
        """What the topology means on this machine.  TopologyError with all problems, ConflictError, HostError."""
        from qlan.networks.published import Ways

        ways = Ways(self.facts.uplinks, self.facts.links_of, self.facts.uplinks6)
        return beside.with_held(self._expanded(), self.record, self.held, ways)

    @cached_property
    def held(self) -> beside.Held:
        """What was changed by hand and stays."""
        return beside.held(self.record, self.layout, self.topology, discard=self.discard)

    def _read_again(self, record: Record | None) -> None:
        """Forget what is known if meanwhile something was changed by hand."""
        if self.changes is None and beside.held(record, self.layout, self.topology, discard=self.discard) != self.held:
            for name in ("held", "facts", "wanted"):
                self.__dict__.pop(name, None)

    def _expanded(self) -> Resources:
        from qlan.meaning import find_wanted

        return find_wanted(self._topology(), self.facts, self.realm, self.layout, wait_s=self.lock_wait_s)

    @cached_property
    def facts(self) -> Facts:
        """What this machine can do for the topology."""
        from qlan.host.probe import probe

        topology = self._topology()
        user.check_realm(self.realm)
        starts = any(one.found is None for one in topology.guests)
        run_as = user.find_invoking_uid(topology.run_as, for_guests=starts) if self.realm is Realm.HOST else None
        lost = not self._known and self.layout.run.exists()  # then what is there tells which ports are its own
        held = (self.read()[1] if lost else self._known).values()
        own = [one for one in held if isinstance(one, PortForward | PublishedPort)]
        found = probe(topology, own_forwards=own, run_as=run_as)
        return replace(found, resolved=True) if any(isinstance(one, LinkDns) for one in held) else found

    def read(self) -> tuple[Resources, Resources]:
        """(wanted last, present now), both by key."""
        known = self._known
        return known, present.read(self.layout, known, journal.read_intents(self.layout))

    def status(self) -> LabStatus:
        """Guests, NICs, addresses, forwards, and what differs from what was wanted last."""
        with present.reading(self.layout):
            record = self.record
            wanted = record.wanted if record else {}
            there = present.read(self.layout, wanted, journal.read_intents(self.layout))
        pids = present.find_machines(self.layout, scope.guest_names({**there, **wanted}))
        realm = record.realm if record else self.realm
        return LabStatus(
            self.name,
            realm.value,
            record.source if record else None,
            status.guests(self.layout, wanted, there, pids),
            status.drift(wanted, there) if record else (f"! {self.layout.record} is not readable",),
            journal.is_edited(self.layout, record),
            beside.unsaved(record) if record else (),
            beside.by_hand(record) if record else (),
            record.bends.lines if record and record.bends else (),
        )

    # --- changes

    def up(
        self,
        guests: Sequence[str] = (),
        *,
        restart: bool = False,
        progress: Progress | None = None,
        grace_s: float = STOP_GRACE_S,
    ) -> UpReport:
        """Make it so.  guests: only these and what they need; restart: also where a running guest must be restarted."""
        from qlan.apply import read_without
        from qlan.host import taken, tools

        start = time.monotonic()
        with self.locked(), present.reading(self.layout, self._known.values(), beside=taken.PROGRAMS):
            self._read_again(self.record)
            wanted = self.wanted_for(guests)
            self._same_lab(self.record)
            with self._host(wanted, grace_s=grace_s) as host:
                there = read_without(host, wanted)
                wanted, todo, again, postponed = self._at_once(wanted, there, restart=restart)
                tools.require(step.after for step in todo.steps if step.after is not None)
                done = self._apply(host, wanted, there, again=again, progress=progress)
        return UpReport(done, postponed, time.monotonic() - start)

    def down(
        self,
        guests: Sequence[str] = (),
        *,
        grace_s: float = STOP_GRACE_S,
        forget: bool = False,
        progress: Progress | None = None,
    ) -> Plan:
        """Take it back: all, or some guests.  grace_s: for guests to shut down.  forget: what was picked, too."""
        from qlan.apply import give_back

        with self.locked():
            before, known = self.record, self._known
            scope.check_guests(guests, known)
            with self._host({}, grace_s=grace_s) as host:
                there = give_back(host, host.read(), guests, grace_s)
                known = scope.given_back(known, scope.adopted(known, guests))
                self.held = beside.Held(before.changes, before.unsaved) if before else beside.Held()
                wanted = scope.for_down(known, guests) if guests else {}
                now = scope.without_others(guests, wanted, there)
                done = self._apply(host, now, there, progress=progress, record=self._record_of(wanted))
                if not wanted:
                    with uninterrupted():
                        host.forget()
            if forget:
                journal.forget_picks(self.layout, wait_s=self.lock_wait_s)
        return done

    def restart(
        self, guests: Sequence[str], *, grace_s: float = STOP_GRACE_S, progress: Progress | None = None
    ) -> Plan:
        """End these guests and start them again, as the file is now."""
        with self.locked(), present.reading(self.layout, self._known.values()):
            wanted = self.wanted_for(guests) if self.topology else self._known
            scope.check_ours(guests, wanted)
            again = frozenset(f"machine/{guest}" for guest in guests)
            with self._host(wanted, grace_s=grace_s) as host:
                now, record = scope.without_others(guests, wanted, there := host.read()), self._record_of(wanted)
                return self._apply(host, now, there, again=again, progress=progress, record=record)

    def repair(self) -> Plan:
        """Put back what somebody else changed since the last `up`; no guest is started or restarted by it."""
        from qlan.apply import apply

        with self.locked():
            known, there = self.read()
            wanted = scope.for_repair(known, there)
            with self._host(wanted) as host:
                done = apply(wanted, host, before=there)
            journal.settle(self.layout)
        return done

    def change(self, alter: Callable[[Resources, Resources], Resources]) -> Plan:
        """Have something else wanted than the file says, as long as the file leaves that guest as it is.

        alter: what was wanted last and is there to what is wanted now.  A guest that ended stays so.  UsageError.
        """
        with self.locked():
            before = self.record
            if before is None:
                raise UsageError(f"lab `{self.name}` is not up", hint="qlan up")
            with self._host({}) as host:
                there = host.read()
                wanted = alter(dict(before.wanted), there)
                unsaved, of_file = journal.unsaved(before, wanted)
                new = beside.Held((), unsaved).guests() - before.bases.keys() - set(scope.adopted(before.wanted))
                self.bases = beside.bases(before.source, new)
                record = replace(self._record_of(wanted, unsaved), of_file=of_file)
                return self._apply(host, scope.for_repair(wanted, there), there, record=record)

    def wait(
        self,
        guests: Iterable[str] = (),
        *,
        time_limit_s: float = 120.0,
        seen: Callable[[leases.Arrival], None] | None = None,
    ) -> list[leases.Arrival]:
        """Wait until each guest (none named: all) has its network; NotInTime, GuestFailed."""
        known = self._known
        waiting = leases.Waiting(self.layout, known, list(guests) or scope.guest_names(known))
        return waiting.wait(time_limit_s, seen or (lambda arrival: None))

    # --- parts

    def _at_once(
        self, wanted: Resources, there: Resources, *, restart: bool = False
    ) -> tuple[Resources, Plan, frozenset[str], dict[str, list[str]]]:
        """What can be had now and the plan for it, what is made anew for it, and the guests that wait for a restart."""
        before, todo = self.record, plan(wanted, there)
        self._check_plan(todo)
        cut = scope.to_restart(todo, wanted, there)
        edited = [] if restart else [one for one in cut if scope.is_edit(one, wanted, self._known)]
        if postponed := {guest: cut.pop(guest) for guest in edited}:
            scope.check_postponed(postponed, wanted, there)
            if before and self.changes is None:
                self.held = beside.of_others(before, self.held, postponed)
            wanted = scope.without(postponed, wanted, there)
            todo = plan(wanted, there)
        return wanted, todo, frozenset(f"machine/{guest}" for guest in cut), postponed

    @property
    def _known(self) -> Resources:
        """What was wanted last, by key."""
        record = self.record
        return record.wanted if record else {}

    def _topology(self) -> Topology:
        if self.topology is None:
            record = self.record
            hint = f"-f {record.source}" if record and record.source else "give it with -f FILE"
            raise UsageError(f"the file of lab `{self.name}` is needed for this", hint=hint)
        return self.topology if self.changes is not None else beside.changed(self.topology, self.held)

    def wanted_for(self, guests: Sequence[str]) -> Resources:
        """What `up` of these guests (none named: all) means, with bad links that stay."""
        record = self.record
        wanted = self.wanted
        if guests:
            before = record.wanted if record else {}
            scope.check_guests([one for one in guests if one not in scope.adopted(before)], wanted)
            wanted = scope.for_up(wanted, before, guests)
            if record and self.changes is None:
                self.held = beside.of_others(record, self.held, set(scope.guest_names(before)) - set(guests))
        if record and record.bends:
            from qlan.networks.bending import bent

            return bent(wanted, record.bends, self.name)
        return wanted

    def _apply(
        self,
        host: RealHost,
        wanted: Resources,
        there: Resources,
        *,
        again: frozenset[str] = frozenset(),
        progress: Progress | None = None,
        record: Record | None = None,
    ) -> Plan:
        """Remember what is wanted (record: if that is more), do it, and if that fails remember again what was."""
        from qlan.apply import apply

        before = self.record
        try:
            if (record := record or self._record_of(wanted)).wanted:
                self._write_record(record)
            done = apply(wanted, host, before=there, replace=again, progress=progress)
        except BaseException:
            self._remember(before, host)
            raise
        journal.settle(self.layout)
        return done

    def _record_of(self, wanted: Resources, unsaved: tuple[str, ...] | None = None) -> Record:
        """What is to be remembered while this is wanted.  unsaved: None: as before, unless the file was read."""
        topology, before = self.topology, self.record
        source = topology.source if topology else before.source if before else None
        held = beside.still_held(before, wanted, self.held) if before else self.held
        if unsaved is not None and before:
            held = beside.Held(before.changes, unsaved)
        known = {**(before.bases if before else {}), **self.bases}
        bases = {guest: known[guest] for guest in held.guests() if guest in known}
        bends = self.bends if self.bends is not None else before.bends if before else None
        what = (self.name, self.realm, source, self.digest or (before.digest if before else ""), wanted)
        return Record(*what, held.lines, held.changes, bends, bases, beside.of_file(before, held.lines))

    def _write_record(self, record: Record) -> None:
        """Its time says when the file was read; one that speaks of an older reading is no younger than any file."""
        journal.write_record(self.layout, record)
        if record.digest != self.digest:
            os.utime(self.layout.record, (0, 0))

    def _remember(self, before: Record | None, host: RealHost) -> None:
        if before is not None:
            self._write_record(before)
            journal.put_back_picks(self.layout, self._picked)
        elif not host.read():
            host.forget()

    def _host(self, wanted: Resources, *, grace_s: float = STOP_GRACE_S) -> RealHost:
        from qlan.live import RealHost, is_rootless

        known: dict[str, Resource] = {**self._known, **wanted}
        rootless = self.realm is Realm.ROOTLESS or is_rootless(known)
        return RealHost(self.layout, known, rootless=rootless, grace_s=grace_s)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes the lab meanwhile; if nothing of it is there afterwards, the lock's file goes too.

        TopologyError if its name is none: folders are made and removed by it, and `../x` is somebody else's.
        """
        if not is_name(self.name):
            from qlan.topology.check import check_written, in_order

            raise TopologyError(in_order(check_written(self._topology())))
        with journal.locked(self.layout.lock, wait_s=self.lock_wait_s, what=f"lab {self.name}"):
            try:
                present.find_again(self.layout)
                self._picked = files.read_text(self.layout.picks)
                yield
            finally:
                if not self.layout.run.exists():
                    files.remove(self.layout.lock)
                with suppress(OSError):
                    self.layout.run_root.rmdir()  # it stays unless it is empty

    def _check_plan(self, todo: Plan) -> None:
        """What must not be done although it could; nothing, of a lab as its file has it."""

    def _same_lab(self, before: Record | None) -> None:
        journal.check_same(self.layout, before, self.name, self.realm, self.topology.source if self.topology else None)

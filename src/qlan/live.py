"""The real host of one lab: reads what is there, runs steps by their commands, keeps the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from types import TracebackType

from qlan import journal
from qlan.host import files, present
from qlan.host.execute import Executor
from qlan.host.process import STOP_GRACE_S
from qlan.host.run import outdate
from qlan.planning.plan import Action, Step
from qlan.render import table
from qlan.render.command import Command, Stop
from qlan.render.layout import Layout
from qlan.render.scene import Scene
from qlan.resources.model import Bridge, Dnsmasq, Namespace, Resource, Resources


class RealHost:
    """Implements apply.Host.  known: what was wanted last and what is wanted now, so that it knows where to look."""

    def __init__(
        self, layout: Layout, known: Mapping[str, Resource], *, rootless: bool, grace_s: float = STOP_GRACE_S
    ) -> None:
        self.layout = layout
        self.rootless = rootless
        self._known = dict(known)
        self._there: Resources = {}
        self._young: set[str] = set()  # namespaces into which nobody can have plugged a QEMU of his own yet
        self._executor = Executor(layout, rootless=rootless, grace_s=grace_s)
        self._reading = ExitStack()  # what is being asked already

    def __enter__(self) -> RealHost:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reading.close()
        self._executor.close()

    def read(self) -> Resources:
        """What is there now, by key; a TAP that no machine took would not stay, and is let go of first."""
        self._executor.close()
        with self._reading:  # what was asked already is for once
            self._there = present.read(self.layout, self._known, journal.read_intents(self.layout))
        return self._there

    def run(self, steps: Sequence[Step], resources: Mapping[str, Resource]) -> None:
        """Write the intent down, then do it."""
        outdate()
        making = [step.after for step in steps if step.after is not None and step.action is Action.CREATE]
        if making:
            journal.intend(self.layout, making)
            self._known |= {one.key: one for one in making}
        self._executor.finish({key for step in steps if step.after is not None for key in step.after.needs})
        goes = any(step.action is Action.DELETE for step in steps)
        scene = Scene(self.layout, resources, self.rootless, self._there if goes else {})
        self._executor.run(commands(steps, scene))
        self._rejoin(making)

    def _rejoin(self, made: Sequence[Resource]) -> None:
        """QEMUs that were started by hand, to new bridges in a namespace that was there before."""
        self._young |= {one.key for one in made if isinstance(one, Namespace)}
        bridges = [one for one in made if isinstance(one, Bridge) and one.namespace not in self._young]
        if bridges and self.rootless:
            from qlan.host.bridge_helper import rejoin

            for key in {one.namespace for one in bridges}:
                rejoin(self.layout, key, {one.network for one in bridges if one.namespace == key})

    def finish(self) -> None:
        """Wait for what was begun while the next steps were done; for guests while the rest is read already."""
        if self._executor.awaits_guests_alone:
            self._reading.enter_context(present.reading(self.layout, self._known.values()))
        try:
            self._executor.finish()
        except BaseException:
            self._reading.close()  # what was asked before the failure is of no use
            raise

    def hurry(self) -> None:
        """From now on end guests without asking them."""
        self._executor.grace_s = 0

    def forget(self) -> None:
        """Remove the lab's folder; for when nothing of it is there any more."""
        files.remove(self.layout.run)


def commands(steps: Sequence[Step], scene: Scene) -> list[Command]:
    """The commands of some steps, in their order; an implied step needs none.

    Servers that change are all stopped before one is started anew: two may have changed places.
    """
    found: list[Command] = []
    for is_restart, group in groupby(steps, key=_changes_server):
        lines = [command for step in group if not step.implied for command in _commands(step, scene)]
        found += sorted(lines, key=lambda command: not isinstance(command, Stop)) if is_restart else lines
    return found


def _changes_server(step: Step) -> bool:
    return step.action is Action.CHANGE and isinstance(step.resource, Dnsmasq)


def _commands(step: Step, scene: Scene) -> list[Command]:
    if step.before is None:
        return table.create(step.resource, scene)
    if step.after is None:
        return table.delete(step.before, scene)
    return table.change(step.before, step.after, scene)


def is_rootless(resources: Mapping[str, Resource]) -> bool:
    """Whether they live in a user namespace of the lab's own."""
    return any(isinstance(one, Namespace) and one.user for one in resources.values())

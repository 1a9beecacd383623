"""Plan -> host: do, verify, and on any failure put the host back.

A failure, a Ctrl-C too, is not undone by replaying steps backwards (that leaks the half-done step): the host is read
again and planned back to what it was.  Undoing goes on after a failure and reports what it could not do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Protocol

from qlan.errors import ApplyError, DriftError, QlanError, RestoreError
from qlan.host.process import STOP_GRACE_S
from qlan.planning import scope, text
from qlan.planning.plan import Action, Plan, Step, plan
from qlan.resources.model import (
    Address,
    Adopted,
    Bridge,
    Ifb,
    Machine,
    Macvlan,
    Macvtap,
    Nic,
    PortForward,
    Resource,
    Resources,
    Shaping,
    Tap,
    Trunk,
)

_SETTLE_S, _SETTLE_POLL_S = 5.0, 0.01

Progress = Callable[[Sequence[Step]], None]

_FAMILY = {
    Bridge: "links",
    Trunk: "links",
    Macvlan: "links",
    Macvtap: "links",
    Address: "links",
    Tap: "links",
    Ifb: "links",
    Shaping: "links",
    Machine: "machines",
    Adopted: "machines",
    Nic: "machines",
    PortForward: "machines",
}


_RESTORE_ROUNDS = 2  # a process that was being started may be seen only after the first


class Host(Protocol):
    """A place where resources are: the real one (live.py) or a pretended one (testing.py)."""

    def read(self) -> Resources:
        """What is there now, by key."""

    def run(self, steps: Sequence[Step], resources: Mapping[str, Resource]) -> None:
        """Do some steps; resources: what will be there in the end."""

    def finish(self) -> None:
        """Wait for steps that were only begun, as the others did not need them; what fails is raised."""

    def hurry(self) -> None:
        """From now on end guests without asking them: they are as young as the change that is being undone."""


def apply(
    wanted: Resources,
    host: Host,
    *,
    before: Resources | None = None,
    replace: frozenset[str] = frozenset(),
    progress: Progress | None = None,
) -> Plan:
    """Make the host hold exactly `wanted`; returns the plan that was carried out.

    before: what was read just now (None: read it).  replace: keys to make anew even if nothing differs.
    ApplyError: a step failed and the host is as before; RestoreError: it is not, and what is left is named; DriftError:
    all steps went well and still something differs.
    """
    if before is None:
        before = host.read()
    todo = plan(wanted, before, replace=replace)
    try:
        groups = batches(todo)
        for steps in groups:
            host.run(steps, wanted)
            if steps is groups[-1]:
                host.finish()
            if progress:
                progress(steps)
        if todo:
            verify(wanted, host)
    except DriftError:
        raise
    except BaseException as error:
        lost = restore(before, host, error)
        if isinstance(error, QlanError):
            raise _failed(error, lost) from error
        raise
    return todo


def read_without(host: Host, wanted: Resources) -> Resources:
    """What is there, adopted guests that are not wanted any more (the record was lost) without what they were lent."""
    there = host.read()
    lost = [guest for guest in scope.adopted(there) if f"machine/{guest}" not in wanted]
    return give_back(host, there, lost) if lost else there


def give_back(host: Host, there: Resources, guests: Sequence[str] = (), grace_s: float = STOP_GRACE_S) -> Resources:
    """Take back what adopted guests were lent, before they are forgotten; what is there then.

    guests: which, () for all.  grace_s: 0: a QEMU that does not answer is let go of as it is.  QmpError, NotInTime.
    """
    lent = scope.adopted(there, guests)
    if not lent:
        return there
    try:
        apply(scope.given_back(there, lent), host, before=there)
    except QlanError as error:
        if grace_s > 0:
            error.hint = f"{error.hint}; `qlan down --force` lets go of it as it is".removeprefix("; ")
            raise
    return host.read()


def batches(todo: Plan) -> list[list[Step]]:
    """Neighbours of one family (all links, all machines) are done together: one `ip -batch`, machines in parallel."""
    return [list(group) for _, group in groupby(todo.steps, key=_batch_key)]


def verify(wanted: Resources, host: Host) -> None:
    """Read again: the next plan must be empty.

    What goes with something else (a TAP with its QEMU) is taken apart by the kernel a moment after that is gone.
    """
    deadline = time.monotonic() + _SETTLE_S
    while left := plan(wanted, host.read()):
        if any(step.action is not Action.DELETE for step in left.steps) or time.monotonic() > deadline:
            raise DriftError(
                "after all steps the host still differs: " + "; ".join(text.lines(left)[:5]),
                hint="something else changes it at the same time, or a guest ended: `qlan status`",
            )
        time.sleep(_SETTLE_POLL_S)


def restore(before: Resources, host: Host, cause: BaseException) -> list[str]:
    """Plan back to what was there; every step is tried.  RestoreError names what could not be put back.

    Returns what could not, and was broken before already.
    """
    failures: list[str] = []
    host.hurry()
    whole, todo = _way_back(before, host)
    for _ in range(_RESTORE_ROUNDS):
        for steps in batches(todo):
            for step in steps if steps[0].action is Action.DELETE and len(steps) > 1 else [None]:
                try:
                    host.run(steps if step is None else [step], whole)
                    host.finish()
                except QlanError as error:
                    failures.append(str(error))
        whole, todo = _way_back(whole, host)
        if not todo or failures:
            break
    broken = scope.broken(before)
    if left := text.lines(Plan(tuple(step for step in todo.steps if step.key not in broken))):
        raise RestoreError(
            f"{_first_line(cause)}; putting the host back failed too: {'; '.join(failures) or 'it differs'}",
            left=left,
            hint="`qlan down` tries again; left: " + "; ".join(left[:5]),
        ) from cause
    missed = {step.key for step in todo.steps} | (before.keys() - whole.keys())
    return [key for key in before if key in missed]


def _way_back(before: Resources, host: Host) -> tuple[Resources, Plan]:
    there = host.read()
    whole = scope.restorable(before, there)
    return whole, plan(whole, there)


def _batch_key(step: Step) -> tuple[str, str]:
    kind = type(step.resource)
    return (step.action if step.action is Action.DELETE else "make", _FAMILY.get(kind, kind.__name__))


def _failed(error: QlanError, lost: Sequence[str]) -> QlanError:
    """The step's own error, with a word that the host is as it was; its group (exit status) stays where it is told."""
    gone = f"not put back, since it was broken before: {', '.join(lost[:5])}" if lost else ""
    failed = ApplyError(error.what, where=error.where, hint="; ".join(filter(None, (error.hint, gone))))
    failed.exit_code = error.exit_code if error.exit_code != QlanError.exit_code else ApplyError.exit_code
    return failed


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__

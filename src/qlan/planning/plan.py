"""wanted + present -> Plan.  The planner does not know what a bridge is: it compares fields and follows `within`.

A step is data.  `create` has no before, `delete` no after, `change` both; a change of a FIXED field becomes a delete
and a create.  What lives within something that is deleted goes with it:
such a step says so in `implied` and needs no command.  So does what is born within something that is created.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

from qlan import values
from qlan.planning import cost
from qlan.planning.cost import Cost
from qlan.planning.order import order_of
from qlan.resources.model import Resource, compared_names
from qlan.values import Partly, Value


class Action(StrEnum):
    """What a step does."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


class Step(Partly):
    """One resource's way from before to after.

    implied: the key of the container it comes or goes with, or "".  cost: what it costs a guest that runs.
    """

    action: Action
    key: str
    before: Resource | None = None
    after: Resource | None = None
    implied: str = ""
    cost: Cost = Cost.LIVE
    UNCOMPARED: ClassVar[frozenset[str]] = frozenset({"cost"})

    @property
    def resource(self) -> Resource:
        """The resource itself: as it will be, or as it was."""
        resource = self.after if self.after is not None else self.before
        assert resource is not None
        return resource

    def changes(self) -> dict[str, tuple[object, object]]:
        """The fields that differ: name to (before, after)."""
        if self.before is None or self.after is None:
            return {}
        return changed_fields(self.before, self.after)


class Plan(Value):
    """Steps in the order in which they must be done: first what goes, then what comes."""

    steps: tuple[Step, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)


def plan(
    wanted: Mapping[str, Resource], present: Mapping[str, Resource], *, replace: frozenset[str] = frozenset()
) -> Plan:
    """The steps that make `present` into `wanted`; both by key.  replace: keys to delete and create even if equal."""
    gone = {key for key in present if key not in wanted}
    replaced: set[str] = set(replace & present.keys())
    changed: list[Step] = []
    for key, before in present.items():
        after = wanted.get(key)
        if after is None or before == after or key in replaced:
            continue
        if type(before) is not type(after) or changed_fields(before, after).keys() & before.FIXED:
            replaced.add(key)
        else:
            changed.append(Step(Action.CHANGE, key, before, after, cost=cost.of_change(before, after)))
    leaving = _with_contents(gone | replaced, present)
    coming = {key: after for key, after in wanted.items() if key not in present or key in leaving}
    moving = leaving.keys() | coming.keys()
    deletes = [_delete(key, present, leaving) for key in leaving]
    creates = [_create(after, coming) for after in coming.values()]
    changed = [step for step in changed if step.key not in leaving]
    deletes.sort(key=lambda step: order_of(step.resource), reverse=True)
    rest = sorted(creates + changed, key=lambda step: order_of(step.resource, moves=step.action is Action.CHANGE))
    return Plan(
        tuple(
            step
            if step.action is Action.CHANGE
            else values.replace(step, cost=cost.of_coming_or_going(step.resource, wanted, present, moving))
            for step in deletes + rest
        )
    )


def changed_fields(before: Resource, after: Resource) -> dict[str, tuple[object, object]]:
    """The fields in which two resources of one type differ: name to (before, after)."""
    return {
        name: (getattr(before, name), getattr(after, name))
        for name in compared_names(type(before))
        if getattr(before, name) != getattr(after, name)
    }


def closure(keys: set[str], resources: Mapping[str, Resource]) -> set[str]:
    """The keys and, all the way down, what they need."""
    found: set[str] = set()
    waiting = list(keys)
    while waiting:
        key = waiting.pop()
        if key in found or key not in resources:
            continue
        found.add(key)
        waiting.extend(resources[key].needs)
    return found


def _with_contents(keys: set[str], present: Mapping[str, Resource]) -> dict[str, None]:
    """The keys and everything within them, however deep."""
    contents: dict[str, list[str]] = {}
    for key, resource in present.items():
        for container in resource.within:
            contents.setdefault(container, []).append(key)
    leaving: dict[str, None] = {}
    waiting = sorted(keys)
    while waiting:
        key = waiting.pop()
        if key in leaving:
            continue
        leaving[key] = None
        waiting.extend(contents.get(key, ()))
    return leaving


def _create(after: Resource, coming: Mapping[str, Resource]) -> Step:
    born = getattr(after, "BORN_WITHIN", False)
    implied = next((container for container in after.within if container in coming), "") if born else ""
    return Step(Action.CREATE, after.key, after=after, implied=implied)


def _delete(key: str, present: Mapping[str, Resource], leaving: Mapping[str, None]) -> Step:
    resource = present[key]
    implied = next((container for container in resource.within if container in leaving), "")
    return Step(Action.DELETE, key, before=resource, implied=implied)

"""A plan in words, one line a step: what `qlan plan` shows."""

from __future__ import annotations

from qlan.planning.plan import Action, Plan, Step
from qlan.resources.model import Resource
from qlan.values import Value, defaults

_SIGN = {Action.CREATE: "+", Action.CHANGE: "~", Action.DELETE: "-"}
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), 127)} | {ord("\n"): "\\n"}  # a step is one line
_IN_KEY = frozenset({"guest", "index", "network", "lab", "name", "nic"})


def lines(plan: Plan) -> list[str]:
    """`+ bridge/lan  mac=…`, `~ tap/web/0  bridge: lan -> back`, `- namespace/realm`; implied steps say with what."""
    return [line(step) for step in plan.steps]


def line(step: Step) -> str:
    """One step."""
    head = f"{_SIGN[step.action]} {step.key}"
    if step.implied and step.action is Action.DELETE:
        return f"{head}  (goes with {step.implied})"
    if step.action is Action.CHANGE:
        words = [f"{name}: {_value(old)} -> {_value(new)}" for name, (old, new) in step.changes().items()]
    elif step.action is Action.CREATE:
        words = _fields(step.resource)
    else:
        words = []
    return f"{head}  {', '.join(words)}" if words else head


def summary(plan: Plan) -> str:
    """`3 to create, 1 to change, 2 to delete` or `nothing to do`."""
    words = {Action.CREATE: "create", Action.CHANGE: "change", Action.DELETE: "delete"}
    counts = {action: sum(step.action is action for step in plan.steps) for action in words}
    return ", ".join(f"{count} to {words[action]}" for action, count in counts.items() if count) or "nothing to do"


def _fields(resource: Resource) -> list[str]:
    return [f"{name}={_value(value)}" for name, value in _said(resource) if name not in _IN_KEY]


def _said(one: Value) -> list[tuple[str, object]]:
    """The fields that are not as they are by default, of those that are compared."""
    found = []
    for name, default in defaults(type(one)):
        value = getattr(one, name)
        if name not in one.UNCOMPARED and value not in (default, ()):
            found.append((name, value))
    return found


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} of them" if len(value) > 3 else "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, Value):
        words = ", ".join(f"{name} {_value(inner)}" for name, inner in _said(value))
        return f"{type(value).__name__}({words})"
    return "-" if value is None else str(value).translate(_CONTROL)

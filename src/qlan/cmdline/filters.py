"""What QEMU refuses of `-object filter-*`: its keys, their values, and what each filter needs (net/filter*.c)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from qlan.cmdline.check import ID, check_value, fault_at, is_open, unknown_key
from qlan.cmdline.model import Clause, Fault
from qlan.cmdline.schema import Rules
from qlan.cmdline.tokens import Setting
from qlan.names import nearest

_WORDS = {"queue": "all|rx|tx", "status": "on|off", "insert": "before|behind"}
_POSITION = re.compile(r"head|tail|id=.+", re.DOTALL)

# Of each group one is needed.
_NEEDS = {
    "filter-dump": (("file",),),
    "filter-buffer": (("interval",),),
    "filter-mirror": (("outdev",),),
    "filter-redirector": (("indev", "outdev"),),
}


def check_filter(clause: Clause, rules: Rules) -> Iterator[Fault]:
    """Everything wrong inside one filter."""
    name = clause.value("qom-type")
    if name is None:
        yield fault_at(clause, None, "the object's type is missing", "a type first, like filter-dump")
        return
    options = rules.filters.get(name)
    if options is None:
        yield fault_at(clause, clause.setting("qom-type"), f"no object {name!r}", "", nearest(name, rules.filters))
        return
    yield from _check_id(clause)
    if not options:
        return
    for item in clause.settings:
        if item.key in ("qom-type", "id"):
            continue
        if item.key not in options:
            yield unknown_key(clause, item, {*options, "id"})
        else:
            yield from _check_item(clause, item, options[item.key])
    for group in (("netdev",), *_NEEDS.get(name, ())):
        if all(clause.value(key) is None for key in group):
            keys = " or ".join(f"{key}=" for key in group)
            yield fault_at(clause, None, f"{keys} is missing for {name}", f"{group[0]}=...")


def _check_id(clause: Clause) -> Iterator[Fault]:
    own_id = next((setting for setting in clause.settings if setting.key == "id"), None)
    if own_id is None:
        yield fault_at(clause, None, "id= is missing", "id=NAME")
    elif not ID.fullmatch(own_id.value) and not is_open(clause, own_id.value):
        yield fault_at(clause, own_id, f"{own_id.value!r} is no id", "a letter, then letters, digits, - . _")


def _check_item(clause: Clause, item: Setting, kind: str) -> Iterator[Fault]:
    yield from check_value(clause, item, _WORDS.get(item.key, kind))
    if is_open(clause, item.value):
        return
    if item.key == "position" and not _POSITION.fullmatch(item.value):
        yield fault_at(clause, item, f"{item.value!r} is no position", "head, tail or id=FILTER")
    if item.key == "interval" and item.value.strip() == "0":
        yield fault_at(clause, item, "interval=0", "microseconds, not 0")

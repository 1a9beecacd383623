"""Changes written into the text of a `qlan.yaml`: only the words of that NIC are touched, comments stay.

PyYAML's nodes tell where each word begins and ends.  What comes out is read again by the caller, and must mean what was
wanted: a file that is too clever for this is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import yaml

from qlan.errors import UsageError
from qlan.topology.changes import USER, Change

_BY_HAND = "write it into the file by hand, then `qlan up`"


def edited(text: str, change: Change) -> str:
    """The text with one change.  UsageError if its place is not found."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    guest = _value(_value(root, "guests"), change.guest)
    if guest is None:
        raise UsageError(f"guest `{change.guest}` is not in the file", hint=_BY_HAND)
    nics = _value(guest, "nics")
    if nics is None:
        raise UsageError(f"guest `{change.guest}` has no `nics:` of its own in the file", hint=_BY_HAND)
    if nics.start_mark.index < guest.start_mark.index:
        raise UsageError(f"the `nics:` of guest `{change.guest}` are shared with others by an anchor", hint=_BY_HAND)
    if change.verb == "attach":
        return _attached(text, nics, _item(change))
    if not isinstance(nics, yaml.SequenceNode) or change.nic >= len(nics.value):
        raise UsageError(f"guest `{change.guest}` has no NIC {change.nic} in the file", hint=_BY_HAND)
    if change.verb == "detach":
        return _detached(text, nics, change)
    key, value = ("network", change.network) if change.verb == "move" else ("link", change.verb)
    return _set(text, nics.value[change.nic], key, value)


def with_forwards(text: str, guest: str, nic: int, specs: Sequence[str], key: str = "forwards") -> str:
    """The text with these forwards at a NIC, under `forwards` or `reverse`.  UsageError if its place is not found."""
    item = _nic_node(text, guest, nic)
    words = ", ".join(f'"{spec}"' for spec in specs)
    if isinstance(item, yaml.ScalarNode):
        if "," in item.value:
            raise UsageError(f"NIC {nic} of guest `{guest}` is written in the short form", hint=_BY_HAND)
        mapping = f"{{{_plug(item.value)}, {key}: [{words}]}}"
        return _replaced(text, item.start_mark.index, item.end_mark.index, mapping)
    old = _value(item, key)
    if old is None:
        return _set(text, item, key, f"[{words}]")
    if not isinstance(old, yaml.SequenceNode) or not old.value:
        return _replaced(text, old.start_mark.index, old.end_mark.index, f"[{words}]")
    end = _end(old.value[-1])
    if old.flow_style:
        return _replaced(text, end, end, f", {words}")
    end = _line_end(text, end)
    return _replaced(text, end, end, "".join(f'\n{" " * old.start_mark.column}- "{spec}"' for spec in specs))


def without_forward(text: str, guest: str, nic: int, is_it: Callable[[str], bool], key: str = "forwards") -> str:
    """The text without the forward of a NIC that `is_it` knows by its text.  UsageError if there is none."""
    old = _value(_nic_node(text, guest, nic), key)
    items = old.value if isinstance(old, yaml.SequenceNode) else []
    place = next((n for n, one in enumerate(items) if isinstance(one, yaml.ScalarNode) and is_it(one.value)), None)
    if not isinstance(old, yaml.SequenceNode) or place is None:
        raise UsageError(f"the forward is not in the file by itself, at NIC {nic} of guest `{guest}`", hint=_BY_HAND)
    if len(items) == 1:
        end = old.end_mark.index if old.flow_style else _end(old)
        return _replaced(text, old.start_mark.index, end, "[]")
    if not old.flow_style:
        start = text.rindex("\n", 0, items[place].start_mark.index)
        return _replaced(text, start, _line_end(text, _end(items[place])), "")
    if place:
        return _replaced(text, _end(items[place - 1]), _end(items[place]), "")
    return _replaced(text, items[0].start_mark.index, items[1].start_mark.index, "")


def _nic_node(text: str, guest: str, nic: int) -> yaml.Node:
    nics = _value(_value(_value(yaml.compose(text, Loader=yaml.SafeLoader), "guests"), guest), "nics")
    if not isinstance(nics, yaml.SequenceNode) or nic >= len(nics.value):
        raise UsageError(f"guest `{guest}` has no NIC {nic} of its own in the file", hint=_BY_HAND)
    node: yaml.Node = nics.value[nic]
    return node


def _attached(text: str, nics: yaml.Node, item: str) -> str:
    if not isinstance(nics, yaml.SequenceNode) or not nics.value:
        return _replaced(text, nics.start_mark.index, nics.end_mark.index, f"[{item}]")
    end = _end(nics.value[-1])
    if nics.flow_style:
        return _replaced(text, end, end, f", {item}")
    end = _line_end(text, end)
    return _replaced(text, end, end, f"\n{' ' * nics.start_mark.column}- {item}")


def _detached(text: str, nics: yaml.SequenceNode, change: Change) -> str:
    if change.nic != len(nics.value) - 1:
        raise UsageError(
            f"NIC {change.nic} of guest `{change.guest}` is not its last: those after it would change their numbers",
            hint="detach it without --save, or " + _BY_HAND,
        )
    if len(nics.value) == 1:
        start = nics.start_mark.index
        gap = text[:start].rstrip()
        return _replaced(text, start if nics.flow_style else len(gap), _end(nics), "[]" if nics.flow_style else " []")
    start = _end(nics.value[-2])
    if not nics.flow_style:
        start = _line_end(text, start)
        return _replaced(text, start, _line_end(text, _end(nics.value[-1])), "")
    return _replaced(text, start, _end(nics.value[-1]), "")


def _set(text: str, item: yaml.Node, key: str, value: str) -> str:
    """One key of a NIC."""
    if isinstance(item, yaml.ScalarNode):
        words = f"{{{_plug(item.value)}, {key}: {value}}}" if key != "network" else value
        return _replaced(text, item.start_mark.index, item.end_mark.index, words)
    assert isinstance(item, yaml.MappingNode)
    for name, old in item.value:
        if key == "network" and name.value in ("network", USER):
            return _replaced(text, name.start_mark.index, _end(old), _plug(value))
        if name.value == key:
            return _replaced(text, old.start_mark.index, _end(old), value)
    end = _end(item.value[-1][1])
    if item.flow_style:
        return _replaced(text, end, end, f", {key}: {value}")
    end = _line_end(text, end)
    return _replaced(text, end, end, f"\n{' ' * item.value[0][0].start_mark.column}{key}: {value}")


def _item(change: Change) -> str:
    words = {"model": change.model, "mac": f'"{change.mac}"' if change.mac else ""}
    more = "".join(f", {key}: {value}" for key, value in words.items() if value)
    return f"{{{_plug(change.network)}{more}}}" if more else change.network


def _plug(network: str) -> str:
    return "user: true" if network == USER else f"network: {network}"


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _end(node: yaml.Node) -> int:
    """Where its last word ends; a block's own end is behind the comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _line_end(text: str, index: int) -> int:
    """The end of the line, its comment included."""
    found = text.find("\n", index)
    return len(text) if found < 0 else found


def _replaced(text: str, start: int, end: int, words: str) -> str:
    return text[:start] + words + text[end:]

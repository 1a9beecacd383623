"""Names end up in file names, interface names, DNS, dnsmasq's files and QEMU's options: one strict rule for all."""

from __future__ import annotations

import re
from collections.abc import Iterator

from qlan.names import NAME_MAX, is_name
from qlan.problems import Mark, Problem
from qlan.topology.model import Topology, mark_of
from qlan.topology.scalars import Unreadable, quoted

RESERVED = {
    "network": {
        "user": "stands for user-mode networking in `nics`",
        "none": "stands for no NIC in `nics`",
        "realm": "is the lab's own namespace",
    },
    "guest": {
        "localhost": "is every machine's name for itself",
        "ignore": "is a word of dnsmasq's reservations",
        "infinite": "is a word of dnsmasq's reservations",
    },
    "lab": {"localhost": "is every machine's name for itself"},
}

# dnsmasq takes a word of digits, with or without a unit, for the lease time of a reservation (dhcp-host in dnsmasq(8)).
_LEASE_TIME = re.compile(r"[0-9]+[smhdw]?", re.ASCII)
_ODD = re.compile(r"[^a-z0-9-]", re.ASCII)


def check(topology: Topology) -> Iterator[Problem]:
    """Every name by itself, and that no two of a sort are the same."""
    yield from _check_one("lab", topology.lab, mark_of(topology, "lab"))
    for sort, things in (("network", topology.networks), ("guest", topology.guests)):
        seen: dict[str, Mark | None] = {}
        for thing in things:
            yield from _check_one(sort, thing.name, thing.mark)
            folded = thing.name.casefold()
            if folded in seen:
                first = seen[folded]
                place = f"; first in line {first.line}" if first else ""
                yield Problem(thing.mark, f"two {sort}s are called {quoted(folded)}{place}", "rename one of them")
            seen.setdefault(folded, thing.mark)


def name_fault(sort: str, text: str) -> Unreadable | None:
    """Why the text is no name for a lab, network or guest, or None."""
    reserved = RESERVED[sort].get(text)
    if reserved:
        return Unreadable(f"{quoted(text)} {reserved}", "choose another name")
    if is_name(text):
        if sort == "guest" and _LEASE_TIME.fullmatch(text):
            return Unreadable(f"{quoted(text)} reads like a time to dnsmasq", f"write `vm-{text}`, say")
        return None
    if not text:
        return Unreadable("there is no name", "write one of a-z, 0-9 and `-`")
    return Unreadable(*_fault(text))


def _check_one(sort: str, text: str, mark: Mark | None) -> Iterator[Problem]:
    fault = name_fault(sort, text)
    if fault:
        yield Problem(mark, f"{sort} name: {fault.what}", fault.hint)


def _fault(text: str) -> tuple[str, str]:
    clean = re.sub(r"[^a-z0-9]+", "-", text.lower())[:NAME_MAX].strip("-")
    hint = f"write `{clean}`, say" if clean else "use a-z, 0-9 and `-`"
    if text != text.lower() and is_name(text.lower()):
        return f"{quoted(text)} has capitals", f"write `{text.lower()}`"
    odd = _ODD.search(text.lower())
    if odd:
        shown = "a space" if odd[0] == " " else f"`{odd[0]}`" if odd[0].isprintable() else f"U+{ord(odd[0]):04X}"
        return f"{quoted(text)} holds {shown}; only a-z, 0-9 and `-` can be in a name", hint
    if len(text) > NAME_MAX:
        return f"{quoted(text)} has {len(text)} letters; at most {NAME_MAX} are possible", hint
    return f"{quoted(text)} starts or ends with `-`", hint

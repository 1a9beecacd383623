"""A QEMU that its user started by hand, in a lab: adopted, and given back as it was."""

from __future__ import annotations

import re
from pathlib import Path

from qlan.errors import ConflictError, UsageError
from qlan.facts.found import FoundQemu
from qlan.host import adopted
from qlan.lab import Lab
from qlan.names import NAME_MAX, is_name
from qlan.planning import scope
from qlan.plugging import Plugged, carry_out, forget
from qlan.topology.changes import Change
from qlan.topology.model import Topology


def adopt(lab: Lab | None, target: str, name: str | None = None) -> tuple[Lab, Plugged]:
    """Know the QEMU with this QMP socket or process id as a guest.  lab: None: one of its own, named like it.

    Nothing of it is changed.  UsageError, ConflictError, Denied, HostError, QmpError.
    """
    _check_free(target)
    found = adopted.find(target)
    _check_free(str(found.pid))
    guest = name or _name(found)
    if not is_name(guest):
        raise UsageError(f"`{guest}` is no name for a guest",
                         hint=f"a-z 0-9 and -, not at the ends, at most {NAME_MAX} letters")  # fmt: skip
    if lab is None:
        lab = Lab.of(Topology(guest))
        if lab.is_up:
            raise UsageError(f"a lab named `{guest}` is up already", hint="--as NAME, or -l LAB to adopt it into one")
    if guest in lab.guests:
        raise UsageError(f"lab `{lab.name}` has a guest `{guest}` already", hint="--as NAME gives it another name")
    return lab, carry_out(lab, lambda record: Change(guest, "adopt", -1, found=found))


def release(lab: Lab, guest: str) -> None:
    """Take back what it was lent, and know it no more; a lab that had nothing else goes too.

    UsageError: qlan started it; NotInTime: it does not let go of a NIC; QmpError.
    """
    lab.check_guest(guest)
    record = lab.record
    known = record.wanted if record else {}
    if guest not in scope.adopted(known):
        raise UsageError(f"guest `{guest}` was started by qlan, not adopted", hint=f"qlan down {guest}")
    if lab.guests == [guest] and not lab.networks:
        lab.down()
    else:
        forget(lab, guest)


def _check_free(target: str) -> None:
    """ConflictError if it is a lab's guest.  target: its process or its socket."""
    for other in map(Lab.named, Lab.names()):
        for guest in other.guests:
            pid = other.find_pid(guest)
            if pid is not None and (target == str(pid) or adopted.is_same(Path(target), other.layout.qmp(guest))):
                raise ConflictError(f"process {pid} is guest `{guest}` of lab `{other.name}` already",
                                    hint=f"qlan status -l {other.name}")  # fmt: skip


def _name(found: FoundQemu) -> str:
    """As its user called it (`-name`), else by its socket."""
    word = found.name or found.socket.name.partition(".")[0]
    return re.sub("[^a-z0-9]+", "-", word.lower())[:NAME_MAX].strip("-") or "qemu"

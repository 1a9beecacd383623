"""NICs of a lab that is up, changed by hand: attach, detach, move, cable up and down.

A change is made to the topology, and then `up` does its work for that one guest: so it is planned, undone on failure
and survives a crash like any other.  It is kept in the lab's record, beside the file, until the next `up` goes back to
the file; or it is written into the file.

A NIC for a while is taken out again by a process of its own (`python3 -m qlan.plugging`), which outlives the command,
and ends when the time is over or the NIC or the lab is gone before.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from qlan import status
from qlan.errors import ConflictError, QlanError, UsageError
from qlan.host import process
from qlan.journal import Record, digest
from qlan.lab import Lab, UpReport
from qlan.names import nearest
from qlan.planning import scope
from qlan.planning.cost import Cost
from qlan.render.adopted import MORE_PORTS
from qlan.resources.model import Nic, PortForward, PublishedPort, Resources, ReversePort
from qlan.status import NicStatus
from qlan.topology.changes import USER, Change, changed, pulled
from qlan.topology.model import Topology

_LOOK_S = 0.5  # how soon the process notices that the lab is gone
_AGAIN_S = 30.0
_Forward = PortForward | PublishedPort | ReversePort
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Plugged:
    """What was done.  saved: the file it was written into."""

    change: Change
    report: UpReport
    saved: Path | None


def attach(lab: Lab, new: Change, *, for_s: float | None = None, save: bool = False) -> Plugged:
    """A NIC more, as `new` has it but for its number.  for_s: it goes again after this time.

    UsageError, and what `up` raises; HostError: no place is free.
    """
    guest, network = new.guest, new.network
    if save and for_s is not None:
        raise UsageError("a NIC for a while is not for the file", hint="leave out --save or --for")
    _nics_of(lab, guest)
    _check_network(lab, network)
    until = None if for_s is None else time.time() + for_s
    done = carry_out(lab, lambda: replace(new, nic=_free_number(lab, guest), until=until), save=save)
    if until is not None:
        _start_timer(lab, done.change)
    return done


def detach(lab: Lab, guest: str, nic: str, *, save: bool = False) -> Plugged:
    """A NIC less.  NotInTime: the guest does not let go of it."""
    return carry_out(lab, lambda: Change(guest, "detach", _lent(lab, guest, nic).index), save=save)


def move(lab: Lab, guest: str, nic: str, network: str, *, save: bool = False) -> Plugged:
    """To another network; the guest sees its cable pulled and put back."""
    one = _lent(lab, guest, nic)
    if one.network == network:
        raise UsageError(f"NIC {one.index} of guest `{guest}` is on `{network}` already")
    _check_network(lab, network)
    return carry_out(lab, lambda: Change(guest, "move", one.index, network), save=save)


def pull(lab: Lab, guest: str, nic: str, *, up: bool, save: bool = False) -> Plugged:
    """Its cable put in (up) or pulled."""
    verb = "up" if up else "down"
    return carry_out(lab, lambda: Change(guest, verb, find_nic(lab, guest, nic).index), save=save)


def take_out(lab: Lab, guest: str, nic: int) -> None:
    """Wait until a NIC's time is over and take it out; returns at once when it or the lab is gone before.

    A guest that does not let go is asked again: what is in the way is told on standard error.
    """
    while (change := _find_timed(lab, guest, nic)) is not None and change.until is not None:
        left_s = change.until - time.time()
        if left_s > 0:
            time.sleep(min(left_s, _LOOK_S))
            continue
        try:
            detach(lab, guest, str(nic))
        except QlanError as error:
            sys.stderr.write(f"{error}\n")
            sys.stderr.flush()
            time.sleep(_AGAIN_S)


def _check_network(lab: Lab, network: str) -> None:
    known = [*lab.networks, USER]
    if network not in known:
        near = nearest(network, known)
        raise UsageError(
            f"lab `{lab.name}` has no network `{network}`",
            hint=f"did you mean `{near}`?" if near else f"its networks: {', '.join(known)}",
        )


def _find_timed(lab: Lab, guest: str, nic: int) -> Change | None:
    found = [one for one in _changes(lab) if (one.guest, one.nic, one.verb) == (guest, nic, "attach") and one.until]
    return found[-1] if found and lab.find_pid(guest) is not None else None


def _start_timer(lab: Lab, change: Change) -> None:
    """The process that takes it out; it is nobody's child, and says what goes wrong in the guest's folder."""
    layout = lab.layout
    where = [f"QLAN_RUN_DIR={layout.run_root}", f"QLAN_STATE_DIR={layout.state_root}"]
    where += [f"{name}={os.environ[name]}" for name in ("SUDO_UID",) if name in os.environ]
    words = [sys.executable, "-m", "qlan.plugging", lab.name, change.guest, str(change.nic)]
    log = os.open(
        layout.guest(change.guest) / "timer.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
    )
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        process.spawn(["sh", "-c", '"$@" &', "sh", "env", *where, *words], [(null, 0), (log, 1), (log, 2)])
    finally:
        os.close(log)
        os.close(null)


def _free_number(lab: Lab, guest: str) -> int:
    out = sorted(nic for name, nic in pulled(_changes(lab)) if name == guest)
    return out[0] if out else len(_nics_of(lab, guest))


def find_nic(lab: Lab, guest: str, word: str) -> NicStatus:
    """A running guest's NIC by its number, its network's name or its MAC; UsageError."""
    return status.find_nic(_nics_of(lab, guest), guest, word)


def _lent(lab: Lab, guest: str, word: str) -> NicStatus:
    """A NIC that the lab gave; UsageError for one that an adopted guest had before."""
    found = find_nic(lab, guest, word)
    if any(one.guest == guest and one.found and found.index < len(one.found.nics) for one in _changes(lab)):
        raise UsageError(f"NIC {found.index} of guest `{guest}` was there before it was adopted, and stays",
                         hint=f"qlan nic down {guest}/{found.index} pulls its cable")  # fmt: skip
    return found


def _nics_of(lab: Lab, guest: str) -> Sequence[NicStatus]:
    lab.check_guest(guest)
    return status.nics_of(lab.status().guests, guest)


def _changes(lab: Lab) -> tuple[Change, ...]:
    record = lab.record
    return record.changes if record else ()


class _ChangedMeanwhile(ConflictError):
    """Another command changed a NIC of the lab between our reading and our turn."""


class _ByHand(Lab):
    """A lab with changes by hand; based_on: those that were there when they were made."""

    based_on: tuple[Change, ...] = ()

    def _same_lab(self, before: Record | None) -> None:
        super()._same_lab(before)
        if (before.changes if before else ()) != self.based_on:
            raise _ChangedMeanwhile(f"other NICs of lab `{self.name}` are being changed", hint="try again")


def carry_out(lab: Lab, find: Callable[[], Change], *, save: bool = False) -> Plugged:
    """Make the change that `find` finds; anew, if another command was faster."""
    for _ in range(_TRIES):
        with suppress(_ChangedMeanwhile):
            return _make_once(lab, find(), save=save)
    return _make_once(lab, find(), save=save)


def forget(lab: Lab, guest: str) -> UpReport:
    """Without an adopted guest, and without what was changed for its sake."""
    before = _changes(lab)
    return _by_hand(lab, _of_file(lab), tuple(one for one in before if one.guest != guest), before).up([guest])


def _by_hand(lab: Lab, of_file: Lab, changes: tuple[Change, ...], before: tuple[Change, ...]) -> _ByHand:
    assert of_file.topology
    now = _ByHand.of(changed(of_file.topology, changes), digest=of_file.digest)
    assert isinstance(now, _ByHand)
    now.based_on, now.changes, now.lock_wait_s = before, changes, lab.lock_wait_s
    now.wanted = _with_unsaved(lab, now.wanted)
    return now


def _make_once(lab: Lab, change: Change, *, save: bool) -> Plugged:
    before = _changes(lab)
    changes = _with(before, change)
    of_file = _of_file(lab)
    assert of_file.topology
    source = of_file.topology.source
    if save:
        source = _source(lab, change.guest)
        text = _saved_text(source, of_file.topology, [one for one in changes if one.guest == change.guest])
    others = tuple(one for one in changes if one.guest != change.guest)
    now = _by_hand(lab, of_file, changes, before)
    if cut := [step.key for step in now.plan([change.guest]).steps if step.cost is Cost.RESTART]:
        raise ConflictError(
            f"guest `{change.guest}` cannot take this while it runs: {', '.join(cut)}", hint=_other_way(change, changes)
        )
    report = now.up([change.guest])
    if not save or source is None:
        return Plugged(change, report, None)
    _write(source, text)
    saved = Lab.load(source, realm=lab.realm)
    assert saved.topology
    again = Lab.of(changed(saved.topology, others), digest=digest(source))
    again.changes = others
    again.wanted = _with_unsaved(lab, again.wanted)
    again.up([change.guest])
    return Plugged(change, report, source)


def _with_unsaved(lab: Lab, wanted: Resources) -> Resources:
    """With the forwards that were opened and closed by hand, as far as their NICs stay where they are."""
    record = lab.record
    if record is None:
        return wanted
    for line in record.unsaved:
        sign, _, key = line.partition(" ")
        one = record.wanted.get(key)
        if sign == "-":
            wanted.pop(key, None)
        elif isinstance(one, _Forward) and _stays(one, record.wanted, wanted):
            wanted[key] = one
    return wanted


def _stays(forward: _Forward, before: Resources, wanted: Resources) -> bool:
    """Its NIC is on the network that it was on, and what it needs is wanted, or is nobody's and so left as it is."""
    key = f"nic/{forward.guest}/{forward.nic}"
    was, now = before.get(key), wanted.get(key)
    if not (isinstance(was, Nic) and isinstance(now, Nic)):
        return False
    same = status.network_of(was, before) == status.network_of(now, wanted)
    return same and all(need in wanted or need in ("relay", "outlet") for need in forward.needs)


def _with(before: tuple[Change, ...], change: Change) -> tuple[Change, ...]:
    """What was attached by hand and goes again was never there; a cable pulled and put back likewise."""
    if change.verb == "detach":
        mine = [one for one in before if (one.guest, one.nic) == (change.guest, change.nic)]
        later = [one for one in before if one.guest == change.guest and one.verb == "attach" and one.nic > change.nic]
        rest = tuple(one for one in before if one not in mine)
        if mine and mine[0].verb == "attach" and not later:
            return rest
    return (*before, change)


def _other_way(change: Change, changes: Sequence[Change]) -> str:
    if any(one.found for one in changes if one.guest == change.guest):
        return f"another model (`--model usb` where it has a USB controller), or start it with {MORE_PORTS}"
    return "write it into the file and `qlan up --restart`, or take another model (docs/changes.md)"


def _of_file(lab: Lab) -> Lab:
    """The lab as its file has it; one of adopted guests alone has none."""
    record = lab.record
    if record is None:
        return lab
    if record.source is None and scope.guest_names(record.wanted) == scope.adopted(record.wanted):
        return Lab.of(Topology(lab.name, realm=record.realm))
    return Lab.load(_source(lab), realm=lab.realm)


def _source(lab: Lab, guest: str = "") -> Path:
    record = lab.record
    if guest in scope.adopted(record.wanted if record else {}):
        raise UsageError(f"guest `{guest}` is adopted: no file has it", hint="leave out --save")
    if record is None or record.source is None:
        raise UsageError(f"lab `{lab.name}` has no file: it was started by `qlan run`",
                         hint="write one (`qlan init`): the NICs of its guests can be changed")  # fmt: skip
    return record.source


def _saved_text(source: Path, topology: Topology, changes: Sequence[Change]) -> str:
    """The file's new text; it is read again, and must mean just that.  UsageError, and nothing was changed."""
    from qlan.topology.edit import edited
    from qlan.topology.load import parse

    text = source.read_text(encoding="utf-8")
    for change in changes:
        text = edited(text, change)
    if _meaning(parse(text, str(source))) != _meaning(
        changed(topology, [c for c in changes if c.verb != "detach"]), changes
    ):
        raise UsageError("the file is written in a way that qlan cannot change safely", where=str(source),
                         hint="write the change into it by hand, then `qlan up`")  # fmt: skip
    return text


def _meaning(topology: Topology, gone: Sequence[Change] = ()) -> list[object]:
    """The guests without places in the file."""
    out = {(one.guest, one.nic) for one in gone if one.verb == "detach"}
    return [
        (guest.name, [_bare(asdict(nic)) for place, nic in enumerate(guest.nics) if (guest.name, place) not in out])
        for guest in topology.guests
    ]


def _bare(value: object) -> object:
    if isinstance(value, dict):
        return {key: _bare(inner) for key, inner in value.items() if key not in ("mark", "marks")}
    return [_bare(inner) for inner in value] if isinstance(value, list | tuple) else value


def _write(path: Path, text: str) -> None:
    """In one step, with the mode it had; a link stays a link."""
    from qlan.host import files

    real = path.resolve()
    files.write(real, text, mode=real.stat().st_mode & 0o777)


if __name__ == "__main__":
    take_out(Lab.named(sys.argv[1]), sys.argv[2], int(sys.argv[3]))

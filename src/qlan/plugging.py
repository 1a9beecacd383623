"""NICs of a lab that is up, changed by hand: attach, detach, move, cable up and down.

A change is made to the topology, and then `up` does its work for that one guest: so it is planned, undone on failure
and survives a crash like any other.  It is kept in the lab's record, beside the file, and with the next `up`, until it
is taken back or the file changes that guest; or it is written into the file.

A NIC for a while is taken out again by a process of its own (`python3 -m qlan.plugging`), which outlives the command,
and ends when the time is over or the NIC or the lab is gone before.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from qlan import beside, saving
from qlan.errors import ConflictError, QlanError, UsageError
from qlan.host import process
from qlan.journal import Record
from qlan.lab import Lab, UpReport
from qlan.names import nearest
from qlan.planning import scope
from qlan.planning.cost import Cost, why_not_plugged
from qlan.planning.plan import Action, Plan, Step
from qlan.render.adopted import MORE_PORTS
from qlan.resources.model import Adopted, Machine, Nic
from qlan.topology.changes import USER, Change, bare, base_of, changed, least, pulled, timed, with_change
from qlan.topology.model import Topology
from qlan.values import Value, asdict, replace

_LOOK_S = 0.5  # how soon the process notices that the lab is gone
_AGAIN_S = 30.0
_TRIES = 20


class Plugged(Value):
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
    lab.check_guest(guest, running=True)
    _check_network(lab, network)
    until = None if for_s is None else time.time() + for_s
    done = carry_out(lab, lambda record: replace(new, until=until), save=save)
    if until is not None:
        _start_timer(lab, done.change)
    return done


def detach(lab: Lab, guest: str, nic: str, *, save: bool = False) -> Plugged:
    """A NIC less.  NotInTime: the guest does not let go of it."""
    lab.check_guest(guest, running=True)
    return carry_out(lab, lambda record: Change(guest, "detach", _lent(record, guest, nic).index), save=save)


def move(lab: Lab, guest: str, nic: str, network: str, *, save: bool = False) -> Plugged:
    """To another network; the guest sees its cable pulled and put back."""
    lab.check_guest(guest, running=True)
    _check_network(lab, network)

    def find(record: Record | None) -> Change:
        one = _lent(record, guest, nic)
        if record and scope.network_of(one, record.wanted) == network:
            raise UsageError(f"NIC {one.index} of guest `{guest}` is on `{network}` already")
        return Change(guest, "move", one.index, network)

    return carry_out(lab, find, save=save)


def pull(lab: Lab, guest: str, nic: str, *, up: bool, save: bool = False) -> Plugged:
    """Its cable put in (up) or pulled."""
    verb = "up" if up else "down"
    lab.check_guest(guest, running=True)
    return carry_out(lab, lambda record: Change(guest, verb, _known_nic(record, guest, nic).index), save=save)


def take_out(lab: Lab, guest: str, nic: int) -> None:
    """Wait until a NIC's time is over and take it out; returns at once when it or the lab is gone before.

    A guest that does not let go is asked again: what is in the way is told on standard error.
    """
    again = 0.0
    while (change := _find_timed(lab, guest, nic)) is not None and change.until is not None:
        left_s = max(change.until, again) - time.time()
        if left_s > 0:
            time.sleep(min(left_s, _LOOK_S))
            continue
        try:
            detach(lab, guest, str(nic))
        except QlanError as error:
            sys.stderr.write(f"{error}\n")
            sys.stderr.flush()
            again = time.time() + _AGAIN_S


def _check_network(lab: Lab, network: str) -> None:
    known = [*lab.networks, USER]
    if network not in known and (of_file := _of_file(lab).topology):  # one without a NIC may be nothing as yet
        known = list(dict.fromkeys([*(one.name for one in of_file.networks), *known]))
    if network not in known:
        near = nearest(network, known)
        raise UsageError(
            f"lab `{lab.name}` has no network `{network}`",
            hint=f"did you mean `{near}`?" if near else f"its networks: {', '.join(known)}",
        )


def _find_timed(lab: Lab, guest: str, nic: int) -> Change | None:
    record = lab.record
    found = [one for one in timed(record.changes if record else ()) if (one.guest, one.nic) == (guest, nic)]
    return found[0] if found and lab.find_pid(guest) is not None else None


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


def _free_number(topology: Topology, changes: Sequence[Change], guest: str) -> int:
    """The next number of a guest's NICs, as file and changes have them: that of one that is out, or one more."""
    out = [nic for name, nic in pulled(changes) if name == guest]
    return min(out) if out else next((len(one.nics) for one in topology.guests if one.name == guest), 0)


def _known_nic(record: Record | None, guest: str, word: str) -> Nic:
    return scope.find_nic(record.wanted if record else {}, guest, word)


def _lent(record: Record | None, guest: str, word: str) -> Nic:
    """A NIC that the lab gave; UsageError for one that an adopted guest had before."""
    found, changes = _known_nic(record, guest, word), record.changes if record else ()
    if any(one.guest == guest and one.found and found.index < len(one.found.nics) for one in changes):
        raise UsageError(f"NIC {found.index} of guest `{guest}` was there before it was adopted, and stays",
                         hint=f"qlan nic down {guest}/{found.index} pulls its cable")  # fmt: skip
    return found


class _ChangedMeanwhile(ConflictError):
    """Another command changed a NIC of the lab between our reading and our turn."""


def _by_hand_of(record: Record | None) -> tuple[object, ...]:
    return (record.changes, record.unsaved) if record else ((), ())


class _ByHand(Lab):
    """A lab with changes by hand.  based_on: what was there when they were made.  last: the last of them."""

    based_on: Record | None = None
    last: Change | None = None

    def _same_lab(self, before: Record | None) -> None:
        super()._same_lab(before)
        if _by_hand_of(before) != _by_hand_of(self.based_on):
            raise _ChangedMeanwhile(f"other NICs of lab `{self.name}` are being changed", hint="try again")

    def _check_plan(self, todo: Plan) -> None:
        if self.last is None:
            return
        guest = self.last.guest
        ours = [step for step in todo.steps if scope.guest_of(step.resource) == guest]
        if cut := [step for step in ours if step.cost is Cost.RESTART]:
            raise ConflictError(f"guest `{guest}` cannot take this while it runs: {_why_not(cut, self.based_on)}",
                                hint=_other_way(self.last, self.changes or ()))  # fmt: skip
        started = [step for step in ours if isinstance(step.after, Machine) and step.action is Action.CREATE]
        if started:
            raise ConflictError(f"guest `{guest}` has ended meanwhile", hint=f"qlan up {guest}")


def carry_out(lab: Lab, find: Callable[[Record | None], Change], *, save: bool = False) -> Plugged:
    """Make the change that `find` finds for what was wanted last; anew, if another command was faster."""
    for _ in range(_TRIES):
        with suppress(_ChangedMeanwhile):
            return _make_once(lab, find, save=save)
    return _make_once(lab, find, save=save)


def forget(lab: Lab, guest: str) -> UpReport:
    """Without an adopted guest, and without what was changed for its sake."""
    record, of_file = lab.record, _of_file(lab)
    changes = beside.held(record, lab.layout, of_file.topology, discard=False).without([guest]).changes
    return _by_hand(lab, of_file, changes, record).up([guest])


def _by_hand(
    lab: Lab, of_file: Lab, changes: tuple[Change, ...], record: Record | None, change: Change | None = None
) -> _ByHand:
    """change: the last of the changes."""
    assert of_file.topology
    now = _ByHand.of(changed(of_file.topology, changes), digest=of_file.digest)
    assert isinstance(now, _ByHand)
    now.based_on, now.last, now.changes, now.lock_wait_s = record, change, changes, lab.lock_wait_s
    lines = record.unsaved if record else ()
    now.held = beside.Held(changes, lines)
    now.bases = {change.guest: base_of(of_file.topology, change.guest)} if change else {}
    return now


def _make_once(lab: Lab, find: Callable[[Record | None], Change], *, save: bool) -> Plugged:
    record = lab.record
    change, of_file = find(record), _of_file(lab)
    assert of_file.topology
    source = of_file.topology.source
    before = beside.held(record, lab.layout, of_file.topology, discard=False)
    if record:
        before = beside.of_others(record, before, [change.guest])
    if change.verb == "attach":
        known = changed(of_file.topology, before.changes)
        change = replace(change, nic=_free_number(known, before.changes, change.guest))
    changes = least(of_file.topology, with_change(before.changes, change), change.guest)
    if save:
        source = _source(lab, change.guest)
        text = _saved_text(source, of_file.topology, [one for one in changes if one.guest == change.guest])
    others = tuple(one for one in changes if one.guest != change.guest)
    report = _by_hand(lab, of_file, changes, record, change).up([change.guest])
    if not save or source is None:
        return Plugged(change, report, None)
    saving.write(source, text)
    saved = Lab.load(source, realm=lab.realm)
    _by_hand(lab, saved, others, lab.record, change).up([change.guest])
    return Plugged(change, report, source)


def _why_not(steps: Sequence[Step], record: Record | None) -> str:
    """Of steps that only a restart could do: what stands against a card, else what would be made anew."""
    known = record.wanted if record else {}
    for nic in (step.resource for step in steps if isinstance(step.resource, Nic)):
        machine = known.get(f"machine/{nic.guest}")
        if isinstance(machine, Machine | Adopted) and (why := why_not_plugged(nic, machine)):
            return why
    return ", ".join(step.key for step in steps)


def _other_way(change: Change, changes: Sequence[Change]) -> str:
    if any(one.found for one in changes if one.guest == change.guest):
        return f"another model (`--model usb` where it has a USB controller), or start it with {MORE_PORTS}"
    if change.model in ("usb", "usb-net"):
        return "write `hotplug: 1` at the guest in the file, and `qlan up --restart`: it has one then"
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
    """The file's new text.  UsageError, and nothing was changed."""
    from qlan.topology.edit import edited

    def edit(text: str) -> str:
        for change in changes:
            text = edited(text, change)
        return text

    wanted = changed(topology, [one for one in changes if one.verb != "detach"])
    return saving.new_text(source, edit, lambda before, after: _meaning(after) == _meaning(wanted, changes))


def _meaning(topology: Topology, gone: Sequence[Change] = ()) -> list[object]:
    """The guests without places in the file."""
    out = {(one.guest, one.nic) for one in gone if one.verb == "detach"}
    return [
        (guest.name, [bare(asdict(nic)) for place, nic in enumerate(guest.nics) if (guest.name, place) not in out])
        for guest in topology.guests
    ]


if __name__ == "__main__":
    take_out(Lab.named(sys.argv[1]), sys.argv[2], int(sys.argv[3]))

"""Changes of a lab that is up, one NIC each, made by hand: kept beside the file, or written into it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from qlan import names
from qlan.errors import UsageError
from qlan.facts.found import FoundQemu
from qlan.topology.model import Guest, Nic, Topology, UserNetwork
from qlan.values import Value, asdict, replace

USER = "user"  # as a network's name: QEMU's user-mode network


class Change(Value):
    """verb: attach, detach, move, up, down or adopt.  nic: its number.  network: for attach and move.

    until: seconds since the epoch at which an attached NIC goes again, None: it stays.  found: of adopt.
    """

    guest: str
    verb: str
    nic: int
    network: str = ""
    model: str = ""
    mac: str | None = None
    until: float | None = None
    found: FoundQemu | None = None

    def __str__(self) -> str:
        if self.found is not None:
            return f"{self.guest} adopted (process {self.found.pid})"
        place = f"{self.guest}/{self.nic}"
        if self.verb == "attach":
            return f"{place} attached to {self.network}{' for a while' if self.until else ''}"
        return {"detach": f"{place} detached", "move": f"{place} moved to {self.network}"}.get(
            self.verb, f"{place} cable {self.verb}"
        )


def changed(topology: Topology, changes: Iterable[Change]) -> Topology:
    """The topology with these changes, in their order.  A detached NIC keeps its place: see `pulled`."""
    for change in changes:
        topology = _changed(topology, change)
    return topology


def pulled(changes: Iterable[Change]) -> set[tuple[str, int]]:
    """The NICs, as (guest, number), that are out: detached, and not there again."""
    out: set[tuple[str, int]] = set()
    for one in changes:
        if one.verb == "detach":
            out.add((one.guest, one.nic))
        elif one.verb == "attach":
            out.discard((one.guest, one.nic))
    return out


def timed(changes: Iterable[Change]) -> list[Change]:
    """The NICs that were attached for a while and are not out again."""
    last = {(one.guest, one.nic): one for one in changes if one.verb in ("attach", "detach")}
    return [one for one in last.values() if one.verb == "attach" and one.until is not None]


def with_change(before: tuple[Change, ...], change: Change) -> tuple[Change, ...]:
    """One more; a NIC that was attached by hand and goes again was never there."""
    if change.verb == "detach":
        mine = [one for one in before if (one.guest, one.nic) == (change.guest, change.nic)]
        later = [one for one in before if one.guest == change.guest and one.verb == "attach" and one.nic > change.nic]
        if mine and mine[0].verb == "attach" and not later:
            return tuple(one for one in before if one not in mine)
    return (*before, change)


def least(topology: Topology, changes: tuple[Change, ...], guest: str) -> tuple[Change, ...]:
    """Without those of a guest that others of it cancel out: a cable pulled and put back, a NIC moved to and fro."""
    for one in [each for each in changes if each.guest == guest]:
        fewer = tuple(each for each in changes if each is not one)
        with suppress(UsageError):
            same = base_of(changed(topology, fewer), guest) == base_of(changed(topology, changes), guest)
            if same and pulled(fewer) == pulled(changes):
                changes = fewer
    return changes


def base_of(topology: Topology, guest: str) -> str:
    """A digest of what the topology says of a guest, wherever in the file; "": it does not know it."""
    found = [one for one in topology.guests if one.name == guest]
    return names.digest(repr(bare(asdict(found[0]))), size=8).hex() if found else ""


def bare(value: object) -> object:
    """What `asdict` made, without places in the file."""
    if isinstance(value, dict):
        return {key: bare(inner) for key, inner in value.items() if key not in ("mark", "marks")}
    return [bare(inner) for inner in value] if isinstance(value, list | tuple) else value


def _changed(topology: Topology, change: Change) -> Topology:
    if change.found is not None:
        nics = tuple(Nic(model=one.model, mac=one.mac, found=one) for one in change.found.nics)
        adopted = Guest(change.guest, arch=change.found.arch or None, accel="tcg", nics=nics, found=change.found)
        return replace(topology, guests=(*topology.guests, adopted))
    guests = tuple(_of_guest(guest, change) if guest.name == change.guest else guest for guest in topology.guests)
    return replace(topology, guests=guests)


def _of_guest(guest: Guest, change: Change) -> Guest:
    nics = list(guest.nics)
    if change.verb == "attach":
        new = _plugged(Nic(model=change.model or "virtio", mac=change.mac, mark=guest.mark), change.network)
        nics[change.nic : change.nic + 1] = [new]
    elif change.nic >= len(nics):
        raise UsageError(f"guest `{guest.name}` has no NIC {change.nic} in the file any more", hint="qlan up")
    elif change.verb == "move":
        nics[change.nic] = _plugged(nics[change.nic], change.network)
    elif change.verb in ("up", "down"):
        nics[change.nic] = replace(nics[change.nic], link_up=change.verb == "up")
    return replace(guest, nics=tuple(nics))


def _plugged(nic: Nic, network: str) -> Nic:
    if network == USER:
        return replace(nic, network=None, user=UserNetwork(), address=None)
    return replace(nic, network=network, user=None, address=None)

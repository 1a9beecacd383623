"""Services of this machine for guests of a lab that is up (`qlan forward --reverse`): listed, opened and closed.

As with `ssh -R` and `passt -T`, what listens is said first, on the guest's side; then where it leads to from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address
from typing import cast

from qlan import forwarding, saving
from qlan.errors import ConflictError, HostError, UsageError
from qlan.host import relay
from qlan.lab import Lab
from qlan.networks import outlets
from qlan.planning import scope
from qlan.resources.model import (
    Address,
    Bridge,
    Nic,
    Outlet,
    Resource,
    Resources,
    ReversePort,
)
from qlan.topology.model import Protocol, Reverse, Topology
from qlan.topology.reverse import instead_of, parse_reverses, reverse_text
from qlan.topology.scalars import Unreadable
from qlan.values import Value, replace


class OpenReverse(Value):
    """One that is open.  The guest connects to address and port.  connections: that are open now."""

    guest: str
    nic: int
    network: str
    protocol: str
    address: str
    port: int
    host_address: str
    host_port: int
    owner: str
    connections: int | None


def listed(lab: Lab, guests: Iterable[str] = ()) -> list[OpenReverse]:
    """Those that are open, of some guests or all."""
    _, there = lab.read()
    names = set(guests)
    found = [one for one in there.values() if isinstance(one, ReversePort) and (not names or one.guest in names)]
    counts: dict[str, int] = {}
    with suppress(HostError):  # `status` says that it does not answer
        counts = {port["key"]: port["connections"] for port in relay.ports(lab.layout.outlet)} if found else {}
    owner = f"outlet:{lab.name} (process {relay.find_outlet(lab.layout)})" if found else ""
    return [
        OpenReverse(
            one.guest,
            one.nic,
            one.network,
            one.protocol,
            str(one.address),
            one.port,
            str(one.host_address),
            one.host_port,
            owner,
            counts.get(one.key),
        )
        for one in found
    ]


def add(lab: Lab, guest: str, texts: Sequence[str], nic: int | None = None, *, save: bool = False) -> list[ReversePort]:
    """Open them now.  nic: by which of the guest's NICs it gets there; None: the first that can.  save: into the file.

    UsageError, ConflictError, HostError.
    """
    lab.check_guest(guest, running=True)
    wanted = _parsed(texts)
    added: list[ReversePort] = []
    saved: list[str] = []

    def alter(before: Resources, there: Mapping[str, Resource]) -> Resources:
        into = forwarding.find_nic(lab, guest, nic, before, back=True)
        if into.user is not None:
            raise _by_itself(into, wanted[0])
        for said in wanted:
            one = _resource(said, into, before, lab)
            if other := _taken(one, [*before.values(), *added]):
                raise ConflictError(f"{one.protocol} port {one.port} of {one.address} leads already to "
                                    f"{other.host_address}:{other.host_port}, for guest `{other.guest}`",
                                    hint="choose another port for the guest's side")  # fmt: skip
            added.append(one)
        saved.extend([_saved(lab, added, [])] if save else [])
        outlet = before.get("outlet", Outlet(lab.name, forwarding.uid_for(guest, before)))
        return {**before, "outlet": outlet, **{one.key: one for one in added}}

    lab.change(alter)
    _write(lab, saved, added)
    return added


def remove(lab: Lab, guest: str, texts: Sequence[str], *, save: bool = False) -> list[ReversePort]:
    """Close them, each said by the guest's side's port or in full; with the last one the process goes.  UsageError.

    save: in the file too.
    """
    removed: list[ReversePort] = []
    saved: list[str] = []

    def alter(before: Resources, there: Mapping[str, Resource]) -> Resources:
        mine = [one for one in before.values() if isinstance(one, ReversePort) and one.guest == guest]
        for said in _parsed([_whole(text) for text in texts]):
            found = [one for one in mine if (one.protocol, one.port) == (said.protocol, said.port)]
            if not found:
                known = ", ".join(map(short, mine)) or "none"
                raise UsageError(f"guest `{guest}` has no reverse forward of port {said.port}/{said.protocol}",
                                 hint=f"it has {known}")  # fmt: skip
            removed.extend(found)
        saved.extend([_saved(lab, [], removed)] if save else [])
        left = {key: one for key, one in before.items() if one not in removed}
        if not any(isinstance(one, ReversePort) for one in left.values()):
            left.pop("outlet", None)
        return left

    lab.change(alter)
    _write(lab, saved, removed)
    return removed


def short(one: ReversePort) -> str:
    """In the words of `add`."""
    return reverse_text(_said(one))


# --- the file


def _saved(lab: Lab, added: Sequence[ReversePort], removed: Sequence[ReversePort]) -> str:
    """The file's new text, before anything is done.  UsageError."""
    from qlan.topology import edit

    def edited(text: str) -> str:
        for one in added:
            text = edit.with_forwards(text, one.guest, one.nic, [short(one)], "reverse")
        for one in removed:
            text = edit.without_forward(text, one.guest, one.nic, partial(_means, one), "reverse")
        return text

    def is_meant(before: Topology, after: Topology) -> bool:
        wanted = _meaning(before)
        for one in added:
            wanted[one.guest, one.nic].append(_said(one))
        for one in removed:
            wanted[one.guest, one.nic].remove(_said(one))
        return wanted == _meaning(after)

    return saving.new_text(forwarding.source_of(lab), edited, is_meant)


def _write(lab: Lab, texts: Sequence[str], ports: Sequence[ReversePort]) -> None:
    for text in texts:
        with lab.locked():
            keys = {"outlet", *(one.key for one in ports)}
            saving.write_done(lab.layout, forwarding.source_of(lab), text, keys)


def _meaning(topology: Topology) -> dict[tuple[str, int], list[Reverse]]:
    """Those of each NIC, without their places."""
    return {
        (guest.name, place): [replace(one, mark=None) for one in nic.reverse]
        for guest in topology.guests
        for place, nic in enumerate(guest.nics)
    }


def _means(one: ReversePort, text: str) -> bool:
    with suppress(Unreadable):
        return parse_reverses(text) == (_said(one),)
    return False


def _said(one: ReversePort) -> Reverse:
    return Reverse(cast("Protocol", one.protocol), one.port, one.host_address, one.host_port)


# --- opening and closing


def _parsed(texts: Sequence[str]) -> list[Reverse]:
    """In the file's words.  UsageError."""
    try:
        return [one for text in texts for one in parse_reverses(text)]
    except Unreadable as error:
        raise UsageError(error.what, hint=error.hint) from None


def _whole(text: str) -> str:
    """What is to be closed may be said by its port alone."""
    head, _, last = text.rpartition(":")
    return f"{text}:{last}" if head in ("", "udp", "tcp") else text


def _resource(said: Reverse, nic: Nic, known: Mapping[str, Resource], lab: Lab) -> ReversePort:
    bridge = known[f"bridge/{scope.network_of(nic, known)}"]
    assert isinstance(bridge, Bridge)
    own = next(
        one
        for one in known.values()
        if isinstance(one, Address) and one.link_key == bridge.key and one.interface.version == 4
    )
    caller = forwarding.address_of(nic, known, lab)
    assert isinstance(caller, IPv4Address)
    return outlets.port(said, nic.guest, nic.index, bridge, own, caller)


def _taken(one: ReversePort, known: Sequence[Resource]) -> ReversePort | None:
    same = (one.protocol, one.address, one.port)
    return next((x for x in known if isinstance(x, ReversePort) and (x.protocol, x.address, x.port) == same), None)


def _by_itself(nic: Nic, said: Reverse) -> UsageError:
    """User-mode networking leads there without us."""
    user = nic.user
    assert user is not None
    what = f"NIC {nic.index} of guest `{nic.guest}` is on user-mode networking, which takes no more while it runs"
    return UsageError(what, hint=instead_of(said, restrict=user.restrict, host=user.host, subnet=user.subnet))

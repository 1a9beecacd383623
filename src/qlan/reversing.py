"""Services of this machine for guests of a lab that is up (`qlan forward --reverse`): listed, opened and closed.

As with `ssh -R` and `passt -T`, what listens is said first, on the guest's side; then where it leads to from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address

from qlan import forwarding, status
from qlan.errors import ConflictError, HostError, UsageError
from qlan.host import relay
from qlan.lab import Lab
from qlan.resources.model import (
    Address,
    Adopted,
    Bridge,
    Machine,
    Nic,
    Outlet,
    Resource,
    Resources,
    ReversePort,
)
from qlan.topology.model import Forward


@dataclass(frozen=True, slots=True)
class OpenReverse:
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


def add(lab: Lab, guest: str, texts: Sequence[str], nic: int | None = None) -> list[ReversePort]:
    """Open them now.  nic: by which of the guest's NICs it gets there; None: the first that can.

    UsageError, ConflictError, HostError.
    """
    wanted = _parsed(texts)
    added: list[ReversePort] = []

    def alter(before: Resources, there: Mapping[str, Resource]) -> Resources:
        into = forwarding.find_nic(lab, guest, nic, before)
        if into.user is not None:
            raise _by_itself(into, wanted[0])
        for said in wanted:
            one = _resource(said, into, before, lab)
            if other := _taken(one, [*before.values(), *added]):
                raise ConflictError(f"{one.protocol} port {one.port} of {one.address} leads already to "
                                    f"{other.host_address}:{other.host_port}, for guest `{other.guest}`",
                                    hint="choose another port for the guest's side")  # fmt: skip
            added.append(one)
        machine = before.get(f"machine/{guest}")
        run_as = machine.run_as if isinstance(machine, Machine | Adopted) else None
        return {**before, "outlet": before.get("outlet", Outlet(lab.name, run_as)), **{one.key: one for one in added}}

    lab.change(alter)
    return added


def remove(lab: Lab, guest: str, texts: Sequence[str]) -> list[ReversePort]:
    """Close them, each said by the guest's side's port or in full; with the last one the process goes.  UsageError."""
    removed: list[ReversePort] = []

    def alter(before: Resources, there: Mapping[str, Resource]) -> Resources:
        mine = [one for one in before.values() if isinstance(one, ReversePort) and one.guest == guest]
        for said in _parsed(texts, lax=True):
            found = [one for one in mine if (one.protocol, one.port) == (said.protocol, said.host_port)]
            if not found:
                known = ", ".join(map(short, mine)) or "none"
                raise UsageError(f"guest `{guest}` has no reverse forward of port {said.host_port}/{said.protocol}",
                                 hint=f"it has {known}")  # fmt: skip
            removed.extend(found)
        left = {key: one for key, one in before.items() if one not in removed}
        if not any(isinstance(one, ReversePort) for one in left.values()):
            left.pop("outlet", None)
        return left

    lab.change(alter)
    return removed


def short(one: ReversePort) -> str:
    """In the words of `add`."""
    protocol = "udp:" if one.protocol == "udp" else ""
    address = "" if str(one.host_address) == "127.0.0.1" else f"{one.host_address}:"
    return f"{protocol}{one.port}:{address}{one.host_port}"


def _parsed(texts: Sequence[str], *, lax: bool = False) -> list[Forward]:
    """`PORT:[ADDRESS:]PORT`, in the language of forwards: the guest's side first, then the service.  UsageError."""
    whole = []
    for text in texts:
        head, _, last = text.rpartition(":")
        whole.append(f"{text}:{last}" if head in ("", "udp", "tcp") else text)
    found = forwarding.parsed(whole)
    for one, text in zip(found, texts, strict=False):
        if one.host_port is None:
            raise UsageError("a reverse forward has no `auto` port: the guest must know it", hint="8080:80")
        if str(one.host_address) != "127.0.0.1" and not lax:
            raise UsageError(f"`{text}` names an address on the guest's side: that is the host's on the network",
                             hint=f"{one.host_port}:{one.guest_port}")  # fmt: skip
        if one.guest_address and one.guest_address.version == 6:
            raise UsageError(f"`{text}`: a reverse forward leads to an IPv4 address", hint="8080:192.168.1.5:80")
    return found


def _resource(said: Forward, nic: Nic, known: Mapping[str, Resource], lab: Lab) -> ReversePort:
    network = status.network_of(nic, known)
    bridge = known[f"bridge/{network}"]
    assert isinstance(bridge, Bridge) and said.host_port is not None
    own = next(
        one
        for one in known.values()
        if isinstance(one, Address) and one.link_key == bridge.key and one.interface.version == 4
    )
    assert isinstance(own.interface.ip, IPv4Address)
    target = said.guest_address or IPv4Address("127.0.0.1")
    guest = forwarding.address_of(nic, known, lab)
    assert isinstance(target, IPv4Address) and isinstance(guest, IPv4Address)
    return ReversePort(nic.guest, nic.index, network, said.protocol, own.interface.ip, said.host_port,
                       guest, target, said.guest_port, bridge.name, own.key,
                       own.namespace)  # fmt: skip


def _taken(one: ReversePort, known: Sequence[Resource]) -> ReversePort | None:
    same = (one.protocol, one.address, one.port)
    return next((x for x in known if isinstance(x, ReversePort) and (x.protocol, x.address, x.port) == same), None)


def _by_itself(nic: Nic, said: Forward) -> UsageError:
    """User-mode networking leads there without us."""
    user = nic.user
    assert user is not None
    what = f"NIC {nic.index} of guest `{nic.guest}` is on user-mode networking, which takes no more while it runs"
    if user.restrict:
        line = f"tcp:10.0.2.100:{said.host_port}-cmd:nc 127.0.0.1 {said.guest_port}"
        return UsageError(what, hint=f'write `guestfwd: ["{line}"]` under `user:` in the file')
    gateway = user.host or (user.subnet.network_address + 2 if user.subnet else "10.0.2.2")
    return UsageError(what, hint=f"it has it: {gateway}:{said.guest_port} is this machine's 127.0.0.1 in the guest")

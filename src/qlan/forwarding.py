"""Forwards of a lab that is up: listed, opened and closed while its guests run and open connections go on."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any, cast

from qlan import saving, status
from qlan.errors import ConflictError, HostError, UsageError
from qlan.host import present, relay, taken
from qlan.lab import Lab
from qlan.names import bracketed
from qlan.networks import published
from qlan.planning import scope
from qlan.planning.plan import Plan
from qlan.realm import Realm
from qlan.resources.model import (
    Address,
    Adopted,
    Bridge,
    Machine,
    Nic,
    PortForward,
    PortMap,
    PublishedPort,
    Relay,
    Resource,
    Resources,
)
from qlan.topology import addressing
from qlan.topology.forwards import parse_forwards
from qlan.topology.model import Forward, Protocol, Topology
from qlan.topology.scalars import Unreadable
from qlan.values import Value, replace

AnyForward = PortForward | PublishedPort

_DIGITS = re.compile(r"[0-9]+(/tcp|/udp)?", re.ASCII)
_SLIRP_ROW = re.compile(r"(TCP|UDP)\[(\w+)\]\s+-?\d+\s+(\S+)\s+(\d+)\s", re.ASCII)  # `info usernet`, slirp's misc.c


class Open(Value):
    """A forward that is open.  backend: `slirp`, `passt`, `relay` or `nft`.  owner: the process that listens; with nft
    it serves only who comes by no entrance of the table.

    seen_as: the address that the guest sees instead of the caller's, "": it sees the caller's.  connections: that are
    open now, None: its owner does not tell.
    """

    guest: str
    nic: int
    network: str
    protocol: str
    host_address: str
    host_port: int
    guest_address: str
    guest_port: int
    backend: str
    owner: str
    seen_as: str
    connections: int | None


def listed(lab: Lab, guests: Iterable[str] = ()) -> list[Open]:
    """The forwards that are open, of some guests or all."""
    known, there = lab.read()
    names = set(guests)
    forwards = [one for one in there.values() if isinstance(one, AnyForward) and (not names or one.guest in names)]
    ports = [one for one in forwards if isinstance(one, PublishedPort)]
    of_relay = _of_relay(lab) if ports else {}
    counts: dict[str, int] = {key: port["connections"] for key, port in of_relay.items()}
    counts |= _led_counts([one for one in ports if one.portmap], counts)
    slirp = [one for one in forwards if isinstance(one, PortForward) and _backend(one, known) == "slirp"]
    for guest in dict.fromkeys(one.guest for one in slirp):
        counts |= _slirp_counts(lab, [one for one in slirp if one.guest == guest])
    by_us = {one.key: replace(one, filter="") for one in ports if not of_relay.get(one.key, {}).get("keeps")}
    return [_open(by_us.get(one.key, one), lab, {**known, **there}, counts) for one in forwards]


def add(
    lab: Lab, guest: str, texts: Sequence[str], nic: int | None = None, *, save: bool = False
) -> tuple[Plan, list[AnyForward]]:
    """Open them now.  nic: into which of the guest's NICs; None: the first that takes forwards.  save: into the file.

    UsageError, ConflictError (who has a port is named), HostError.
    """
    lab.check_guest(guest, running=True)
    wanted = parsed(texts)
    added: list[AnyForward] = []
    spelled: list[str] = []

    def alter(before: Resources, there: Mapping[str, Resource]) -> Resources:
        into = find_nic(lab, guest, nic, before)
        for said in wanted:
            forward = _with_port(said, [*before.values(), *added], lab)
            _check_live(into)
            one = _resource(forward, into, before, lab)
            spelled.append(_spelled(forward))
            _check_free(one, before, [*before.values(), *added])
            added.append(one)
        found = before | {one.key: one for one in added}
        if any(isinstance(one, PublishedPort) for one in added) and "relay" not in found:
            found["relay"] = Relay(lab.name, _bridge(into, before).namespace, uid_for(guest, before))
        saved.extend([_saved(lab, list(zip(added, spelled, strict=True)), [])] if save else [])
        return _completed(found, lab)

    saved: list[str] = []
    plan = lab.change(alter)
    _write(lab, saved, added)
    return plan, added


def remove(lab: Lab, guest: str, texts: Sequence[str], *, save: bool = False) -> tuple[Plan, list[AnyForward]]:
    """Close them: each said by its host port alone or in full.  UsageError if there is none.  save: in the file too."""
    removed: list[AnyForward] = []

    def alter(before: Resources, there: Mapping[str, Resource]) -> Resources:
        forwards = [one for one in before.values() if isinstance(one, AnyForward) and one.guest == guest]
        for text in texts:
            removed.extend(one for one in _named(text, forwards, guest) if one not in removed)
        for one in removed:
            nic = before.get(f"nic/{guest}/{one.nic}")
            if isinstance(nic, Nic):
                _check_live(nic)
        saved.extend([_saved(lab, [], removed)] if save else [])
        return _completed({key: one for key, one in before.items() if one not in removed}, lab)

    saved: list[str] = []
    plan = lab.change(alter)
    _write(lab, saved, removed)
    return plan, removed


def short(one: AnyForward) -> str:
    """In the file's words: `udp:0.0.0.0:5353:53`."""
    protocol = "udp:" if one.protocol == "udp" else ""
    address = "" if str(one.host_address) == "127.0.0.1" else f"{bracketed(one.host_address)}:"
    return f"{protocol}{address}{one.host_port}:{one.guest_port}"


# --- the file


def _saved(lab: Lab, added: Sequence[tuple[AnyForward, str]], removed: Sequence[AnyForward]) -> str:
    """The file's new text, before anything is done.  UsageError.  added: each with its words."""
    from qlan.topology import edit

    def edited(text: str) -> str:
        for one, words in added:
            text = edit.with_forwards(text, one.guest, one.nic, [words])
        for one in removed:
            text = edit.without_forward(text, one.guest, one.nic, partial(_means, one))
        return text

    def is_meant(before: Topology, after: Topology) -> bool:
        wanted = _meaning(before)
        for one, words in added:
            wanted[one.guest, one.nic].append(_bare(parsed([words])[0]))
        for one in removed:
            wanted[one.guest, one.nic] = [said for said in wanted[one.guest, one.nic] if said not in _own(one)]
        return wanted == _meaning(after)

    return saving.new_text(source_of(lab), edited, is_meant)


def _write(lab: Lab, texts: Sequence[str], forwards: Sequence[AnyForward]) -> None:
    for text in texts:
        with lab.locked():
            saving.write_done(lab.layout, source_of(lab), text, {one.key for one in forwards})


def source_of(lab: Lab) -> Path:
    """The file into which a change is saved.  UsageError if there is none."""
    record = lab.record
    if record is None or record.source is None:
        raise UsageError(f"lab `{lab.name}` has no file: it was started by `qlan run`", hint="leave out --save")
    return record.source


def _meaning(topology: Topology) -> dict[tuple[str, int], list[object]]:
    """The forwards of each NIC, without their places."""
    return {
        (guest.name, place): [_bare(one) for one in nic.forwards]
        for guest in topology.guests
        for place, nic in enumerate(guest.nics)
    }


def _bare(one: Forward) -> object:
    return replace(one, mark=None)


def _own(one: AnyForward) -> list[object]:
    """A forward as the file may say it: with its port, or `auto`; with the guest's address or without."""
    return [
        Forward(cast("Protocol", one.protocol), one.host_address, port, address, one.guest_port)
        for port in (one.host_port, None)
        for address in (one.guest_address, None)
    ]


def _means(one: AnyForward, text: str) -> bool:
    with suppress(Unreadable):
        said = parse_forwards(text)
        return len(said) == 1 and _bare(said[0]) in _own(one)
    return False


def _spelled(one: Forward) -> str:
    """In the file's words."""
    protocol = "udp:" if one.protocol == "udp" else ""
    address = "" if str(one.host_address) == "127.0.0.1" else f"{bracketed(one.host_address)}:"
    inner = f"{bracketed(one.guest_address)}:" if one.guest_address else ""
    return f"{protocol}{address}{one.host_port}:{inner}{one.guest_port}"


# --- opening and closing


def parsed(texts: Sequence[str]) -> list[Forward]:
    """In the file's words; UsageError."""
    try:
        return [one for text in texts for one in parse_forwards(text)]
    except Unreadable as error:
        raise UsageError(error.what, hint=error.hint) from None


def find_nic(lab: Lab, guest: str, index: int | None, known: Mapping[str, Resource], *, back: bool = False) -> Nic:
    """The NIC into which a forward leads.  back: or by which one leads out of the guest: on a bridge, if it has one."""
    nics = scope.nics_of(guest, known)
    if index is not None:
        chosen = next((one for one in nics if one.index == index), None)
        if chosen is None:
            numbers = ", ".join(str(one.index) for one in nics) or "none"
            raise UsageError(f"guest `{guest}` has no NIC {index}", hint=f"it has {numbers}")
        if not _takes_forwards(chosen, known):
            raise _no_way(guest, f"NIC {index} of guest `{guest}`")
        return chosen
    having = {one.nic for one in known.values() if isinstance(one, AnyForward) and one.guest == guest}
    fit = [one for one in nics if _takes_forwards(one, known)]
    if not fit:
        raise _no_way(guest, f"guest `{guest}`")
    if back:
        return next((one for one in fit if one.user is None), fit[0])
    return next((one for one in fit if one.index in having), fit[0])


def uid_for(guest: str, known: Mapping[str, Resource]) -> int | None:
    """As whom what carries its ports runs: as its QEMU does; None: as we do."""
    machine = known.get(f"machine/{guest}")
    uid = machine.run_as if isinstance(machine, Machine | Adopted) else None
    return None if uid == os.geteuid() else uid


def _check_live(nic: Nic) -> None:
    """passt takes its ports when it starts, and from nobody later."""
    if status.has_passt(nic):
        raise UsageError(
            f"the ports of passt, behind NIC {nic.index} of guest `{nic.guest}`, cannot be changed while it runs",
            hint="change `forwards:` in the file, then `qlan up`: the NIC is plugged in anew; or use `backend: slirp`",
        )


def _no_way(guest: str, what: str) -> UsageError:
    return UsageError(f"{what} is on nothing from which this machine reaches it",
                      hint="give it a NIC on a host-only network or a `user` NIC")  # fmt: skip


def _completed(wanted: Resources, lab: Lab) -> Resources:
    """With what leads callers to these ports past the relay, or guests' answers back to it."""
    if not any(isinstance(one, PortMap | PublishedPort) for one in wanted.values()):
        return wanted
    if lab.realm is not Realm.HOST:
        return published.complete(wanted, lab.name, published.Ways((), {}))
    kernel = taken.Kernel()
    uplinks6, _ = taken.read_uplinks6(kernel)
    ways = published.Ways(taken.read_uplinks(kernel), taken.read_links_of(kernel), uplinks6)
    return published.complete(wanted, lab.name, ways)


def _takes_forwards(nic: Nic, known: Mapping[str, Resource]) -> bool:
    """A user-mode NIC, or one on a bridge on which the realm itself has an address."""
    if nic.user is not None:
        return True
    network = scope.network_of(nic, known)
    bridge = known.get(f"bridge/{network}")
    if not isinstance(bridge, Bridge) or bridge.namespace not in ("", "namespace/realm"):
        return False
    return any(isinstance(one, Address) and one.link_key == bridge.key for one in known.values())


def _bridge(nic: Nic, known: Mapping[str, Resource]) -> Bridge:
    bridge = known[f"bridge/{scope.network_of(nic, known)}"]
    assert isinstance(bridge, Bridge)
    return bridge


def _with_port(forward: Forward, known: Sequence[Resource], lab: Lab) -> Forward:
    """`auto` as a port that nobody has."""
    if forward.host_port is not None:
        return forward
    used = {(one.protocol, one.port) for one in taken.read_ports()}
    used |= {(one.protocol, one.host_port) for one in known if isinstance(one, AnyForward)}
    return replace(forward, host_port=addressing.free_port(forward, lab.name, used))


def _resource(forward: Forward, nic: Nic, known: Mapping[str, Resource], lab: Lab) -> AnyForward:
    assert forward.host_port is not None
    if nic.user is not None:
        if 6 in {one.version for one in (forward.host_address, forward.guest_address) if one}:
            raise UsageError(f"NIC {nic.index} of guest `{nic.guest}` forwards IPv4 alone: QEMU's user-mode network",
                             hint="--nic N of one on a nat or host-only network, or an IPv4 address")  # fmt: skip
        return PortForward(nic.guest, nic.index, forward.protocol, forward.host_address, forward.host_port,
                           forward.guest_address, forward.guest_port)  # fmt: skip
    address = forward.guest_address or address_of(nic, known, lab, forward.host_address.version)
    return PublishedPort(nic.guest, nic.index, scope.network_of(nic, known), forward.protocol, forward.host_address,
                         forward.host_port, address, forward.guest_port)  # fmt: skip


def address_of(nic: Nic, known: Mapping[str, Resource], lab: Lab, version: int = 4) -> IPv4Address | IPv6Address:
    """The NIC's own, as far as it is known: of that IP version, else IPv4 (between the two the relay can mediate)."""
    guests = status.guests(lab.layout, known, known, {})
    own = next(one.nics[nic.index] for one in guests if one.name == nic.guest)
    for text in (own.address6, own.address) if version == 6 else (own.address,):
        with suppress(ValueError):
            return ip_address(text)
    raise UsageError(f"the address of NIC {nic.index} of guest `{nic.guest}` is not known",
                     hint="name it in the forward: 8080:10.10.10.5:80")  # fmt: skip


def _check_free(one: AnyForward, before: Mapping[str, Resource], known: Sequence[Resource]) -> None:
    """ConflictError, with who has the port."""
    what = f"{one.protocol} port {one.host_port} of {one.host_address}"
    hint = "choose another port, or `auto` for a free one"
    for other in known:
        if isinstance(other, AnyForward) and _overlap(one, other):
            raise ConflictError(f"{what} is forwarded already: to port {other.guest_port} of guest `{other.guest}`",
                                hint=hint)  # fmt: skip
    if owner := taken.find_owner(one.protocol, str(one.host_address), one.host_port):
        raise ConflictError(f"{what} is taken by {owner}", hint=hint)


def _overlap(one: AnyForward, other: AnyForward) -> bool:
    if (one.protocol, one.host_port) != (other.protocol, other.host_port):
        return False
    mine, its = one.host_address, other.host_address
    return mine == its or (mine.version == its.version and 0 in (int(mine), int(its)))


def _named(text: str, forwards: Sequence[AnyForward], guest: str) -> list[AnyForward]:
    """Those that a text means: `8080`, `8080/udp`, or a whole forward."""
    if _DIGITS.fullmatch(text):
        port, _, protocol = text.partition("/")
        found = [one for one in forwards if one.host_port == int(port) and protocol in ("", one.protocol)]
    else:
        wanted = {(one.protocol, one.host_address, one.host_port, one.guest_port) for one in parsed([text])}
        found = [one for one in forwards if (one.protocol, one.host_address, one.host_port, one.guest_port) in wanted]
    if not found:
        known = ", ".join(map(short, forwards)) or "none"
        raise UsageError(f"guest `{guest}` has no forward `{text}`", hint=f"it has {known}")
    return found


# --- what is open


def _backend(one: AnyForward, known: Mapping[str, Resource]) -> str:
    if isinstance(one, PublishedPort):
        return "nft" if one.portmap else "relay"
    nic = known.get(f"nic/{one.guest}/{one.nic}")
    return "passt" if isinstance(nic, Nic) and status.has_passt(nic) else "slirp"


def _owner(one: AnyForward, backend: str, lab: Lab) -> str:
    """The process that listens."""
    if backend in ("relay", "nft"):
        return f"relay:{lab.name} (process {relay.find(lab.layout)})"
    if backend == "passt":
        return f"passt (process {present.find_passt(lab.layout, one.guest, one.nic)})"
    return f"qemu:{one.guest} (process {present.find_machine(lab.layout, one.guest)})"


def _open(one: AnyForward, lab: Lab, known: Mapping[str, Resource], counts: Mapping[str, int]) -> Open:
    nic = known.get(f"nic/{one.guest}/{one.nic}")
    backend = _backend(one, known)
    network = scope.network_of(nic, known) if isinstance(nic, Nic) else ""
    return Open(
        one.guest,
        one.nic,
        network,
        one.protocol,
        str(one.host_address),
        one.host_port,
        str(one.guest_address or ""),
        one.guest_port,
        backend,
        _owner(one, backend, lab),
        status.seen_as(one, known),
        counts.get(one.key),
    )


def _of_relay(lab: Lab) -> dict[str, dict[str, Any]]:
    """What the relay says of its ports, by key."""
    with suppress(HostError):  # it is said elsewhere that it does not answer
        return {port["key"]: port for port in relay.ports(lab.layout.relay)}
    return {}


def _led_counts(ports: Sequence[PublishedPort], by_relay: Mapping[str, int]) -> dict[str, int]:
    """The connections that the kernel leads, and those that the relay has of the same ports."""
    if not ports:
        return {}
    from qlan.host import conntrack

    there: Counter[tuple[str | int, ...]] = Counter()
    for one in conntrack.read():
        if one.is_open:
            for host in (str(one.host), "::" if one.host.version == 6 else "0.0.0.0"):
                there[one.protocol, host, one.host_port, str(one.guest), one.guest_port] += 1
    return {
        one.key: by_relay.get(one.key, 0)
        + there[one.protocol, str(one.host_address), one.host_port, str(one.guest_address), one.guest_port]
        for one in ports
    }


def _slirp_counts(lab: Lab, forwards: Sequence[PortForward]) -> dict[str, int]:
    """By QEMU's `info usernet`; none if somebody else talks to it."""
    from qlan.qmp.monitor import execute

    call = ("human-monitor-command", {"command-line": "info usernet"})
    with suppress(HostError):
        [text] = execute(lab.layout.qmp(forwards[0].guest), [call], time_limit_s=2.0)
        return {one.key: parse_usernet(text, one) for one in forwards}
    return {}


def parse_usernet(text: str, forward: PortForward) -> int:
    """The connections through a forward, in the words of `info usernet`."""
    rows = [match.groups() for match in map(_SLIRP_ROW.search, text.splitlines()) if match]
    return sum(
        protocol.lower() == forward.protocol and state != "HOST_FORWARD" and int(port) == forward.host_port
        for protocol, state, _, port in rows
    )

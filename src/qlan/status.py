"""What is known of a lab from the outside: guests, NICs, addresses, forwards, and what differs from what was wanted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qlan.host import leases
from qlan.host.leases import Lease
from qlan.host.namespace import find_holder
from qlan.names import endpoint, interface_id, user_gateway
from qlan.planning import scope
from qlan.planning.plan import plan
from qlan.render.layout import Layout
from qlan.resources.model import (
    Address,
    Adopted,
    Dnsmasq,
    ForeignBackend,
    Machine,
    Macvtap,
    Nic,
    PortForward,
    PortMap,
    PublishedPort,
    Resource,
    Tap,
    TapBackend,
    UserBackend,
)
from qlan.values import Value, replace


class NicStatus(Value):
    """One NIC.  network: its name, or `user`.

    address_state: `lease`, `reserved` (no lease yet), `static` (the guest sets it itself), `built in` (user mode's own
    DHCP) or "" (none is known).  expires_s: seconds since the epoch, None: no lease.  callers_seen_as: the
    address that the guest sees instead of that of who comes through a forward.
    """

    index: int
    network: str
    model: str
    mac: str
    address: str
    address_state: str
    expires_s: int | None
    link: str
    forwards: tuple[str, ...]
    callers_seen_as: str = ""
    address6: str = ""
    address6_state: str = ""


class LeaseStatus(Value):
    """One lease.  guest: "" for one that is not of the file; name: what it calls itself; how: `reserved`, `dynamic`."""

    network: str
    address: str
    mac: str
    guest: str
    name: str
    how: str
    expires_s: int


class GuestStatus(Value):
    """One guest.  state: `running`, `stopped`, or `adopted` (somebody else started it, and it runs)."""

    name: str
    state: str
    pid: int | None
    nics: tuple[NicStatus, ...]


class LabStatus(Value):
    """A whole lab.  drift: the plan that `up` would carry out to repair it, a line a step.  unsaved: what was changed
    while it ran and is not in the file (`+ KEY`, `- KEY`).  by_hand: changes of NICs likewise, in words.
    bends: bad links, in words: they stay until they are taken back.
    """

    lab: str
    realm: str
    source: Path | None
    guests: tuple[GuestStatus, ...]
    drift: tuple[str, ...]
    edited: bool = False
    unsaved: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()
    bends: tuple[str, ...] = ()


def all_leases(layout: Layout, wanted: Mapping[str, Resource]) -> dict[str, dict[str, Lease]]:
    """The leases of the lab's networks: network to MAC to lease."""
    return {
        one.network: {lease.mac: lease for lease in leases.read(layout.leases(one.network))}
        for one in wanted.values()
        if isinstance(one, Dnsmasq)
    }


def lease_list(layout: Layout, known: Mapping[str, Resource]) -> list[LeaseStatus]:
    """Every lease of both families that the lab's servers have given, in the order of networks and addresses."""
    names = {(scope.network_of(one, known), one.mac): one.guest for one in known.values() if isinstance(one, Nic)}
    found = []
    for server in known.values():
        if not isinstance(server, Dnsmasq):
            continue
        kept = {str(one): mac for mac, *both in _reserved(server) for one in both}
        path = layout.leases(server.network)
        there = [*leases.read(path), *leases.read6(path)]
        for lease in sorted(there, key=lambda one: (one.address.version, int(one.address))):
            address = str(lease.address)
            mac = lease.mac or kept.get(address, "")
            guest = names.get((server.network, mac), "")
            how = "reserved" if kept.get(address) == mac else "dynamic"
            found.append(LeaseStatus(server.network, address, mac, guest, lease.name, how, lease.expires_s))
    return found


def _reserved(server: Dnsmasq) -> list[tuple[str, str, str]]:
    return [(one.mac, str(one.address or ""), str(one.address6 or "")) for one in server.reservations]


class _Served:
    """What a network's server has given and keeps, by MAC; nameless6: leases whose DUID tells no MAC, by address."""

    def __init__(self, layout: Layout, server: Dnsmasq) -> None:
        path = layout.leases(server.network)
        given6 = leases.read6(path) if server.ipv6 else []
        self.ipv6 = server.ipv6
        self.kept = {one.mac: one for one in reversed(server.reservations)}
        self.leases = {one.mac: one for one in leases.read(path)}
        self.leases6 = {one.mac: one for one in reversed(given6) if one.mac}
        self.nameless6: Mapping[object, Lease] = {one.address: one for one in given6 if not one.mac}


def guests(
    layout: Layout, wanted: Mapping[str, Resource], present: Mapping[str, Resource], pids: Mapping[str, int]
) -> tuple[GuestStatus, ...]:
    """Every guest that is wanted or there, in the file's order.  pids: of those that run."""
    known = {**wanted, **{key: one for key, one in present.items() if key not in wanted}}
    served = {one.network: _Served(layout, one) for one in known.values() if isinstance(one, Dnsmasq)}
    nics: dict[str, list[NicStatus]] = {}
    forwards, callers = _forwards(known), _all_seen_as(known)
    for one in known.values():
        if isinstance(one, Nic):
            seen = _nic(one, known, served, (forwards, callers), present)
            address6, how6 = _address6(one, served.get(seen.network))
            nics.setdefault(one.guest, []).append(replace(seen, address6=address6, address6_state=how6))
    return tuple(
        GuestStatus(
            one.guest,
            "stopped" if one.guest not in pids else "adopted" if isinstance(one, Adopted) else "running",
            pids.get(one.guest),
            tuple(sorted(nics.get(one.guest, ()), key=lambda nic: nic.index)),
        )
        for one in known.values()
        if isinstance(one, Machine | Adopted)
    )


def offloads(layout: Layout, known: Mapping[str, Resource], guest: str) -> dict[str, tuple[str, ...]]:
    """By key of a guest's TAPs and macvtaps, what their driver takes unfinished (`offloads.WORDS`)."""
    from qlan.host import offloads  # only `show` asks

    found: dict[str, tuple[str, ...]] = {}
    links = {one.name: one for one in known.values() if isinstance(one, Tap | Macvtap) and one.guest == guest}
    for namespace in {one.namespace for one in links.values()}:
        pid = find_holder(layout, namespace) if namespace else None
        if pid is None and namespace:
            continue
        names = [name for name, one in links.items() if one.namespace == namespace]
        found.update((links[name].key, words) for name, words in offloads.read(pid, names).items())
    return found


def drift(wanted: Mapping[str, Resource], present: Mapping[str, Resource]) -> tuple[str, ...]:
    """What `up` would have to do."""
    changes = plan(wanted, present)
    if not changes:
        return ()
    from qlan.planning import text

    return tuple(text.lines(changes))


def seen_as(forward: PortForward | PublishedPort, known: Mapping[str, Resource]) -> str:
    """The address that a guest sees instead of a caller's own: slirp's gateway, or the host's; "": it sees his.

    passt keeps the caller's, but for this machine's loopback, and so does the relay of a rootless lab, where guests
    have a way to him.
    """
    if isinstance(forward, PublishedPort) and forward.filter:
        return ""
    nic = known.get(f"nic/{forward.guest}/{forward.nic}")
    by = known.get(forward.portmap) if isinstance(forward, PublishedPort) else None
    if isinstance(by, PortMap) and by.keeps_callers:
        return ""
    if isinstance(nic, Nic) and has_passt(nic) and not forward.host_address.is_loopback:
        return ""
    version = 4 if isinstance(forward, PortForward) else forward.guest_address.version
    return _seen_as(nic, known, version) if isinstance(nic, Nic) else ""


def has_passt(nic: Nic) -> bool:
    """Whether passt is its network."""
    return isinstance(nic.backend, UserBackend) and nic.backend.backend == "passt"


def _all_seen_as(known: Mapping[str, Resource]) -> dict[tuple[str, int], str]:
    """By NIC: the address that stands for callers of one of its forwards at least."""
    forwards = [one for one in known.values() if isinstance(one, PortForward | PublishedPort)]
    return {(one.guest, one.nic): address for one in forwards if (address := seen_as(one, known))}


def _seen_as(nic: Nic, known: Mapping[str, Resource], version: int) -> str:
    if user := nic.user:
        return str(user_gateway(user.host, user.subnet))
    bridge = f"bridge/{scope.network_of(nic, known)}"
    own = (one.interface for one in known.values() if isinstance(one, Address) and one.link_key == bridge)
    return next((str(one.ip) for one in own if one.version == version), "")


def _nic(
    nic: Nic,
    known: Mapping[str, Resource],
    served: Mapping[str, _Served],
    ways_in: tuple[Mapping[tuple[str, int], list[str]], Mapping[tuple[str, int], str]],
    present: Mapping[str, Resource],
) -> NicStatus:
    network, (forwards, callers) = scope.network_of(nic, known), ways_in
    address, state, expires = _address(nic, served.get(network))
    if isinstance(nic.backend, TapBackend):
        cut = nic.backend.tap not in present
    elif has_passt(nic):
        cut = f"passt/{nic.guest}/{nic.index}" not in present
    else:
        cut = not isinstance(nic.backend, UserBackend | ForeignBackend) and nic.key not in present
    link = "down" if not nic.link_up else ("cut" if cut else "up")
    return NicStatus(
        nic.index,
        network,
        nic.model,
        nic.mac,
        address,
        state,
        expires,
        link,
        tuple(forwards.get((nic.guest, nic.index), ())),
        callers.get((nic.guest, nic.index), "") if not has_passt(nic) else "",
    )


def _address(nic: Nic, served: _Served | None) -> tuple[str, str, int | None]:
    if user := nic.user:
        first = user.subnet.network_address + 15 if user.subnet else "10.0.2.15"
        return str(user.dhcp_start or first), "built in", None
    if served and (lease := served.leases.get(nic.mac)):
        return str(lease.address), "lease", lease.expires_s
    if nic.address:
        return str(nic.address.ip), "static", None
    kept = served.kept.get(nic.mac) if served else None
    return (str(kept.address), "reserved", None) if kept and kept.address else ("", "", None)


def _address6(nic: Nic, served: _Served | None) -> tuple[str, str]:
    """Its IPv6 address and how it is known; `slaac`: what it makes of its MAC, unless it hides that (RFC 7217)."""
    if nic.address6:
        return str(nic.address6.ip), "static"
    if served is None or served.ipv6 is None:
        return "", ""
    kept = served.kept.get(nic.mac)
    own = kept.address6 if kept else None
    if lease := served.leases6.get(nic.mac) or served.nameless6.get(own):
        return str(lease.address), "lease"
    if served.ipv6.slaac:
        return str(served.ipv6.address.network.network_address + interface_id(nic.mac)), "slaac"
    return (str(own), "reserved") if own else ("", "")


def _forwards(known: Mapping[str, Resource]) -> dict[tuple[str, int], list[str]]:
    found: dict[tuple[str, int], list[str]] = {}
    for one in known.values():
        if isinstance(one, PortForward | PublishedPort):
            word = f"{endpoint(one.host_address, one.host_port)} -> {one.guest_port}/{one.protocol}"
            found.setdefault((one.guest, one.nic), []).append(word)
    return found

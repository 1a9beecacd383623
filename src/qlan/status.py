"""What is known of a lab from the outside: guests, NICs, addresses, forwards, and what differs from what was wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qlan.host import leases
from qlan.host.leases import Lease
from qlan.planning.plan import plan
from qlan.render.layout import Layout
from qlan.resources.model import Dnsmasq, Machine, Nic, PortForward, Resource, Tap, TapBackend, UserBackend


@dataclass(frozen=True, slots=True)
class NicStatus:
    """One NIC.  network: its name, or `user`.

    address_state: `lease`, `reserved` (no lease yet), `static` (the guest sets it itself), `built in` (user mode's own
    DHCP) or "" (none is known).  expires_s: seconds since the epoch, None: no lease.
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


@dataclass(frozen=True, slots=True)
class GuestStatus:
    """One guest.  state: `running` or `stopped`."""

    name: str
    state: str
    pid: int | None
    nics: tuple[NicStatus, ...]


@dataclass(frozen=True, slots=True)
class LabStatus:
    """A whole lab.  drift: the plan that `up` would carry out to repair it, a line a step."""

    lab: str
    realm: str
    source: Path | None
    guests: tuple[GuestStatus, ...]
    drift: tuple[str, ...]
    edited: bool = False


def all_leases(layout: Layout, wanted: Mapping[str, Resource]) -> dict[str, dict[str, Lease]]:
    """The leases of the lab's networks: network to MAC to lease."""
    return {
        one.network: {lease.mac: lease for lease in leases.read(layout.leases(one.network))}
        for one in wanted.values()
        if isinstance(one, Dnsmasq)
    }


def guests(
    layout: Layout, wanted: Mapping[str, Resource], present: Mapping[str, Resource], pids: Mapping[str, int]
) -> tuple[GuestStatus, ...]:
    """Every guest that is wanted or there, in the file's order.  pids: of those that run."""
    known = {**wanted, **{key: one for key, one in present.items() if key not in wanted}}
    by_network = all_leases(layout, known)
    nics: dict[str, list[NicStatus]] = {}
    forwards = _forwards(known)
    for one in known.values():
        if isinstance(one, Nic):
            nics.setdefault(one.guest, []).append(_nic(one, known, by_network, forwards, present))
    return tuple(
        GuestStatus(
            one.guest,
            "running" if one.guest in pids else "stopped",
            pids.get(one.guest),
            tuple(sorted(nics.get(one.guest, ()), key=lambda nic: nic.index)),
        )
        for one in known.values()
        if isinstance(one, Machine)
    )


def drift(wanted: Mapping[str, Resource], present: Mapping[str, Resource]) -> tuple[str, ...]:
    """What `up` would have to do."""
    changes = plan(wanted, present)
    if not changes:
        return ()
    from qlan.planning import text

    return tuple(text.lines(changes))


def network_of(nic: Nic, known: Mapping[str, Resource]) -> str:
    """The name of the NIC's network, or `user`."""
    if isinstance(nic.backend, UserBackend):
        return "user"
    tap = known.get(nic.backend.tap)
    return tap.network if isinstance(tap, Tap) else ""


def _nic(
    nic: Nic,
    known: Mapping[str, Resource],
    by_network: Mapping[str, Mapping[str, Lease]],
    forwards: Mapping[tuple[str, int], list[str]],
    present: Mapping[str, Resource],
) -> NicStatus:
    network = network_of(nic, known)
    address, state, expires = _address(nic, network, known, by_network)
    cut = isinstance(nic.backend, TapBackend) and nic.backend.tap not in present
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
    )


def _address(
    nic: Nic, network: str, known: Mapping[str, Resource], by_network: Mapping[str, Mapping[str, Lease]]
) -> tuple[str, str, int | None]:
    if isinstance(nic.backend, UserBackend):
        return str(nic.backend.dhcp_start or "10.0.2.15"), "built in", None
    lease = by_network.get(network, {}).get(nic.mac)
    if lease:
        return str(lease.address), "lease", lease.expires_s
    if nic.address:
        return str(nic.address.ip), "static", None
    server = known.get(f"dnsmasq/{network}")
    if isinstance(server, Dnsmasq):
        for one in server.reservations:
            if one.mac == nic.mac:
                return str(one.address), "reserved", None
    return "", "", None


def _forwards(known: Mapping[str, Resource]) -> dict[tuple[str, int], list[str]]:
    found: dict[tuple[str, int], list[str]] = {}
    for one in known.values():
        if isinstance(one, PortForward):
            word = f"{one.host_address}:{one.host_port} -> {one.guest_port}/{one.protocol}"
            found.setdefault((one.guest, one.nic), []).append(word)
    return found

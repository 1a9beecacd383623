"""Forwards: only into user-mode networking, each on a host port that nobody else has."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address

from qlan.errors import Problem
from qlan.facts import Facts
from qlan.topology.addressing import port_key
from qlan.topology.checks.titles import nics, of_network, of_nic
from qlan.topology.model import HOST_KINDS, Forward, Network, Nic, Topology
from qlan.topology.scalars import PORT_MAX

ANY = IPv4Address("0.0.0.0")


def check(topology: Topology) -> Iterator[Problem]:
    """What the file alone tells."""
    known = {network.name: network for network in topology.networks}
    taken: dict[tuple[str, int], dict[IPv4Address, str]] = {}
    autos: dict[str, str] = {}
    for guest, index, nic in nics(topology):
        title = of_nic(guest, index)
        if nic.forwards and nic.user is None:
            yield _no_user_problem(nic, title, known.get(nic.network or ""))
        for forward in nic.forwards:
            yield from _check_ports(forward, title)
            if forward.host_port is None:
                key = port_key(forward, guest.name, index)
                if key in autos:
                    yield Problem(
                        forward.mark, f"{title} has two `auto` forwards to one guest port", "keep one of them"
                    )
                autos[key] = title
            else:
                yield from _check_taken(forward, title, taken)


def check_here(topology: Topology, facts: Facts) -> Iterator[Problem]:
    """What is wrong with them on this machine: ports that others have, ports that are not for everyone."""
    own = f"lab {topology.lab}"
    used: dict[tuple[str, int], dict[IPv4Address, str]] = {}
    for one in facts.used_ports:
        if one.owner != own:
            used.setdefault((one.protocol, one.port), {}).setdefault(one.address, one.owner)
    binary = {arch: qemu.binary for arch, qemu in facts.qemu.items()}
    for guest, index, nic in nics(topology):
        for forward in nic.forwards:
            if forward.host_port is None:
                continue
            owner = _find_owner(forward, used.get((forward.protocol, forward.host_port), {}))
            if owner:
                what = f"{of_nic(guest, index)}: {_said(forward)} is taken by {owner}"
                yield Problem(forward.mark, what, "choose another port, or `auto` for a free one")
            elif forward.host_port < facts.free_port_floor:
                arch = guest.arch or facts.arch
                yield _floor_problem(forward, facts, binary.get(arch, f"qemu-system-{arch}"))


def _no_user_problem(nic: Nic, title: str, network: Network | None) -> Problem:
    what = f"{title} has forwards, but no user-mode networking"
    hint = "put them on a NIC of its own: `{user: true, forwards: [...]}`"
    if network and network.kind in HOST_KINDS:
        hint += f"; on {of_network(network)} the host reaches every port of the guest without any"
    return Problem(nic.forwards[0].mark or nic.mark, what, hint)


def _check_ports(forward: Forward, title: str) -> Iterator[Problem]:
    for side, port in (("host", forward.host_port), ("guest", forward.guest_port)):
        if port is not None and not 1 <= port <= PORT_MAX:
            yield Problem(forward.mark, f"{title}: {side} port {port} is not from 1 to {PORT_MAX}")


def _check_taken(
    forward: Forward, title: str, taken: dict[tuple[str, int], dict[IPv4Address, str]]
) -> Iterator[Problem]:
    assert forward.host_port is not None
    owners = taken.setdefault((forward.protocol, forward.host_port), {})
    owner = _find_owner(forward, owners)
    if owner == title:
        yield Problem(forward.mark, f"{title} forwards {_said(forward)} twice", "keep one of them")
    elif owner:
        what = f"{title} and {owner} both forward {_said(forward)}"
        yield Problem(forward.mark, what, "choose another port, or `auto` for a free one")
    owners.setdefault(forward.host_address, title)


def _find_owner(forward: Forward, owners: dict[IPv4Address, str]) -> str | None:
    """Who has the port on an address that overlaps: the same one, or one of the two is all of them."""
    if forward.host_address == ANY:
        return next(iter(owners.values()), None)
    return owners.get(forward.host_address) or owners.get(ANY)


def _said(forward: Forward) -> str:
    return f"{forward.protocol} port {forward.host_port} of {forward.host_address}"


def _floor_problem(forward: Forward, facts: Facts, binary: str) -> Problem:
    """Ports below the floor are for the privileged; QEMU is not (it never runs as root)."""
    port = forward.host_port
    assert port is not None
    what = f"port {port} is below {facts.free_port_floor}: an ordinary process may not listen there"
    higher = port + 8000 if port + 8000 <= PORT_MAX else 8080
    hint = (
        f"forward a higher port, like {higher}; or let everyone have it: "
        f"`sudo sysctl net.ipv4.ip_unprivileged_port_start={port}`; "
        f"or let QEMU have it: `sudo setcap cap_net_bind_service=+ep {binary}`"
    )
    return Problem(forward.mark, what, hint)

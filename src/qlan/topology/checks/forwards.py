"""Forwards: only where the host reaches the guest, each on a host port that nobody else has."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from qlan.facts.machine import Facts
from qlan.problems import Problem
from qlan.topology.addressing import port_key, realm_of
from qlan.topology.checks.titles import nics, of_network, of_nic
from qlan.topology.model import HOST_KINDS, Forward, Network, Nic, Realm, Topology
from qlan.topology.scalars import PORT_MAX

ANY = IPv4Address(0)
Owners = dict[IPv4Address | IPv6Address, str]  # of one port, by address


def check(topology: Topology) -> Iterator[Problem]:
    """What the file alone tells."""
    known = {network.name: network for network in topology.networks}
    taken: dict[tuple[str, int], Owners] = {}
    autos: dict[str, str] = {}
    for guest, index, nic in nics(topology):
        title = of_nic(guest, index)
        network = known.get(nic.network or "")
        if nic.forwards and network and network.kind not in HOST_KINDS:
            yield _no_way_problem(nic, title, network)
        for forward in nic.forwards:
            yield from _check_ports(forward, title)
            if nic.user and 6 in (forward.host_address.version, (forward.guest_address or ANY).version):
                what = f"{title} forwards IPv6, which QEMU's user-mode network cannot"
                yield Problem(forward.mark, what, "put the forward on a NIC on a nat or host-only network, "
                                                  "or write an IPv4 address")  # fmt: skip
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
    used: dict[tuple[str, int], Owners] = {}
    for one in facts.used_ports:
        if one.owner != own:
            used.setdefault((one.protocol, one.port), {}).setdefault(one.address, one.owner)
    as_root = realm_of(topology, facts) is Realm.HOST  # who opens the ports of bridged networks itself
    binary = {arch: qemu.binary for arch, qemu in facts.qemu.items()}
    for guest, index, nic in nics(topology):
        for forward in nic.forwards:
            if forward.host_port is None:
                continue
            owner = _find_owner(forward, used.get((forward.protocol, forward.host_port), {}))
            served = _served(forward, topology) if as_root else ""
            if served:
                what = f"{of_nic(guest, index)}: {_said(forward)} is {served}'s, too"
                instead = f"192.0.2.1:{forward.host_port}:{forward.guest_port}"
                yield Problem(forward.mark, what, f"write which address of this machine, like {instead}")
            elif owner:
                what = f"{of_nic(guest, index)}: {_said(forward)} is taken by {owner}"
                yield Problem(forward.mark, what, "choose another port, or `auto` for a free one")
            elif forward.host_port < facts.free_port_floor and (nic.user or not as_root):
                arch = guest.arch or facts.arch
                yield _floor_problem(forward, facts, binary.get(arch, f"qemu-system-{arch}") if nic.user else None)


def _served(forward: Forward, topology: Topology) -> str:
    """Who of the lab's own servers listens on that port of the network's address of this machine, or ""."""
    wanted, key = forward.host_address, (forward.protocol, forward.host_port)
    for network in topology.networks:
        title = of_network(network)
        if network.kind not in HOST_KINDS or (wanted.version == 6 and not network.ipv6):
            continue
        if not int(wanted) or wanted == network.address:
            if network.dns and key[1] == 53:
                return f"the DNS server of {title}"
            if network.tftp and key == ("udp", 69):
                return f"the TFTP server of {title}"
    return ""


def _no_way_problem(nic: Nic, title: str, network: Network) -> Problem:
    what = f"{title} has forwards, but on {of_network(network)} ({network.kind}) this machine does not reach the guest"
    hint = f"put them on a NIC on a network of another kind ({', '.join(HOST_KINDS)}), or on a `user` NIC"
    return Problem(nic.forwards[0].mark or nic.mark, what, hint)


def _check_ports(forward: Forward, title: str) -> Iterator[Problem]:
    for side, port in (("host", forward.host_port), ("guest", forward.guest_port)):
        if port is not None and not 1 <= port <= PORT_MAX:
            yield Problem(forward.mark, f"{title}: {side} port {port} is not from 1 to {PORT_MAX}")


def _check_taken(forward: Forward, title: str, taken: dict[tuple[str, int], Owners]) -> Iterator[Problem]:
    assert forward.host_port is not None
    owners = taken.setdefault((forward.protocol, forward.host_port), {})
    owner = _find_owner(forward, owners)
    if owner == title:
        yield Problem(forward.mark, f"{title} forwards {_said(forward)} twice", "keep one of them")
    elif owner:
        what = f"{title} and {owner} both forward {_said(forward)}"
        yield Problem(forward.mark, what, "choose another port, or `auto` for a free one")
    owners.setdefault(forward.host_address, title)


def _find_owner(forward: Forward, owners: Owners) -> str | None:
    """Who has the port on an address that overlaps: the same one, or one of the two is all of its family."""
    wanted = forward.host_address
    for address, owner in owners.items():
        if address == wanted or (address.version == wanted.version and 0 in (int(address), int(wanted))):
            return owner
    return None


def _said(forward: Forward) -> str:
    return f"{forward.protocol} port {forward.host_port} of {forward.host_address}"


def _floor_problem(forward: Forward, facts: Facts, binary: str | None) -> Problem:
    """Ports below the floor are for the privileged; QEMU is not (it never runs as root).  binary: None for other's."""
    port = forward.host_port
    assert port is not None
    what = f"port {port} is below {facts.free_port_floor}: an ordinary process may not listen there"
    higher = port + 8000 if port + 8000 <= PORT_MAX else 8080
    hint = (
        f"forward a higher port, like {higher}; or let everyone have it: "
        f"`sudo sysctl net.ipv4.ip_unprivileged_port_start={port}`"
    )
    if binary:
        hint += f"; or let QEMU have it: `sudo setcap cap_net_bind_service=+ep {binary}`"
    return Problem(forward.mark, what, hint)

"""What the file leaves open: subnets, addresses and host ports are picked once, kept, and never given twice.

A pick depends on the seed and the names alone where that place is free, so that the same lab gets the same numbers on
the same machine; otherwise on the next free one.  Old picks stay as long as they are valid: guests come and go without
moving their neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from qlan import names
from qlan.errors import ConflictError
from qlan.facts.machine import Facts
from qlan.topology import prefixes
from qlan.topology.model import HOST_KINDS, UNSERVED_KINDS, Forward, Network, Picks, Realm, Topology
from qlan.topology.subnets import POOLS, SubnetSet, find_free

PORT_FIRST, PORT_LAST = 20000, 29999  # below Linux's ephemeral ports (32768-), above most services


def complete(topology: Topology, picks: Picks, facts: Facts) -> Picks:
    """The picks for a topology that `check` found nothing wrong with: the valid old ones, and what was missing.

    ConflictError when there is no free subnet, address or port left.
    """
    subnets = _pick_subnets(topology, picks, facts)
    addresses = _pick_addresses(topology, Picks(subnets, picks.addresses, picks.ports))
    found = prefixes.pick_prefixes(topology, picks.prefixes, facts)
    return Picks(subnets, addresses, _pick_ports(topology, picks, facts), found)


def realm_of(topology: Topology, facts: Facts) -> Realm:
    """Where the lab lives: as written, else with the host for root (who runs QEMU as somebody else)."""
    as_root = facts.uid == 0 or facts.run_as is not None
    return topology.realm or (Realm.HOST if as_root else Realm.ROOTLESS)


def wants_subnet(network: Network) -> bool:
    """Whether the network cannot do without a subnet."""
    return network.kind in HOST_KINDS or network.dhcp is not None or network.ipv6 is not None


def subnet_of(network: Network, picks: Picks) -> IPv4Network:
    """The network's subnet, written or picked; KeyError if it has none."""
    return network.subnet or picks.subnets[network.name]


def host_address(network: Network, subnet: IPv4Network) -> IPv4Address:
    """The host's (or DHCP server's) address on the network: as written, else the subnet's first."""
    return network.address or subnet.network_address + 1


def dhcp_range(network: Network, subnet: IPv4Network) -> tuple[IPv4Address, IPv4Address]:
    """First and last address to give: as written, else the upper three quarters without the host's and the broadcast.

    A host in the middle of them keeps the larger side.
    """
    if network.dhcp and network.dhcp.first and network.dhcp.last:
        return network.dhcp.first, network.dhcp.last
    if network.kind in UNSERVED_KINDS:  # nobody but its two ends, and a /30 has just two addresses
        return subnet.network_address + 1, subnet.broadcast_address - 1
    first = subnet.network_address + max(1, subnet.num_addresses // 4)
    last = subnet.broadcast_address - 1
    host = host_address(network, subnet)
    if not first <= host <= last:
        return first, last
    if int(host) - int(first) > int(last) - int(host):
        return first, host - 1
    return host + 1, last


def nic_address(topology: Topology, picks: Picks, guest: str, index: int) -> IPv4Address | None:
    """The address that belongs to a NIC: as written, else picked; None for `user` and where there is no subnet."""
    nic = topology.guest(guest).nics[index]
    if nic.network is None:
        return None
    return nic.address or picks.addresses.get(_address_key(guest, index, nic.network))


def nic_address6(topology: Topology, picks: Picks, guest: str, index: int, seed: str) -> IPv6Address | None:
    """The IPv6 address that belongs to a NIC: as written, else one like its IPv4 address, else one of its MAC."""
    nic = topology.guest(guest).nics[index]
    network = topology.network(nic.network) if nic.network else None
    prefix = prefixes.find_prefix(network, picks.prefixes) if network else None
    if network is None or prefix is None:
        return None
    if nic.address6:
        return nic.address6
    given = nic_address(topology, picks, guest, index)
    like = prefixes.mirrored(prefix, subnet_of(network, picks), given) if given else None
    barred = topology.written6(network.name) | {prefixes.host_address6(network, prefix), prefix.network_address}
    return prefixes.eui64(prefix, nic_mac(topology, guest, index, seed)) if like is None or like in barred else like


def nic_mac(topology: Topology, guest: str, index: int, seed: str) -> str:
    """The MAC of a NIC: as written, else derived from lab, guest and index."""
    return topology.guest(guest).nics[index].mac or names.derived_mac(seed, topology.lab, guest, str(index))


def host_port(forward: Forward, picks: Picks, guest: str, index: int) -> int:
    """The port on the host: as written, else picked."""
    return forward.host_port or picks.ports[port_key(forward, guest, index)]


def port_key(forward: Forward, guest: str, index: int) -> str:
    """The key of a forward with `auto` in Picks.ports."""
    family = "/ipv6" if forward.host_address.version == 6 else ""  # two sockets, two ports
    return f"{guest}/{index}/{forward.protocol}/{forward.guest_address or ''}/{forward.guest_port}{family}"


def free_port(forward: Forward, lab: str, taken: set[tuple[str, int]]) -> int:
    """A host port for a forward that says `auto`; ConflictError if there is none."""
    return _next_port(forward.protocol, _hashed(lab, str(forward.guest_port)), taken)


def _address_key(guest: str, index: int, network: str) -> str:
    return f"{guest}/{index}/{network}"


def _hashed(*salt: str) -> int:
    return int.from_bytes(names.digest(*salt, size=4))


def _pick_subnets(topology: Topology, picks: Picks, facts: Facts) -> dict[str, IPv4Network]:
    """Old picks first, then new ones around them.

    Foreign ranges bar a new pick in either realm (a guest with a second NIC may be on both), but only the host realm
    gives up an old one for them: a rootless lab's addresses meet nobody's.
    """
    owner = f"lab {topology.lab}"
    foreign = [(used.subnet, used.owner) for used in facts.used_subnets if used.owner != owner]
    wanting = [network for network in topology.networks if network.subnet is None and wants_subnet(network)]
    ours = SubnetSet((network.subnet, network.name) for network in topology.networks if network.subnet)
    barred = SubnetSet(foreign) if realm_of(topology, facts) is Realm.HOST else SubnetSet()
    kept = {}
    for network in wanting:
        old = picks.subnets.get(network.name)
        if old and not ours.find_overlap(old) and not barred.find_overlap(old):
            kept[network.name] = old
            ours.add(old, network.name)
    for subnet, name in foreign:
        ours.add(subnet, name)
    for network in wanting:
        if network.name not in kept:
            found = find_free(ours, _hashed(facts.seed, topology.lab, network.name))
            if found is None:
                listed = ", ".join(str(pool) for pool in POOLS)
                raise ConflictError(f"no free subnet left in {listed}", where=f"network {network.name}",
                                    hint="write a `subnet:` of your own")  # fmt: skip
            kept[network.name] = found
            ours.add(found, network.name)
    return {network.name: kept[network.name] for network in wanting}


def _pick_addresses(topology: Topology, picks: Picks) -> dict[str, IPv4Address]:
    """One for each NIC on a network with a subnet; written ones first, then old picks, then new ones."""
    taken: dict[str, set[IPv4Address]] = {}
    open_nics: list[tuple[str, Network]] = []
    for guest in topology.guests:
        for index, nic in enumerate(guest.nics):
            if nic.network is None:
                continue
            network = topology.network(nic.network)
            if not _gives_addresses(network, picks):
                continue
            if nic.address:
                taken.setdefault(network.name, set()).add(nic.address)
            else:
                open_nics.append((_address_key(guest.name, index, network.name), network))
    found: dict[str, IPv4Address] = {}
    ranges = {network.name: _usable(network, picks) for _, network in open_nics}
    for key, network in open_nics:
        old = picks.addresses.get(key)
        used = taken.setdefault(network.name, set())
        if old and old not in used and _is_usable(old, network, ranges[network.name], picks):
            found[key] = old
            used.add(old)
    free = {network.name: _free(*ranges[network.name], network, taken[network.name], picks) for _, network in open_nics}
    for key, network in open_nics:
        if key not in found:
            found[key] = _next_address(free[network.name], network, ranges[network.name])
    return {key: found[key] for key, _ in open_nics}


def _gives_addresses(network: Network, picks: Picks) -> bool:
    """On somebody else's bridge, or a LAN, it is not ours to say who has which."""
    given = network.subnet is not None or network.name in picks.subnets
    elsewhere = network.dhcp is not None and network.dhcp.relay is not None
    return given and not elsewhere and network.kind not in ("bridge", "macvtap", "public")


def _usable(network: Network, picks: Picks) -> tuple[IPv4Address, IPv4Address]:
    return dhcp_range(network, subnet_of(network, picks))


def _is_usable(address: IPv4Address, network: Network, ends: tuple[IPv4Address, IPv4Address], picks: Picks) -> bool:
    ours = network.kind not in UNSERVED_KINDS and address == host_address(network, subnet_of(network, picks))
    return ends[0] <= address <= ends[1] and not ours


def _free(
    first: IPv4Address, last: IPv4Address, network: Network, taken: set[IPv4Address], picks: Picks
) -> Iterator[IPv4Address]:
    """The addresses that nobody has, from the first up."""
    host = None if network.kind in UNSERVED_KINDS else host_address(network, subnet_of(network, picks))
    for number in range(int(first), int(last) + 1):
        address = IPv4Address(number)
        if address not in taken and address != host:
            yield address


def _next_address(free: Iterator[IPv4Address], network: Network, ends: tuple[IPv4Address, IPv4Address]) -> IPv4Address:
    found = next(free, None)
    if found is None:
        raise ConflictError(f"no free address left from {ends[0]} to {ends[1]}", where=f"network {network.name}",
                            hint="give the network a larger `subnet:` or DHCP range")  # fmt: skip
    return found


def _pick_ports(topology: Topology, picks: Picks, facts: Facts) -> dict[str, int]:
    """One for each `auto` forward; a port that anyone has on any address is left alone."""
    owner = f"lab {topology.lab}"
    taken = {(used.protocol, used.port) for used in facts.used_ports if used.owner != owner}
    open_forwards: list[tuple[str, str]] = []
    for guest in topology.guests:
        for index, nic in enumerate(guest.nics):
            for forward in nic.forwards:
                if forward.host_port is None:
                    open_forwards.append((port_key(forward, guest.name, index), forward.protocol))
                else:
                    taken.add((forward.protocol, forward.host_port))
    found: dict[str, int] = {}
    for key, protocol in open_forwards:
        old = picks.ports.get(key)
        if old and (protocol, old) not in taken:
            found[key] = old
            taken.add((protocol, old))
    for key, protocol in open_forwards:
        if key not in found:
            found[key] = _next_port(protocol, _hashed(facts.seed, topology.lab, key), taken)
            taken.add((protocol, found[key]))
    return {key: found[key] for key, _ in open_forwards}


def _next_port(protocol: str, start: int, taken: set[tuple[str, int]]) -> int:
    count = PORT_LAST - PORT_FIRST + 1
    for step in range(count):
        port = PORT_FIRST + (start + step) % count
        if (protocol, port) not in taken:
            return port
    raise ConflictError(f"no free {protocol} port left from {PORT_FIRST} to {PORT_LAST}",
                        hint="write the host's port in the forward")  # fmt: skip

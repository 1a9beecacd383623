"""Addresses of hosts, DHCP ranges and NICs: inside their subnet, and each one's own.

An address inside the DHCP range is fine for a NIC of the file: it is reserved for that NIC's MAC, and dnsmasq gives a
reserved address to nobody else.  The host's own address must be outside of the range: nothing reserves it.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from qlan.problems import Mark, Problem
from qlan.topology.addressing import dhcp_range, host_address, wants_subnet
from qlan.topology.checks.titles import nics, of_network, of_nic
from qlan.topology.model import HOST_KINDS, UNSERVED_KINDS, Network, Nic, Topology, mark_of
from qlan.topology.scalars import LEASE_MAX_S, LEASE_MIN_S, subnet_fault


def check(topology: Topology) -> Iterator[Problem]:
    """All addresses of the file."""
    for network in topology.networks:
        yield from _check_network(network)
    known: dict[str | None, Network] = {network.name: network for network in topology.networks}
    owners: dict[str | None, dict[IPv4Address, str]] = {name: {} for name in known}
    wanting = dict.fromkeys(known, 0)
    for guest, index, nic in nics(topology):
        plugged = known.get(nic.network)
        if plugged is None:
            continue
        if nic.address is None:
            wanting[plugged.name] += 1
        else:
            yield from _check_nic(of_nic(guest, index), nic, plugged, owners[plugged.name])
    for name, count in wanting.items():
        yield from _check_room(known[name], count, set(owners[name]))


def _check_network(network: Network) -> Iterator[Problem]:
    title = of_network(network)
    dhcp = network.dhcp
    if dhcp and not LEASE_MIN_S <= dhcp.lease_time_s <= LEASE_MAX_S:
        what = f"{title}: a lease of {dhcp.lease_time_s} s is not from two minutes to a year"
        yield Problem(mark_of(network, "dhcp.lease"), what)
    if network.subnet is None:
        for key, given in (("address", network.address), ("dhcp.range", dhcp and dhcp.first)):
            if given and wants_subnet(network):
                what = f"{title} says addresses but no subnet"
                yield Problem(mark_of(network, key), what, f"write `subnet: {_around(given)}`")
        return
    for to, gateway in dhcp.routes if dhcp else ():
        if gateway not in network.subnet:
            what = f"`routes` of {title}: {to} by {gateway}, which is outside of {network.subnet}"
            yield Problem(mark_of(network, "dhcp.routes"), what, "name a gateway that the guests can reach")
    if network.address:
        mark = mark_of(network, "address")
        yield from _check_place(f"`address` of {title}", network.address, network.subnet, mark)
    if dhcp and dhcp.first and dhcp.last:
        yield from _check_range(network, network.subnet, (dhcp.first, dhcp.last))


def _check_range(network: Network, subnet: IPv4Network, ends: tuple[IPv4Address, IPv4Address]) -> Iterator[Problem]:
    mark = mark_of(network, "dhcp.range")
    title = f"`range` of {of_network(network)}"
    if ends[0] > ends[1]:
        yield Problem(mark, f"{title} ends before it starts: {ends[0]}-{ends[1]}", f"write {ends[1]}-{ends[0]}")
        return
    outside = [problem for end in ends for problem in _check_place(title, end, subnet, mark)]
    yield from outside[:1]
    host = host_address(network, subnet)
    if not outside and network.kind != "public" and ends[0] <= host <= ends[1]:
        whose = "the host's" if network.kind in HOST_KINDS else "the DHCP server's"
        what = f"{title}: {ends[0]}-{ends[1]} holds {whose} own address {host}"
        yield Problem(mark, what, _range_hint(host, ends))


def _range_hint(host: IPv4Address, ends: tuple[IPv4Address, IPv4Address]) -> str:
    if host < ends[1]:
        return f"write {host + 1}-{ends[1]}, or another `address:`"
    return f"write {ends[0]}-{host - 1}, or another `address:`" if ends[0] < host else "write another `address:`"


def _check_nic(title: str, nic: Nic, network: Network, owners: dict[IPv4Address, str]) -> Iterator[Problem]:
    assert nic.address is not None
    address, mark = nic.address, mark_of(nic, "address")
    if network.subnet is None:
        what = f"{title}: {address} needs a subnet, and {of_network(network)} says none"
        yield Problem(mark, what, f"write `subnet: {_around(address)}` there, or leave the address out")
        return
    wrong = list(_check_place(title, address, network.subnet, mark, f" of {of_network(network)}"))
    yield from wrong
    if wrong:
        return
    if wants_subnet(network) and address == host_address(network, network.subnet):
        whose = "the host's" if network.kind in HOST_KINDS else "the DHCP server's"
        yield Problem(mark, f"{title}: {address} is {whose} own address on {of_network(network)}", "choose another")
    if address in owners:
        yield Problem(mark, f"{title} and {owners[address]} have one address: {address}", "choose another")
    owners.setdefault(address, title)


def _check_place(
    title: str, address: IPv4Address, subnet: IPv4Network, mark: Mark | None, whose: str = ""
) -> Iterator[Problem]:
    """Inside the subnet, and neither its first nor its last address."""
    hint = f"{subnet.network_address + 1} to {subnet.broadcast_address - 1} is possible"
    if address not in subnet:
        yield Problem(mark, f"{title}: {address} is outside of {subnet}{whose}", hint)
    elif address == subnet.network_address:
        yield Problem(mark, f"{title}: {address} is the network address of {subnet}{whose}", hint)
    elif address == subnet.broadcast_address:
        yield Problem(mark, f"{title}: {address} is the broadcast address of {subnet}{whose}", hint)


def _check_room(network: Network, count: int, written: set[IPv4Address]) -> Iterator[Problem]:
    """Whether each NIC without an address can get one; a picked subnet is a /24."""
    if (
        (network.dhcp and network.dhcp.relay)
        or not count
        or network.kind in ("bridge", "macvtap")
        or (network.subnet is None and not wants_subnet(network))
    ):
        return
    subnet = network.subnet or IPv4Network("10.64.0.0/24")
    if subnet_fault(subnet) or (network.subnet is None and written):
        return
    first, last = dhcp_range(network, subnet)
    ours = set() if network.kind in UNSERVED_KINDS else {host_address(network, subnet)}
    taken = {address for address in written | ours if first <= address <= last}
    room = int(last) - int(first) + 1 - len(taken)
    if count > room >= 0:
        what = f"{of_network(network)} has {room} free addresses from {first} to {last}, and {count} NICs want one"
        if network.subnet is None:
            what = f"{of_network(network)} has {count} NICs, and the subnet that would be picked has {room} addresses"
        yield Problem(mark_of(network, "subnet"), what, "write a larger `subnet:` or DHCP range")


def _around(address: IPv4Address) -> IPv4Network:
    return IPv4Network(f"{address}/24", strict=False)

"""Public networks: which NIC, whether it can be had, and whether the machine may lose itself by it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address

from qlan.facts.machine import Facts, NicFacts
from qlan.facts.manager import Manager
from qlan.names import nearest
from qlan.problems import Problem
from qlan.topology.addressing import realm_of
from qlan.topology.checks.titles import of_network
from qlan.topology.model import Network, Realm, Topology, mark_of
from qlan.topology.scalars import quoted

_KEYS = ("uplink", "confirm_within", "managed")


def check(topology: Topology) -> Iterator[Problem]:
    """What the file alone tells."""
    owners: dict[str, Network] = {}
    for network in topology.networks:
        title = of_network(network)
        if network.kind != "public":
            for key in _KEYS:
                if key in network.marks and (network.kind, key) not in (
                    ("macvtap", "uplink"),
                    ("nat", "uplink"),
                    ("routed", "uplink"),
                ):
                    yield Problem(network.marks[key], f"{title}: `{key}` is for `kind: public`", "leave it out")
            continue
        if network.uplink is None:
            what = f"{title} has no uplink: which NIC of this machine leads to the LAN?"
            yield Problem(mark_of(network, "kind"), what, "write `uplink: eth0`, as `ip link` calls it")
        elif network.uplink in owners:
            what = f"{title}: {network.uplink} is the uplink of {of_network(owners[network.uplink])} already"
            yield Problem(mark_of(network, "uplink"), what, "plug all guests into that network: a NIC has one bridge")
        else:
            owners[network.uplink] = network
        if network.kind == "public" and network.dhcp:
            yield from _check_dhcp(network)


def _check_dhcp(network: Network) -> Iterator[Problem]:
    """On a LAN it is not ours to pick who may have which address."""
    assert network.dhcp is not None
    mark = mark_of(network, "dhcp")
    if not network.subnet or not network.dhcp.first:
        what = f"{of_network(network)}: DHCP on a LAN needs `subnet` and `range`: which addresses are free to be given?"
        yield Problem(mark, what, "write `subnet: 192.168.1.0/24` and `dhcp: {range: 192.168.1.200-192.168.1.220}`")


def check_here(topology: Topology, facts: Facts) -> Iterator[Problem]:
    """Whether this machine lets it be done."""
    for network in topology.networks:
        if network.kind != "public" or network.uplink is None:
            continue
        if realm_of(topology, facts) is not Realm.HOST:
            what = f"{of_network(network)}: only root can make a NIC of this machine a port of a bridge"
            hint = "sudo qlan up --realm host; or without root: `user` NICs with `forwards:`"
            yield Problem(mark_of(network, "kind"), what, hint)
            continue
        yield from _check_nic(network, network.uplink, facts)
        nic = facts.nics.get(network.uplink)
        if network.dhcp and network.dhcp.first and nic and not nic.fault:
            yield from _check_serving(network, nic)


def _check_serving(network: Network, nic: NicFacts) -> Iterator[Problem]:
    """The machine is on that subnet, keeps its own address to itself, and nobody else serves it."""
    title, subnet, dhcp = of_network(network), network.subnet, network.dhcp
    assert dhcp is not None
    if nic.dhcp_server:
        what = f"{title}: {nic.dhcp_server} gives addresses on {network.uplink}: two DHCP servers break a LAN"
        yield Problem(mark_of(network, "dhcp"), what, "leave `dhcp` out: the guests get their addresses from that one")
        return
    own = [one for one in nic.carried.interfaces if one.network == subnet]
    if not own:
        has = ", ".join(map(str, nic.carried.interfaces)) or "none"
        what = f"{title}: {network.uplink} has no address of {subnet}, from which to serve it (it has {has})"
        yield Problem(mark_of(network, "subnet"), what, "write the subnet of the NIC's own address")
    taken = [*(one.ip for one in own), *map(ip_address, nic.carried.gateways)]
    for address in taken:
        if isinstance(address, IPv4Address) and dhcp.first and dhcp.last and dhcp.first <= address <= dhcp.last:
            what = f"`range` of {title}: {dhcp.first}-{dhcp.last} holds {address}, this machine's or its gateway's"
            yield Problem(mark_of(network, "dhcp.range"), what, "write one without it")


def _check_nic(network: Network, name: str, facts: Facts) -> Iterator[Problem]:
    title, mark = of_network(network), mark_of(network, "uplink")
    nic = facts.nics.get(name)
    if nic is None:
        near = nearest(name, facts.nic_names)
        hint = f"did you mean `{near}`?" if near else f"there are: {', '.join(facts.nic_names) or 'none'}"
        yield Problem(mark, f"{title}: this machine has no NIC {quoted(name)}", hint)
    elif nic.fault:
        yield Problem(mark, f"{title}: {name} cannot be the uplink: {nic.fault}", nic.hint)
    elif nic.manager and (nic.manager.obstacle or not network.managed):
        yield _manager_problem(network, name, nic.manager)
    elif network.confirm_within_s == 0 and nic.carried.gateways:
        what = f"{title}: {name} is this machine's way out, and without a watchdog nobody would bring it back"
        yield Problem(mark_of(network, "confirm_within"), what, "write `confirm_within: 60s`, or leave it out")


def _manager_problem(network: Network, name: str, manager: Manager) -> Problem:
    """It would configure the NIC again within minutes, unless it is told of the bridge."""
    title, mark = of_network(network), mark_of(network, "uplink")
    if network.managed:
        what = f"{title}: {manager.program} cannot go on with a bridge in place of {name}: {manager.obstacle}"
        return Problem(mark_of(network, "managed"), what, manager.hint)
    what = f"{title}: {manager.program} manages {name}, and would configure it again behind the bridge's back"
    return Problem(mark, what, "`managed: true`, or `qlan up --managed`, has it go on with the bridge")

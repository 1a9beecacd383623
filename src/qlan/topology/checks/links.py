"""What networks ask of their bridges, and NICs of their ports."""

from __future__ import annotations

from collections.abc import Iterator

from qlan.facts.machine import Facts
from qlan.problems import Problem
from qlan.topology import ports
from qlan.topology.addressing import realm_of
from qlan.topology.checks.titles import nics, of_network, of_nic
from qlan.topology.model import HOST_KINDS, Nic, Realm, Topology, mark_of
from qlan.topology.scalars import Unreadable, parse_interface, quoted

_OF_PORTS = {
    "isolated": "isolated",
    "rate": "rate",
    "vlan": "vlan",
    "trunk": "trunk",
}  # keys of a NIC that need a port on a bridge: key, field of the model

_BRIDGELESS = ("wire", "bridge", "macvtap")  # kinds without a bridge of ours


def check(topology: Topology) -> Iterator[Problem]:
    """What the file alone tells."""
    yield from _check_names(topology)
    yield from _check_vlans(topology)
    yield from _check_ports(topology)
    bridgeless = {network.name for network in topology.networks if network.kind in _BRIDGELESS}
    for guest, index, nic in nics(topology):
        for key in _port_keys(nic):
            if nic.user is not None:
                what = f"{of_nic(guest, index)}: `{key}` is for networks; user-mode networking has no port on a bridge"
                yield Problem(mark_of(nic, key), what, "leave it out, or plug the NIC into a network")
            elif nic.network in bridgeless:
                what = f"{of_nic(guest, index)}: `{key}` is for ports of a bridge of ours; this network has none"
                yield Problem(mark_of(nic, key), what, "leave it out, or use `kind: private` at the network")


def check_here(topology: Topology, facts: Facts) -> Iterator[Problem]:
    """What this kernel cannot do, and clashes with the interfaces of this machine."""
    for network in topology.networks:
        if network.vlan_filtering and facts.no_vlan_filtering:
            what = f"{of_network(network)}: this kernel cannot keep VLANs apart: {facts.no_vlan_filtering}"
            hint = "use a network a VLAN, or a kernel with CONFIG_BRIDGE_VLAN_FILTERING (distributions' have it)"
            yield Problem(mark_of(network, "vlan_filtering"), what, hint)
    if realm_of(topology, facts) is not Realm.HOST:
        return
    used = {one.name: one.owner for one in facts.used_links}
    for network in topology.networks:
        name = network.bridge_name
        if name in used and network.kind in HOST_KINDS:
            what = f"{of_network(network)}: there is already an interface {quoted(name)} here: {used[name]}"
            hint = "write another `bridge_name:`, or leave it out (a free one is made)"
            yield Problem(mark_of(network, "bridge_name"), what, hint)


def _check_names(topology: Topology) -> Iterator[Problem]:
    """In a namespace of the lab's own a link is called as its network, or as its guest and NIC."""
    owners = {network.name: of_network(network) for network in topology.networks if network.bridge_name is None}
    owners |= {f"{guest.name}.{index}": of_nic(guest, index) for guest, index, _ in nics(topology)}
    for network in topology.networks:
        name = network.bridge_name
        if name is None:
            continue
        mark = mark_of(network, "bridge_name")
        fault = _name_fault(name)
        if fault:
            yield Problem(mark, f"`bridge_name` of {of_network(network)}: {fault.what}", fault.hint)
        elif name in owners:
            what = f"{of_network(network)}: the interface {quoted(name)} is {owners[name]}'s"
            yield Problem(mark, what, "write another `bridge_name:`")
        owners.setdefault(name, of_network(network))


def _check_ports(topology: Topology) -> Iterator[Problem]:
    """What no star of bridges can do is told before anything is made."""
    members: dict[str, list[Nic]] = {}
    for _, _, nic in nics(topology):
        if nic.network:
            members.setdefault(nic.network, []).append(nic)
    for network in topology.networks:
        there = members.get(network.name, [])
        if network.kind in _BRIDGELESS or len(there) <= ports.PORTS:
            continue
        title, limit = f"{of_network(network)} has {len(there)} NICs", ports.PORTS * (ports.BRANCHES_MAX + 1)
        if len(there) > limit:
            yield Problem(network.mark, f"{title}; there is room for {limit}", "spread the guests over two networks")
        elif ports.star(network, there) is None:
            what = f"{title}, more than {ports.PORTS} of them isolated and as many not"
            yield Problem(network.mark, what, "spread the guests over two networks")


def _check_vlans(topology: Topology) -> Iterator[Problem]:
    """VLANs need a bridge that looks at them; one VLAN passes a port either with its tag or without."""
    filtering = {network.name for network in topology.networks if network.vlan_filtering}
    hint = "write `vlan_filtering: true` at the network"
    for network in topology.networks:
        if network.vlan is not None and not network.vlan_filtering:
            yield Problem(mark_of(network, "vlan"), f"{of_network(network)}: its bridge looks at no VLANs", hint)
    for guest, index, nic in nics(topology):
        title = of_nic(guest, index)
        if nic.network is None:
            continue
        for key in ("vlan", "trunk"):
            if getattr(nic, key) and nic.network not in filtering:
                what = f"{title}: `{key}`: the bridge of network {quoted(nic.network)} looks at no VLANs"
                yield Problem(mark_of(nic, key), what, hint)
        if nic.vlan is not None and any(first <= nic.vlan <= last for first, last in nic.trunk):
            what = f"{title}: VLAN {nic.vlan} passes without its tag (`vlan`) and with it (`trunk`)"
            yield Problem(mark_of(nic, "trunk"), what, "leave it out of one of them")


def _name_fault(name: str) -> Unreadable | None:
    try:
        parse_interface(name)
    except Unreadable as error:
        return error
    return None


def _port_keys(nic: Nic) -> list[str]:
    """The keys written at a NIC that need a port."""
    return [key for key, field in _OF_PORTS.items() if getattr(nic, field) not in (None, ())]

"""Wires: two ends, and nobody on them but the two NICs."""

from __future__ import annotations

from collections.abc import Iterator

from qlan.facts.machine import Facts
from qlan.problems import Problem
from qlan.topology.checks.titles import nics, of_network, of_nic
from qlan.topology.model import UNSERVED_KINDS, Network, Topology, mark_of

_ADDRESSED = {"kind", "subnet", "address", "dhcp", "mtu"}  # `address` and `dhcp` are refused with a reason of their own
_PUBLIC = (
    _ADDRESSED | {"uplink", "confirm_within", "managed", "bridge_name", "isolated", "stp"} | {"dns", "tftp", "bootfile"}
)
_MACVTAP = _ADDRESSED | {"uplink", "mode", "host_access"}
_KEYS = {"wire": _ADDRESSED, "bridge": _ADDRESSED | {"bridge"}, "public": _PUBLIC, "macvtap": _MACVTAP}
_DGRAM = (7, 2, 0)  # the first QEMU with -netdev dgram
_MTU_MAX = 65489  # a frame, with a VLAN's tag, is a UDP datagram of at most 65507 bytes


def check(topology: Topology, *, whole: bool) -> Iterator[Problem]:
    """What the file alone tells.  whole: every guest could be read, so that NICs can be counted."""
    for network in topology.networks:
        if network.kind in UNSERVED_KINDS:
            yield from _check_served(network)
        if network.kind != "wire":
            continue
        plugged = [of_nic(guest, index) for guest, index, nic in nics(topology) if nic.network == network.name]
        if whole and len(plugged) != 2:
            has = f"{len(plugged)}: {', '.join(plugged)}" if plugged else "none"
            hint = "for more than two use `kind: private`" if len(plugged) > 2 else "plug in exactly two NICs"
            yield Problem(network.mark, f"{of_network(network)}: a wire has two ends, and it has {has}", hint)
        if (network.mtu_bytes or 0) > _MTU_MAX:
            what = f"`mtu` of {of_network(network)}: a wire carries {_MTU_MAX} bytes, not {network.mtu_bytes}"
            yield Problem(mark_of(network, "mtu"), what)


def check_here(topology: Topology, facts: Facts) -> Iterator[Problem]:
    """Whether the QEMU of this machine can be given the end of a wire."""
    wires = {network.name for network in topology.networks if network.kind == "wire"}
    for guest, index, nic in nics(topology):
        qemu = facts.qemu.get(guest.arch or facts.arch)
        if nic.network in wires and qemu and qemu.version < _DGRAM:
            version = ".".join(map(str, qemu.version))
            what = f"{of_nic(guest, index)}: a wire needs QEMU 7.2 (`-netdev dgram`), and this is {version}"
            yield Problem(mark_of(nic, "network"), what, "use `kind: private`, where LLDP and the like need not pass")


def _check_served(network: Network) -> Iterator[Problem]:
    """Nobody of ours is on it who could serve anything."""
    if network.dhcp and network.kind != "public":
        what = f"{of_network(network)}: nobody serves DHCP on a {network.kind} network"
        yield Problem(mark_of(network, "dhcp"), what, "give the NICs an `address:`, or serve it from a guest")
    if network.kind == "public" and not network.dhcp and "dns" in network.marks:
        what = f"{of_network(network)}: `dns` means nothing on a public network without `dhcp`"
        yield Problem(network.marks["dns"], what, "leave it out")
    for key, mark in network.marks.items():
        if key not in _KEYS[network.kind] | {"uplink", "confirm_within", "managed"} and "." not in key:
            yield Problem(mark, f"{of_network(network)}: `{key}` means nothing on a {network.kind}", "leave it out")

"""macvtap: root's, on a NIC that is there, up and nobody's port."""

from __future__ import annotations

from collections.abc import Iterator

from qlan.facts.machine import Facts
from qlan.problems import Problem
from qlan.topology.addressing import realm_of
from qlan.topology.checks.titles import nics, of_network, of_nic
from qlan.topology.model import UNSERVED_KINDS, Network, Realm, Topology, mark_of
from qlan.topology.scalars import quoted

_KEYS = ("mode", "host_access")


def check(topology: Topology) -> Iterator[Problem]:
    """What the file alone tells."""
    for network in topology.networks:
        title = of_network(network)
        if network.kind != "macvtap":
            for key in _KEYS:
                if key in network.marks and network.kind not in UNSERVED_KINDS:
                    what = f"{title}: `{key}` is for kind macvtap, and this is kind {network.kind}"
                    yield Problem(network.marks[key], what, "leave it out, or write `kind: macvtap`")
            continue
        if network.uplink is None:
            yield Problem(network.mark, f"{title} says no uplink", "write `uplink: eth0`, a NIC of this machine")
        yield from _check_access(network)
        plugged = [of_nic(guest, index) for guest, index, nic in nics(topology) if nic.network == network.name]
        if network.mode == "passthru" and len(plugged) > 1:
            what = f"{title}: passthru gives the whole NIC to one guest, and {len(plugged)} NICs are plugged in"
            yield Problem(mark_of(network, "mode"), what, "write `mode: bridge`, or a network for each")


def _check_access(network: Network) -> Iterator[Problem]:
    title = of_network(network)
    if not network.host_access:
        return
    if (network.mode or "bridge") != "bridge":
        what = f"{title}: in mode {network.mode} nobody hears this machine"
        yield Problem(mark_of(network, "host_access"), what, "write `mode: bridge`, or leave `host_access:` out")
    if network.address is None:
        what = f"{title}: this machine needs an address of its own there"
        yield Problem(mark_of(network, "host_access"), what, "write `address:`, one that nobody else on the LAN has")


def check_here(topology: Topology, facts: Facts) -> Iterator[Problem]:
    """Whether this machine has the NIC, and whether we may."""
    for network in topology.networks:
        if network.kind != "macvtap" or network.uplink is None:
            continue
        title, mark, name = of_network(network), mark_of(network, "uplink"), network.uplink
        link = facts.named_links.get(name)
        if realm_of(topology, facts) is Realm.ROOTLESS:
            hint = "`sudo qlan up --realm host`; or `kind: bridge` by QEMU's helper, or a `user` NIC"
            yield Problem(mark_of(network, "kind"), f"{title}: only root can use a NIC of this machine", hint)
        elif link is None:
            yield Problem(mark, f"{title}: there is no NIC {quoted(name)} on this machine", "`ip -br link` lists them")
        elif link.master:
            what = f"{title}: {quoted(name)} is a port of {link.master}"
            yield Problem(mark, what, f"write `{{kind: bridge, bridge: {link.master}}}`, if that is a bridge")
        elif link.wireless:
            what = f"{title}: {quoted(name)} is wireless, and an access point lets in one MAC a station"
            yield Problem(mark, what, "use a `user` NIC with forwards")
        elif not link.up:
            yield Problem(mark, f"{title}: the NIC {quoted(name)} is down", f"sudo ip link set {name} up")
        elif (network.mtu_bytes or 0) > link.mtu_bytes:
            what = f"`mtu` of {title}: {quoted(name)} carries {link.mtu_bytes} bytes, not {network.mtu_bytes}"
            yield Problem(mark_of(network, "mtu"), what, "leave it out")

"""Ways out of a network: uplinks and other networks that may be reached."""

from __future__ import annotations

from collections.abc import Iterator

from qlan.facts.machine import Facts
from qlan.names import nearest
from qlan.problems import Problem
from qlan.topology.addressing import realm_of
from qlan.topology.checks.titles import of_network
from qlan.topology.model import OUTSIDE_KINDS, Network, Realm, Topology, mark_of
from qlan.topology.scalars import quoted


def check(topology: Topology) -> Iterator[Problem]:
    """What the file alone tells."""
    ways = [network.name for network in topology.networks if network.kind in OUTSIDE_KINDS]
    for network in topology.networks:
        title = of_network(network)
        if network.proxy_arp and network.kind != "routed":
            what = f"{title}: `proxy_arp` is for kind routed, and this is {network.kind}"
            yield Problem(mark_of(network, "proxy_arp"), what, "leave it out")
        if network.reach and network.kind not in OUTSIDE_KINDS:
            what = f"{title}: `reach` is for kinds nat and routed, and this is {network.kind}"
            yield Problem(mark_of(network, "reach"), what, "leave it out, or use `kind: nat`")
        if network.kind in OUTSIDE_KINDS:
            yield from _check_reach(network, ways)


def _check_reach(network: Network, ways: list[str]) -> Iterator[Problem]:
    for name in network.reach:
        if name == network.name:
            what = f"{of_network(network)} reaches itself without being told"
            yield Problem(mark_of(network, "reach"), what, "leave it out of `reach`")
        elif name not in ways:
            near = nearest(name, ways)
            others = ", ".join(f"`{other}`" for other in ways if other != network.name) or "none"
            what = f"{of_network(network)}: there is no network {quoted(name)} that leads outside, to reach"
            hint = f"did you mean `{near}`?" if near else f"those that do: {others}"
            yield Problem(mark_of(network, "reach"), what, hint)


def check_here(topology: Topology, facts: Facts) -> Iterator[Problem]:
    """Whether a named uplink is there."""
    for network in topology.networks:
        if network.kind == "routed" and realm_of(topology, facts) is Realm.ROOTLESS:
            what = f"{of_network(network)}: without root nobody outside can learn the way to its guests"
            yield Problem(mark_of(network, "kind"), what, "use `kind: nat`, or the host realm: sudo qlan up")
        if network.uplink is None or network.kind not in OUTSIDE_KINDS:
            continue
        mark, title = mark_of(network, "uplink"), of_network(network)
        if realm_of(topology, facts) is Realm.ROOTLESS:
            what = f"{title}: a rootless lab gets outside as your own programs do, over no link in particular"
            yield Problem(mark, what, "leave `uplink` out, or bring the lab up as root with `realm: host`")
        elif facts.nic_names and network.uplink not in facts.nic_names:
            near = nearest(network.uplink, facts.nic_names)
            hint = f"did you mean `{near}`?" if near else f"there is {', '.join(facts.nic_names)}"
            yield Problem(mark, f"{title}: this machine has no link {quoted(network.uplink)}", hint)

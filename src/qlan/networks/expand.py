"""The border between the user's words and the host's: a complete Topology becomes the wanted Resources."""

from __future__ import annotations

from types import ModuleType

from qlan.facts.machine import Facts
from qlan.networks import (
    branches,
    bridge,
    guest,
    host_only,
    lan,
    macvtap,
    nat,
    outlets,
    private,
    public,
    published,
    reach,
    routed,
    wire,
)
from qlan.networks.reach import Reach
from qlan.resources.model import HOST, Bridge, Namespace, Relay, Resource, Resources
from qlan.topology.model import Network, Picks, Realm, Topology

KINDS: dict[str, ModuleType] = {
    "private": private,
    "host-only": host_only,
    "nat": nat,
    "routed": routed,
    "wire": wire,
    "bridge": bridge,
    "public": public,
    "macvtap": macvtap,
}

REALM = "realm"  # the name of a rootless lab's own namespace


def expand(topology: Topology, picks: Picks, facts: Facts, realm: Realm) -> Resources:
    """Everything that must be there for the lab to be up, by key, in the order in which it comes.

    picks: made complete for this topology by `topology.addressing.complete`.
    """
    namespace = Namespace(REALM, user=True)
    site = lan.Site(topology, picks, facts, namespace.key if realm is Realm.ROOTLESS else HOST)
    found: list[Resource] = []
    if realm is Realm.ROOTLESS and topology.networks:
        found.append(namespace)
    if _needs_relay(topology):
        found.append(Relay(topology.lab, site.namespace, facts.run_as))
    for network in topology.networks:
        found += KINDS[network.kind].expand(network, site)
    homes: dict[tuple[str, int], Bridge] = {}
    for first in [one for one in found if isinstance(one, Bridge)]:
        further = branches.expand(topology.network(first.network), site, first)
        homes |= branches.homes(topology.network(first.network), site, first, further)
        found += further
    found += [relay for network in topology.networks if (relay := lan.dhcp_relay(network, site))]
    for one in topology.guests:
        found += guest.expand(one, site, homes)
    found += outlets.expand(site)
    wanted = {resource.key: resource for resource in found}
    return published.complete(wanted, topology.lab, published.Ways(facts.uplinks, facts.links_of, facts.uplinks6))


def _needs_relay(topology: Topology) -> bool:
    """Whether ports are published, or DHCP is somebody else's."""
    forwards = any(nic.network and nic.forwards for one in topology.guests for nic in one.nics)
    return forwards or any(one.dhcp and one.dhcp.relay for one in topology.networks)


def network_reach(network: Network) -> Reach:
    """Who reaches whom on the network: the kind's row in the table of kinds."""
    return kind_reach(network.kind)


def kind_reach(kind: str) -> Reach:
    """The row of a kind; `user` and `none`, which are said at a NIC, have one too."""
    if kind in ("user", "none"):
        return reach.USER if kind == "user" else reach.NONE
    found: Reach = KINDS[kind].REACH
    return found

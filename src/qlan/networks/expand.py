"""The border between the user's words and the host's: a complete Topology becomes the wanted Resources."""

from __future__ import annotations

from types import ModuleType

from qlan.facts import Facts
from qlan.networks import guest, host_only, lan, private
from qlan.resources.model import HOST, Bridge, Namespace, Resource, Resources
from qlan.topology.model import Network, Picks, Realm, Topology

KINDS: dict[str, ModuleType] = {"private": private, "host-only": host_only}

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
    for network in topology.networks:
        found += KINDS[network.kind].expand(network, site)
    bridges = {one.network: one for one in found if isinstance(one, Bridge)}
    for one in topology.guests:
        found += guest.expand(one, site, bridges)
    return {resource.key: resource for resource in found}


def network_reach(network: Network) -> dict[str, bool]:
    """Who a guest on the network can talk to (`guests`, `host`, `outside`): the kind's row in the table of kinds."""
    reach: dict[str, bool] = KINDS[network.kind].REACH
    return reach

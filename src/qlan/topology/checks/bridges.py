"""Bridges that somebody else made: there, a bridge, up, and open to us."""

from __future__ import annotations

from collections.abc import Iterator

from qlan.facts.machine import Facts, LinkFacts
from qlan.problems import Mark, Problem
from qlan.topology.addressing import realm_of
from qlan.topology.checks.titles import of_network
from qlan.topology.model import Network, Realm, Topology, bridge_of, mark_of
from qlan.topology.scalars import quoted


def check(topology: Topology) -> Iterator[Problem]:
    """What the file alone tells."""
    owners: dict[str, str] = {}
    for network in topology.networks:
        if network.kind != "bridge":
            if network.bridge is not None:
                what = f"{of_network(network)}: `bridge` names an existing bridge, and this is kind {network.kind}"
                yield Problem(
                    mark_of(network, "bridge"), what, "write `kind: bridge`, or `bridge_name:` for one of ours"
                )
            continue
        name = bridge_of(network)
        if name in owners:
            what = f"{of_network(network)}: the bridge {quoted(name)} is {owners[name]} already"
            yield Problem(mark_of(network, "bridge"), what, "plug the NICs into that one")
        owners.setdefault(name, of_network(network))


def check_here(topology: Topology, facts: Facts) -> Iterator[Problem]:
    """Whether this machine has them, and lets us in."""
    rootless = realm_of(topology, facts) is Realm.ROOTLESS
    for network in topology.networks:
        if network.kind != "bridge":
            continue
        name, mark = bridge_of(network), network.marks.get("bridge") or mark_of(network, "kind")
        found = list(_check_link(network, facts.named_links.get(name), mark))
        yield from found
        helper = facts.bridge_helper
        if not found and rootless and helper and name in helper.refusals:
            what, hint = helper.refusals[name]
            yield Problem(mark, f"{of_network(network)}: {what}", hint)


def _check_link(network: Network, link: LinkFacts | None, mark: Mark | None) -> Iterator[Problem]:
    name, title = bridge_of(network), of_network(network)
    if link is None:
        hint = f"sudo ip link add {name} type bridge && sudo ip link set {name} up   (or write `bridge: NAME`)"
        yield Problem(mark, f"{title}: there is no bridge {quoted(name)} on this machine", hint)
    elif link.lab:
        what = f"{title}: the bridge {quoted(name)} is lab {link.lab}'s, and goes with it"
        yield Problem(mark, what, f"add the guest to the file of lab {link.lab}")
    elif link.kind != "bridge":
        what = f"{title}: {quoted(name)} is no bridge but {f'a {link.kind}' if link.kind else 'a NIC'}"
        yield Problem(mark, what, f"name the bridge that it is in (`bridge link show dev {name}`)")
    elif not link.up:
        yield Problem(mark, f"{title}: the bridge {quoted(name)} is down", f"sudo ip link set {name} up")
    elif (network.mtu_bytes or 0) > link.mtu_bytes:
        what = f"`mtu` of {title}: the bridge {quoted(name)} carries {link.mtu_bytes} bytes, not {network.mtu_bytes}"
        yield Problem(mark_of(network, "mtu"), what, "leave it out: guests are told nothing then")

"""The further bridges of a network with more NICs than one bridge has ports, and what joins them to the first."""

from __future__ import annotations

from collections.abc import Sequence

from qlan.networks.lan import Site
from qlan.resources.model import Bridge, Resource, Trunk
from qlan.topology.model import Network, joined_vlans
from qlan.topology.ports import star
from qlan.values import replace


def expand(network: Network, site: Site, first: Bridge) -> list[Resource]:
    """None for most networks.  A branch has no address, asks for no group and is the same in all else."""
    shape = star(network, [nic for _, _, nic in site.members(network)])
    assert shape is not None  # it was checked
    found: list[Resource] = []
    vlans = _vlans(network, site, first) if first.vlan_filtering else ()
    for number in range(1, shape.branches + 1):
        branch = replace(
            first,
            branch=number,
            name=site.link_name(f"{network.name}.b{number}", f"branch/{network.name}/{number}"),
            mac=site.mac("branch", network.name, str(number)),
            multicast_querier=False,
            ipv6=False,
        )
        trunk = Trunk(
            network.name,
            number,
            site.link_name(f"{network.name}.t{number}", f"trunk/{network.name}/{number}"),
            site.link_name(f"{network.name}.f{number}", f"trunk/{network.name}/{number}/far"),
            first.name,
            branch.name,
            first.namespace,
            first.mtu_bytes,
            isolated=shape.isolated,
            vlans=vlans,
        )
        found += [branch, trunk]
    return found


def homes(network: Network, site: Site, first: Bridge, further: Sequence[Resource]) -> dict[tuple[str, int], Bridge]:
    """The bridge of each NIC of the network, by guest and number."""
    members = site.members(network)
    shape = star(network, [nic for _, _, nic in members])
    assert shape is not None
    bridges = [first, *(one for one in further if isinstance(one, Bridge))]
    return {(guest.name, index): bridges[place] for (guest, index, _), place in zip(members, shape.places, strict=True)}


def _vlans(network: Network, site: Site, first: Bridge) -> tuple[tuple[int, int], ...]:
    """All VLANs that somebody on the network is in: the host, guests that see no tags, and those that do."""
    nics = [nic for _, _, nic in site.members(network)]
    untagged = {first.vlan, *(nic.vlan for nic in nics if nic.vlan)}
    return joined_vlans([*((one, one) for one in untagged), *(ends for nic in nics for ends in nic.trunk)])

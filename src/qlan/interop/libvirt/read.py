"""libvirt's network and domain XML as a lab.  The file needs no libvirt, and no libvirt is asked.

Every attribute and element is either understood or stands as a comment: `Tag.leftovers` finds what nobody asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from qlan.errors import UsageError
from qlan.interop.imported import Imported, Notes, Source, our_name
from qlan.interop.libvirt.domain import read_domain
from qlan.interop.libvirt.network import Hosts, read_network
from qlan.interop.libvirt.port import NOTHING, Groups
from qlan.interop.markup import read_tags
from qlan.interop.shared import Shared, place_of
from qlan.topology.model import UNSERVED_KINDS, Guest, Network, Nic, Topology
from qlan.values import replace


def import_sources(sources: Sequence[Source]) -> Imported:
    """The lab of all networks and domains in the files.  UsageError if there is none."""
    notes = Notes()
    shared = Shared(notes)
    hosts, groups = Hosts(), Groups()
    tags = [(tag, source.name) for source in sources for tag in read_tags(source.text, source.name)]
    for tag, _ in tags:
        if tag.name == "network":
            read_network(tag, shared, hosts, groups, notes)
    guests: list[Guest] = []
    for tag, file in tags:
        if tag.name == "domain":
            guests.append(read_domain(tag, [guest.name for guest in guests], shared, groups, notes))
        elif tag.name != "network":
            raise UsageError(f"<{tag.name}> is neither a network nor a domain of libvirt", where=file)
    placed = [_with_vlans(_with_addresses(guest, shared, hosts), shared, notes) for guest in guests]
    _say_unplaced(hosts, groups, shared, notes)
    lab = hosts.domain or our_name("lab", sources[0].name.rpartition("/")[2].partition(".")[0])
    names = ", ".join(source.name for source in sources[:3]) + (", ..." if len(sources) > 3 else "")
    return Imported(Topology(lab, shared.joined(placed), tuple(placed)), notes, names)


def _with_addresses(guest: Guest, shared: Shared, hosts: Hosts) -> Guest:
    """The addresses that the networks' DHCP reserves for the guest's MACs or for its name."""
    known: dict[str, Network] = {network.name: network for network in shared.all}
    nics: list[Nic] = []
    for nic in guest.nics:
        given = hosts.take(nic.network, nic.mac, guest.name) if nic.network in known else None
        given6 = hosts.take6(nic.network, guest.name) if nic.network in known else None
        nics.append(replace(nic, address=given or nic.address, address6=given6))
    return replace(guest, nics=tuple(nics))


def _with_vlans(guest: Guest, shared: Shared, notes: Notes) -> Guest:
    """Its networks look at VLANs then; a bridge that somebody else made is theirs to set up."""
    nics = list(guest.nics)
    for index, nic in enumerate(nics):
        if not (nic.vlan or nic.trunk):
            continue
        network = next(one for one in shared.all if one.name == nic.network)
        if network.kind in UNSERVED_KINDS:
            words = replace(NOTHING, vlan=nic.vlan, trunk=nic.trunk).words
            notes.add(("guests", guest.name, index), f"{words}: to be set up where {network.name} is made")
            nics[index] = replace(nic, vlan=None, trunk=())
        else:
            shared.change(replace(network, vlan_filtering=True))
    return replace(guest, nics=tuple(nics))


def _say_unplaced(hosts: Hosts, groups: Groups, shared: Shared, notes: Notes) -> None:
    for network in shared.all:
        for port, title in groups.unused.get(network.name, {}).items():
            notes.add(place_of(network), f"not carried over: {title} with {port.words}: no interface here has it")
        for one in hosts.left(network.name):
            notes.add(place_of(network), f"a reserved address without its guest: {one}")

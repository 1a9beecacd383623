"""libvirt's network and domain XML as a lab.  The file needs no libvirt, and no libvirt is asked.

Every attribute and element is either understood or stands as a comment: `Tag.leftovers` finds what nobody asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qlan.errors import UsageError
from qlan.interop.imported import Imported, Notes, Source, our_name
from qlan.interop.libvirt.domain import read_domain
from qlan.interop.libvirt.network import Hosts, read_network
from qlan.interop.markup import read_tags
from qlan.interop.shared import Shared, place_of
from qlan.topology.model import Guest, Network, Nic, Topology


def import_sources(sources: Sequence[Source]) -> Imported:
    """The lab of all networks and domains in the files.  UsageError if there is none."""
    notes = Notes()
    shared = Shared(notes)
    hosts = Hosts()
    tags = [(tag, source.name) for source in sources for tag in read_tags(source.text, source.name)]
    for tag, _ in tags:
        if tag.name == "network":
            read_network(tag, shared, hosts, notes)
    guests: list[Guest] = []
    for tag, file in tags:
        if tag.name == "domain":
            guests.append(read_domain(tag, [guest.name for guest in guests], shared, notes))
        elif tag.name != "network":
            raise UsageError(f"<{tag.name}> is neither a network nor a domain of libvirt", where=file)
    placed = [_with_addresses(guest, shared, hosts) for guest in guests]
    _say_unplaced(hosts, shared, notes)
    lab = hosts.domain or our_name("lab", sources[0].name.rpartition("/")[2].partition(".")[0])
    names = ", ".join(source.name for source in sources[:3]) + (", ..." if len(sources) > 3 else "")
    return Imported(Topology(lab, shared.all, tuple(placed)), notes, names)


def _with_addresses(guest: Guest, shared: Shared, hosts: Hosts) -> Guest:
    """The addresses that the networks' DHCP reserves for the guest's MACs or for its name."""
    known: dict[str, Network] = {network.name: network for network in shared.all}
    nics: list[Nic] = []
    for nic in guest.nics:
        given = hosts.take(nic.network, nic.mac, guest.name) if nic.network in known else None
        nics.append(replace(nic, address=given) if given else nic)
    return replace(guest, nics=tuple(nics))


def _say_unplaced(hosts: Hosts, shared: Shared, notes: Notes) -> None:
    for network in shared.all:
        for one in hosts.left(network.name):
            notes.add(place_of(network), f"a reserved address without its guest: {one}")

"""What of a lab is there: its namespaces, links, servers and machines, read from the kernel and from our records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Interface
from pathlib import Path

from msgspec import Raw

from qlan import names
from qlan.errors import CommandFailed
from qlan.host import files, link, listening, process, shaping, vlan
from qlan.host.namespace import find_holder
from qlan.host.run import ahead
from qlan.render.enter import REALM, enter
from qlan.render.layout import Layout
from qlan.resources import codec
from qlan.resources.model import (
    HOST,
    Address,
    Admission,
    Adopted,
    Bridge,
    Dnsmasq,
    Filter,
    Forwarding,
    HelperBackend,
    Ifb,
    LinkDns,
    Machine,
    Macvlan,
    Macvtap,
    MacvtapBackend,
    Namespace,
    Nic,
    Outlet,
    Partition,
    Passt,
    Pasta,
    ProxyNeighbor,
    Relay,
    Resource,
    Resources,
    Shaping,
    Tap,
    Trunk,
    Uplink,
    UserBackend,
    WireBackend,
)
from qlan.values import replace


def read(layout: Layout, known: Mapping[str, Resource], intents: Iterable[Resource] = ()) -> Resources:
    """The lab's resources that are there now, by key.

    known: what was wanted last (it tells which namespaces to look into).  intents: what was being made when we were
    stopped last time.
    """
    everything = [*known.values(), *intents]
    while True:
        namespaces = _namespaces(layout, everything)
        try:
            with ahead(_programs(layout, namespaces, everything)):
                return _read(layout, everything, namespaces)
        except CommandFailed:
            if _namespaces(layout, everything) == namespaces:
                raise
            # else somebody takes the lab down, and what we went into is gone: once more, with what is left


@contextmanager
def reading(
    layout: Layout, known: Iterable[Resource] = (), *, beside: Iterable[tuple[Sequence[str], str]] = ()
) -> Iterator[None]:
    """Within, most of what `read` asks other programs is being answered already, for its first time.

    beside: what else will be run, as `run.ahead` takes it; what both ask for is asked once.
    """
    everything = list(known)
    with ahead([*_programs(layout, _namespaces(layout, everything), everything), *beside]):
        yield


def _read(layout: Layout, everything: list[Resource], namespaces: dict[str, Namespace]) -> Resources:
    tables = _tables(layout, namespaces, everything)
    found: Resources = {key: replace(one, loopback_up=_has_loopback(tables[key])) for key, one in namespaces.items()}
    found.update(_links(layout, tables, everything))
    found.update(_vlans(layout, namespaces, found))
    if HOST in tables:
        _add_uplinks(layout, tables[HOST], everything, found)
    found.update(_shapings(layout, namespaces, everything, found))
    found.update(_servers(layout, namespaces, everything, found))
    found.update(_passts(layout, everything))
    found.update(_link_dns(everything, found))
    found.update(_machines(layout, everything, found))
    found.update(_packets(layout, namespaces, everything, tables))
    found.update(_partitions(layout, namespaces, everything))
    found.update(listening.read(layout, everything, inside=REALM if REALM in namespaces else HOST))
    for key, one in found.items():
        if isinstance(one, Tap) and f"machine/{one.guest}" not in found:
            found[key] = replace(one, held=False)
    return found


def find_again(layout: Layout) -> None:
    """Make the lab's folder anew if somebody removed it under the lab: the processes themselves say what there is.

    The records in it are empty; what runs is found by its mark then.
    """
    if layout.run.exists():
        return
    for path in process.find_paths_under(layout.run):
        if len(path.parts) >= 2 and path.parts[0] in ("guest", "dnsmasq", "passt"):
            files.make_folder(layout.run / path.parts[0] / path.parts[1])
        elif path.parts in (("relay", "process"), ("outlet", "process")):
            files.make_folder(layout.run / path.parts[0])
        elif len(path.parts) == 2 and path.parts[0] == "namespace":
            files.write(layout.run / path, "")


def _namespaces(layout: Layout, known: Iterable[Resource]) -> dict[str, Namespace]:
    """Those that are known of, and those of which only the record of the holder is left."""
    wanted = {one.key: one for one in known if isinstance(one, Namespace)}
    recorded = [f"namespace/{path.name}" for path in files.entries(layout.run / "namespace")]
    parent = REALM if REALM in wanted or REALM in recorded else HOST
    for key in recorded:
        name = key.partition("/")[2]
        wanted.setdefault(key, Namespace(name, user=True) if key == REALM else Namespace(name, parent=parent))
    there = {key: one for key, one in wanted.items() if find_holder(layout, key) is not None}
    return {key: one for key, one in there.items() if one.parent == HOST or one.parent in there}  # else it is dying


def _programs(
    layout: Layout, namespaces: Mapping[str, Namespace], known: list[Resource]
) -> Iterator[tuple[Sequence[str], str]]:
    """What will be run to read these, words and standard input, as far as it can be told beforehand."""
    yield from ((link.words(inside), "") for inside in _ways_in(layout, namespaces, known).values())
    if any(isinstance(one, Filter | Forwarding) for one in known):
        from qlan.host import packet

        yield from packet.programs(known, _inside(layout, namespaces))
    yield from listening.programs(known)


def _ways_in(layout: Layout, namespaces: Mapping[str, Namespace], known: list[Resource]) -> dict[str, list[str]]:
    """The words that lead to where links of the lab may be: its namespaces, in the host realm the machine too."""
    on_host = not any(isinstance(one, Namespace) and one.user for one in [*known, *namespaces.values()])
    on_host = on_host and (not known or any(not isinstance(one, Machine | Adopted | Nic) for one in known))
    return {key: words for key, words in _inside(layout, namespaces).items() if key != HOST or on_host}


def _tables(layout: Layout, namespaces: Mapping[str, Namespace], known: list[Resource]) -> dict[str, list[link.Row]]:
    """The links of the lab's namespaces, by their keys; in the host realm those of the machine too."""
    tables: dict[str, list[link.Row]] = {key: [] for key in namespaces}
    return tables | {key: link.rows(inside) for key, inside in _ways_in(layout, namespaces, known).items()}


def _has_loopback(table: list[link.Row]) -> bool:
    return any(row["ifname"] == "lo" and "UP" in row["flags"] for row in table)


def _links(layout: Layout, tables: Mapping[str, list[link.Row]], known: list[Resource]) -> Resources:
    ours = {one.name: one.key for one in known if isinstance(one, Bridge | Tap | Ifb | Macvlan | Macvtap)}
    trunks = [one for one in known if isinstance(one, Trunk)]
    ours |= {one.near: one.key for one in trunks} | {one.far: f"{one.key}/far" for one in trunks}
    intents = link.Intents(ours, str(names.link_group(layout.lab)))
    foreign = {one.key: one for one in known if isinstance(one, Tap) and one.foreign}
    isolating = {one.key for one in known if isinstance(one, Bridge) and one.isolates}
    found = {one.key: _on_foreign(one, foreign) for one in link.parse(tables, layout.lab, intents)}
    return {
        key: replace(one, isolates=True) if isinstance(one, Bridge) and key in isolating else one
        for key, one in found.items()
    }


def _vlans(layout: Layout, namespaces: Mapping[str, Namespace], found: Resources) -> Resources:
    """The bridges that look at VLANs, and their ports, with their VLANs."""
    vlans: Resources = {}
    for key in sorted({one.namespace for one in found.values() if isinstance(one, Bridge) and one.vlan_filtering}):
        inside = {
            name: one for name, one in found.items() if isinstance(one, Bridge | Tap | Trunk) and one.namespace == key
        }
        vlans.update((one.key, one) for one in vlan.fill(vlan.read(_words(layout, key, namespaces)), inside))
    return vlans


def _words(layout: Layout, key: str, namespaces: Mapping[str, Namespace]) -> list[str]:
    """The words that run what follows them in a namespace."""
    rootless = any(one.user for one in namespaces.values())
    pid = find_holder(layout, key) if key else None
    return [word.replace(f"@{key}@", str(pid)) for word in enter(key, rootless=rootless) if word != "--pid"]


def _inside(layout: Layout, namespaces: Mapping[str, Namespace]) -> dict[str, list[str]]:
    """The same for each namespace of the lab that is there yet, and the machine's own."""
    there = [key for key in namespaces if find_holder(layout, key) is not None]
    return {key: _words(layout, key, namespaces) for key in (HOST, *there)}


def _shapings(
    layout: Layout, namespaces: Mapping[str, Namespace], known: list[Resource], found: Mapping[str, Resource]
) -> Resources:
    """What the TAPs that are there go through; a lab that never had any is spared the looking."""
    shaped = {one.namespace for one in [*known, *found.values()] if isinstance(one, Shaping | Ifb)}
    there: Resources = {}
    for key in sorted(shaped & {HOST, *namespaces}):
        taps = [one for one in found.values() if isinstance(one, Tap) and one.namespace == key]
        ifbs = {(one.guest, one.nic): one.name for one in found.values() if isinstance(one, Ifb)}
        if taps:
            there.update((one.key, one) for one in shaping.read(_words(layout, key, namespaces), taps, ifbs))
    return there


def _on_foreign(one: Resource, wanted: Mapping[str, Tap]) -> Resource:
    """A TAP that belongs on somebody else's bridge: only we know which network that is."""
    meant = wanted.get(one.key)
    return replace(one, network=meant.network, foreign=True) if meant and isinstance(one, Tap) else one


def _add_uplinks(layout: Layout, table: list[link.Row], known: Iterable[Resource], found: Resources) -> None:
    """The uplinks.  What a bridge of theirs carries is the NIC's, and no Address of ours."""
    from qlan.host import uplink  # a lab without root has none, and its `status` does not wait for this

    wanted = {one.network: one for one in known if isinstance(one, Uplink)}
    there = {one.network: one for one in uplink.read(layout, table, wanted)}
    found.update((one.key, one) for one in there.values())
    for network in {*wanted, *there}:
        key = f"bridge/{network}"
        bridge = found.get(key)
        if isinstance(bridge, Bridge):
            found[key] = replace(bridge, ipv6=link.has_ipv6(bridge.name))
        if network in there:
            for one in [one for one in found.values() if isinstance(one, Address) and one.link_key == key]:
                del found[one.key]


def _servers(
    layout: Layout, namespaces: Mapping[str, Namespace], known: Iterable[Resource], found: Resources
) -> Resources:
    servers: Resources = {}
    for name in _names(layout.run / "dnsmasq", (one.network for one in known if isinstance(one, Dnsmasq))):
        server = codec.find(files.read_json(layout.dnsmasq(name) / "resource.json"))
        if not isinstance(server, Dnsmasq):
            server = _unknown_server(layout, name, namespaces)
        if find_server(layout, server) is None:
            continue
        address = found.get(f"address/{server.interface}/{server.address}")
        bound = isinstance(address, Address) and address.namespace == server.namespace
        uplink_of = found.get(f"uplink/{name}")  # its address is the NIC's, and no resource of ours
        bound = bound or (isinstance(uplink_of, Uplink) and uplink_of.enslaved)
        servers[server.key] = replace(server, bound=bound)
    return servers


def _unknown_server(layout: Layout, network: str, namespaces: Mapping[str, Namespace]) -> Dnsmasq:
    """One that runs, and nobody knows how any more: good for being ended."""
    own = f"namespace/{network}"
    inside = own if own in namespaces else REALM if REALM in namespaces else HOST
    return Dnsmasq(network, "", "", IPv4Interface("0.0.0.0/0"), layout.lab, inside, bound=False)


def find_server(layout: Layout, server: Dnsmasq) -> int | None:
    """The process id of a network's dnsmasq, or None."""
    folder = layout.dnsmasq(server.network)
    inside = find_holder(layout, server.namespace) if server.namespace != HOST else None
    return process.find_recorded(folder / "pid", mark=layout.server_mark(server.network), inside=inside)


def find_passt(layout: Layout, guest: str, nic: int) -> int | None:
    """The process id of a NIC's passt, or None."""
    return process.find_recorded(layout.passt(guest, nic) / "own" / "pid", mark=layout.passt_mark(guest, nic))


def find_daemons(layout: Layout, known: Iterable[Resource]) -> list[int]:
    """The process ids of what runs for the lab beside its guests."""
    from qlan.host import relay

    found = []
    for one in known:
        match one:
            case Dnsmasq():
                found.append(find_server(layout, one))
            case Passt():
                found.append(find_passt(layout, one.guest, one.nic))
            case Relay():
                found.append(relay.find(layout))
            case Outlet():
                found.append(relay.find_outlet(layout))
            case Pasta():
                found.append(process.find_marked(layout.pasta_mark))
    return [pid for pid in found if pid is not None]


def _passts(layout: Layout, known: Iterable[Resource]) -> Resources:
    """Those that run; of one that nobody knows any more only whose it is."""
    wanted = {(one.guest, one.nic): one for one in known if isinstance(one, Passt)}
    if not wanted and not (layout.run / "passt").exists():
        return {}
    for entry in files.entries(layout.run / "passt"):
        guest, _, number = entry.name.rpartition(".")
        if number.isdecimal():
            wanted.setdefault((guest, int(number)), Passt(guest, int(number), UserBackend()))
    there: Resources = {}
    for (guest, nic), unknown in wanted.items():
        if find_passt(layout, guest, nic) is not None:
            noted = codec.find(files.read_json(layout.passt(guest, nic) / "resource.json"))
            one = noted if isinstance(noted, Passt) else replace(unknown, network=UserBackend())
            there[one.key] = one
    return there


def find_machine(layout: Layout, guest: str) -> int | None:
    """The process id of a guest's QEMU, or None."""
    if (adopted := layout.adopted(guest)).exists():
        return process.find_recorded(adopted)
    return process.find_recorded(layout.guest(guest) / "process", mark=layout.machine_mark(guest))


def find_machines(layout: Layout, guests: Iterable[str]) -> dict[str, int]:
    """The process ids of those of these guests that run."""
    found = {guest: find_machine(layout, guest) for guest in guests}
    return {guest: pid for guest, pid in found.items() if pid is not None}


def _machines(layout: Layout, known: Iterable[Resource], found: Resources) -> Resources:
    """The machines that run, with their NICs and forwards as they were started, and changed since.

    What a NIC was plugged into may be gone, whatever QEMU believes: such a one is not whole.  A machine of which
    nobody knows any more how it was started is there all the same, like no machine that can be wanted.
    """
    there: Resources = {}
    for guest in _names(layout.run / "guest", (one.guest for one in known if isinstance(one, Machine | Adopted))):
        pid = find_machine(layout, guest)
        if pid is None:
            continue
        unknown = Machine(guest, layout.lab, "", "", "", 0, 0)
        there[unknown.key] = unknown
        pieces = files.read_json(layout.guest(guest) / "guest.json", list[Raw])
        said = [one for one in map(codec.find, pieces or ()) if one is not None]
        unplugged = _unplugged(pid, [one for one in said if isinstance(one, Nic)])
        for one in said:
            there[one.key] = one
            if isinstance(one, Nic) and (one.key in unplugged or _is_cut(one, layout, found)):
                there[one.key] = replace(one, whole=False)
    return there


def _unplugged(pid: int, nics: list[Nic]) -> set[str]:
    """The NICs whose TAP, made by QEMU's own helper, is on their bridge no more."""
    helped = [(one.key, one.backend.bridge) for one in nics if isinstance(one.backend, HelperBackend)]
    if not helped:
        return set()
    from qlan.host import tap  # who has none of these is spared it

    masters = {row["ifname"]: row.get("master", "") for row in link.rows(())}
    ports = [masters.get(name, "") for name in tap.names_of(pid)]
    lost = set()
    for key, bridge in helped:
        if bridge in ports:
            ports.remove(bridge)
        else:
            lost.add(key)
    return lost


def _is_cut(nic: Nic, layout: Layout, found: Resources) -> bool:
    """Whether what it was plugged into is gone.  QEMU has it still, and it must go before another can come."""
    backend = nic.backend
    if isinstance(backend, UserBackend):
        return backend.backend == "passt" and f"passt/{nic.guest}/{nic.index}" not in found
    if isinstance(backend, MacvtapBackend):
        return backend.macvtap not in found
    if not isinstance(backend, WireBackend):
        return False
    pid = find_holder(layout, backend.namespace) if backend.namespace in found else None
    if pid is None:
        return True
    from qlan.host import wire  # it has sockets, which `qlan status` of other labs would import

    return backend.end not in wire.read_ends(pid)


def _packets(
    layout: Layout,
    namespaces: Mapping[str, Namespace],
    known: list[Resource],
    tables: Mapping[str, list[link.Row]],
) -> Resources:
    """Forwarding, tables of rules, and pasta."""
    uplink = next((one for one in known if isinstance(one, Pasta)), None) or _left_pasta(layout)
    anything = uplink or any(isinstance(one, Filter | Forwarding) for one in known)
    books = files.entries(layout.all_borrowed)
    if not (anything or (layout.run / "filter").exists() or any((one / f"lab.{layout.lab}").exists() for one in books)):
        return {}
    from qlan.host import packet  # what few labs have; `qlan status` would pay for it

    inside = _inside(layout, namespaces)
    filters = {one.key: one for one in known if isinstance(one, Filter)}
    for entry in files.entries(layout.run / "filter"):
        one = codec.find(files.read_json(entry / "resource.json"))
        if isinstance(one, Filter):
            filters[one.key] = one
    listings = {one.key: layout.filter(one.network) / "listing.json" for one in filters.values()}
    forwarding = (one for one in known if isinstance(one, Forwarding))
    found: Resources = {one.key: one for one in packet.read_filters(filters.values(), inside, listings)}
    admissions = packet.read_admissions(one for one in known if isinstance(one, Admission))
    found.update((one.key, one) for one in admissions)
    neighbors = packet.read_neighbors([one for one in known if isinstance(one, ProxyNeighbor)])
    found.update((one.key, one) for one in neighbors)
    read = packet.read_forwarding(forwarding, inside, layout)
    found.update((one.key, one) for one in read)
    if uplink and process.find_marked(layout.pasta_mark) is not None:
        attached = {row["ifname"] for key in inside if key for row in tables.get(key, ())}
        follows = packet.is_resolver_same(layout.pasta_resolvers)
        found[uplink.key] = replace(uplink, attached=uplink.link in attached, follows=follows)
    return found


def _left_pasta(layout: Layout) -> Pasta | None:
    """One that nobody wants any more, and that may run yet."""
    one = codec.find(files.read_json(layout.pasta / "resource.json"))
    return one if isinstance(one, Pasta) else None


def _partitions(layout: Layout, namespaces: Mapping[str, Namespace], known: Iterable[Resource]) -> Resources:
    """The tables that keep guests apart; what they were made of is beside how the kernel listed them then."""
    wanted = {one.key: one for one in known if isinstance(one, Partition)}
    for entry in files.entries(layout.run / "partition"):
        one = codec.find(files.read_json(entry / "resource.json"))
        if isinstance(one, Partition):
            wanted[one.key] = one
    if not wanted:
        return {}
    from qlan.host import partition  # what few labs have; `qlan status` would pay for it

    inside = _inside(layout, namespaces)
    return {one.key: one for one in partition.read(layout, wanted.values(), inside)}


def _link_dns(known: Iterable[Resource], links: Resources) -> Resources:
    told = [one for one in known if isinstance(one, LinkDns) and one.link_key in links]
    if not told:
        return {}
    from qlan.host import resolved

    return {one.key: one for one in resolved.read(told)}


def _names(path: Path, known: Iterable[str]) -> list[str]:
    """What has a folder there, and what should have one though somebody removed it."""
    if not path.parent.exists():
        return []
    return sorted({entry.name for entry in files.entries(path)}.union(known))

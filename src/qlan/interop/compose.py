"""A compose file (https://compose-spec.io): services as guests, networks as networks, ports as forwards.

A container's image is no disk: each guest gets the name of one to be made, and a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from qlan.errors import UsageError
from qlan.interop.imported import Imported, Notes, Place, Source, our_name
from qlan.problems import TopologyError
from qlan.topology.document import Mapping, Node, Scalar, compose
from qlan.topology.document import Sequence as Items
from qlan.topology.forwards import ANY, parse_port
from qlan.topology.guests import parse_memory
from qlan.topology.model import Dhcp, Disk, Forward, Guest, Network, Nic, Protocol, Topology, UserNetwork
from qlan.topology.scalars import Unreadable, parse_address, parse_mac, parse_subnet
from qlan.values import Value, replace

_PORT = re.compile(
    r"(?:(?P<address>[0-9]+(?:\.[0-9]+){3}):)?(?:(?P<host>[0-9]+):)?(?P<guest>[0-9]+)(?:/(?P<protocol>tcp|udp))?"
)
_DEFAULT = "default"


class _Names(Value):
    """Our names of the file's networks."""

    networks: dict[str, str]
    notes: Notes


def import_sources(sources: Sequence[Source]) -> Imported:
    """The lab of one compose file; UsageError for several, or what is none."""
    if len(sources) != 1:
        raise UsageError("compose files are imported one by one")
    source, notes = sources[0], Notes()
    try:
        root, problems = compose(source.text, source.name)
    except TopologyError as error:
        raise UsageError(error.problems[0].what, where=str(error.problems[0].mark or source.name)) from error
    top = _fields(root)
    if problems or not isinstance(top.get("services"), Mapping):
        what = problems[0].what if problems else "there are no `services`"
        raise UsageError(what, where=source.name, hint="a compose file has `services:` at its top")
    networks = _networks(top.get("networks"), notes)
    services = _fields(top["services"])
    if any(_uses_default(_fields(node)) for node in services.values()) and _DEFAULT not in networks:
        networks[_DEFAULT] = _network(_DEFAULT, None, [one.name for one in networks.values()], notes)
    names = _Names({key: network.name for key, network in networks.items()}, notes)
    guests: list[Guest] = []
    for key, node in services.items():
        guests.append(_guest(key, _fields(node), [guest.name for guest in guests], names))
    for key in top.keys() - {"services", "networks", "name", "version"}:
        notes.add((), _unsaid(key, top[key]))
    lab = _text(top.get("name")) or source.folder or source.name.rpartition("/")[2].partition(".")[0]
    return Imported(Topology(our_name("lab", lab), tuple(networks.values()), tuple(guests)), notes, source.name)


def is_compose(text: str) -> bool:
    """Whether a text looks like one."""
    return re.search(r"^services:", text, re.MULTILINE) is not None


def _fields(node: Node | None) -> dict[str, Node]:
    return {key.text: value for key, value in node.pairs} if isinstance(node, Mapping) else {}


def _text(node: Node | None) -> str | None:
    return node.text if isinstance(node, Scalar) and not node.is_null else None


def _texts(node: Node | None) -> list[str]:
    items = node.items if isinstance(node, Items) else (node,) if node else ()
    return [text for item in items if (text := _text(item)) is not None]


def _unsaid(key: str, node: Node) -> str:
    """A note about a key that we have no word for."""
    return f"{key}: {_shown(node)} is not carried over"


def _shown(node: Node) -> str:
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Items):
        return f"[{', '.join(map(_shown, node.items))}]"
    return f"{{{', '.join(f'{key.text}: {_shown(value)}' for key, value in node.pairs)}}}"


def _networks(node: Node | None, notes: Notes) -> dict[str, Network]:
    found: dict[str, Network] = {}
    for key, value in _fields(node).items():
        found[key] = _network(key, value, [one.name for one in found.values()], notes)
    return found


def _network(key: str, node: Node | None, taken: Sequence[str], notes: Notes) -> Network:
    """compose's bridge networks lead outside by NAT; `internal` ones don't."""
    fields = _fields(node)
    name = our_name("network", key, taken)
    place: Place = ("networks", name)
    is_internal = _text(fields.get("internal")) in ("true", "yes", "on")
    network = Network(name, "host-only" if is_internal else "nat", dhcp=Dhcp())
    configs = _fields(fields.get("ipam")).get("config")
    for config in configs.items if isinstance(configs, Items) else ():
        network = _addressed(network, _fields(config), place, notes)
    for left in fields.keys() - {"internal", "ipam", "name"}:
        if (left, _text(fields[left])) != ("driver", "bridge"):
            notes.add(place, _unsaid(left, fields[left]))
    return network


def _addressed(network: Network, config: dict[str, Node], place: Place, notes: Notes) -> Network:
    for left in config.keys() - {"subnet", "gateway"}:
        notes.add(place, _unsaid(left, config[left]))
    subnet = notes.value(place, "subnet", _text(config.get("subnet")), parse_subnet)
    if subnet is None or network.subnet:
        return network
    address = notes.value(place, "gateway", _text(config.get("gateway")), parse_address)
    return replace(network, subnet=subnet, address=address)


def _uses_default(service: dict[str, Node]) -> bool:
    return "networks" not in service and "network_mode" not in service


def _guest(key: str, service: dict[str, Node], taken: Sequence[str], names: _Names) -> Guest:
    name = our_name("guest", key, taken)
    place: Place = ("guests", name)
    image = _text(service.get("image"))
    what = f"image {image} is a container's" if image else "a container was built for it"
    names.notes.add(place, f"{what}: put a disk there that does the same")
    memory = _text(service.get("mem_limit"))
    size = names.notes.value(place, "mem_limit", memory.upper() if memory else None, parse_memory)
    known = {"networks", "network_mode", "ports", "mac_address", "mem_limit", "image"}
    for left in sorted(service.keys() - known):
        names.notes.add(place, _unsaid(left, service[left]))
    nics = tuple(_nics(service, name, names))
    if "mac_address" in service and not any(nic.mac for nic in nics):
        names.notes.add(place, _unsaid("mac_address", service["mac_address"]))
    guest = Guest(name, (Disk(Path(f"{name}.qcow2")),), nics=nics)
    return replace(guest, memory_bytes=size) if size else guest


def _nics(service: dict[str, Node], guest: str, names: _Names) -> Iterator[Nic]:
    """A NIC a network; published ports need one more, with user-mode networking."""
    place: Place = ("guests", guest, 0)
    mac = names.notes.value(place, "mac_address", _text(service.get("mac_address")), parse_mac)
    forwards = tuple(_forwards(service.get("ports"), guest, names))
    mode = _text(service.get("network_mode"))
    if mode == "none":
        return
    index = 0
    for key, address in _plugs(service, ("guests", guest), names) if mode is None else ():
        yield Nic(key, mac=mac if index == 0 else None, address=address)
        index += 1
    if mode is not None:
        names.notes.add(("guests", guest, index), f"network_mode: {mode} is not carried over")
    if forwards or mode is not None:
        if forwards and mode is None:
            names.notes.add(("guests", guest, index), "published ports come in by a NIC of their own")
        yield Nic(user=UserNetwork(), forwards=forwards)


def _plugs(service: dict[str, Node], place: Place, names: _Names) -> Iterator[tuple[str, IPv4Address | None]]:
    """(our network, address) of a service."""
    node = service.get("networks")
    pairs: list[tuple[str, Node | None]] = [(key, value) for key, value in _fields(node).items()]
    pairs = pairs or [(key, None) for key in (_texts(node) if node else [_DEFAULT])]
    for key, value in pairs:
        if key not in names.networks:
            names.notes.add(place, f"there is no network {key}")
            continue
        for left in _fields(value).keys() - {"ipv4_address"}:
            names.notes.add(place, f"on network {key}: {_unsaid(left, _fields(value)[left])}")
        said = _text(_fields(value).get("ipv4_address"))
        yield names.networks[key], names.notes.value(place, "ipv4_address", said, parse_address)


def _forwards(node: Node | None, guest: str, names: _Names) -> Iterator[Forward]:
    place: Place = ("guests", guest)
    for item in node.items if isinstance(node, Items) else ():
        text = _text(item) or _long(_fields(item))
        hit = _PORT.fullmatch(text)
        try:
            if hit is None:
                raise Unreadable("only single ports are carried over")
            protocol: Protocol = "udp" if hit["protocol"] == "udp" else "tcp"
            host = parse_port(hit["host"]) if hit["host"] else None
            address = parse_address(hit["address"]) if hit["address"] else ANY
            yield Forward(protocol, address, host, None, parse_port(hit["guest"]))
        except Unreadable as error:
            names.notes.add(place, f"ports {text}: {error.what}")


def _long(fields: dict[str, Node]) -> str:
    """The long form of a port in the short one."""
    said = {key: _text(node) for key, node in fields.items()}
    head = "".join(f"{said[key]}:" for key in ("host_ip", "published") if said.get(key))
    return f"{head}{said.get('target')}" + (f"/{said['protocol']}" if said.get("protocol") else "")

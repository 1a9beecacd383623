"""Published ports that the kernel leads to guests, as commands: a table a network, an element a port.

Two maps hold the ports, by whether they are of one address of this machine or of all; adding one costs the same however
many there are.  The rest is left to the sockets of the relay, which hold every port: what this machine sends to its own
loopback addresses (there the kernel would need route_localnet, or has no way at all), and what comes by a link that is
no entrance: from labs, whose guests must see a neighbour's call come from the host to answer it to the host.

Postrouting: where guests know no way to others than the host, every caller comes with the host's address.
"""

from __future__ import annotations

from collections.abc import Sequence

from qlan.render import nft_table, relay
from qlan.render.command import Command, Disconnect, Nft
from qlan.render.scene import Scene
from qlan.resources.model import PortMap, PublishedPort

EXACT, ANY = "exact", "any"  # maps: ports of one address, ports of all addresses of this machine; of IPv6 with a 6
_MAPS = {
    EXACT: "typeof ip daddr . meta l4proto . th dport : ip daddr . th dport",
    ANY: "typeof meta l4proto . th dport : ip daddr . th dport",
}
_MAPS6 = {f"{name}6": kind.replace("ip ", "ip6 ") for name, kind in _MAPS.items()}


def table(lab: str, network: str) -> str:
    """The table's name: like that of the network's filter, and no name has a dot."""
    return f"qlan.{lab}.{network}.ports"


def create(one: PortMap, scene: Scene) -> list[Command]:
    """The table without ports (each comes by itself), and how the kernel lists it."""
    return nft_table.made(one, _table(one), scene.layout.port_map(one.network))


def change(before: PortMap, after: PortMap, scene: Scene) -> list[Command]:
    """Replaced whole, in one transaction, with all its ports."""
    ports = [port for port in scene.resources.values() if isinstance(port, PublishedPort) and port.portmap == after.key]
    elements = "".join(_line("add", port, scene) for port in ports)
    folder = scene.layout.port_map(after.network)
    return nft_table.made(after, _table(after), folder, is_there=True, elements=elements)


def delete(one: PortMap, scene: Scene) -> list[Command]:
    """The table and its files; datagrams that were on their way through it go no further."""
    led = [Disconnect("udp", str(subnet)) for subnet in one.subnets]
    return [*nft_table.gone(one, _name(one), scene.layout.port_map(one.network)), *led]


def create_port(port: PublishedPort, scene: Scene) -> list[Command]:
    """The relay's socket first: it holds the port, or somebody else does and is named."""
    return [*relay.create_port(port, scene), *_added(port, scene)]


def change_port(before: PublishedPort, after: PublishedPort, scene: Scene) -> list[Command]:
    """Into its map, or out of it, or called by others' addresses; the relay has it all the while.

    Who replaced the map has left out the port by that: what is put in first can be taken out in any case.
    """
    if before.filter != after.filter:
        return relay.change_port(after, scene)
    out = [*_added(before, scene), *_removed(before, scene)] if before.portmap in scene.resources else []
    return [*out, *_added(after, scene)]


def delete_port(port: PublishedPort, scene: Scene) -> list[Command]:
    """Out of its map first, so that nobody comes by it any more.  TCP connections that are open go on."""
    return [*_removed(port, scene), *relay.delete_port(port, scene)]


def name_of_map(port: PublishedPort) -> str:
    """Which of the maps it is in."""
    name = EXACT if int(port.host_address) else ANY
    return f"{name}6" if port.host_address.version == 6 else name


def element(port: PublishedPort) -> tuple[tuple[str | int, ...], tuple[str | int, ...]]:
    """Its key in the map, and where that leads."""
    address = (str(port.host_address),) if int(port.host_address) else ()
    return (*address, port.protocol, port.host_port), (str(port.guest_address), port.guest_port)


def _name(one: PortMap) -> str:
    return f"inet {table(one.lab, one.network)}"


def _added(port: PublishedPort, scene: Scene) -> list[Command]:
    return [Nft("", _line("add", port, scene))] if port.portmap else []


def _removed(port: PublishedPort, scene: Scene) -> list[Command]:
    if not port.portmap:
        return []
    address = str(port.host_address) if int(port.host_address) else ""
    led = Disconnect("udp", str(port.guest_address), port.guest_port, address, port.host_port)
    return [Nft("", _line("delete", port, scene)), *([led] if port.protocol == "udp" else [])]


def _line(verb: str, port: PublishedPort, scene: Scene) -> str:
    key, target = (" . ".join(map(str, words)) for words in element(port))
    leads = f" : {target}" if verb == "add" else ""
    return f"{verb} element inet {table(scene.lab, port.network)} {name_of_map(port)} {{ {key}{leads} }}\n"


def _table(one: PortMap) -> nft_table.Table:
    link = f'"{one.link}"'
    passing = [f"oifname {link} ct status dnat ct direction original counter accept"]
    if one.guards:
        passing += [f"iifname {link} ct status dnat accept",
                    f"iifname {link} oifname {link} accept",  # bridge-nf-call-iptables has bridged frames come here
                    f"iifname {link} counter reject with icmpx admin-prohibited",
                    f"oifname {link} counter reject with icmpx admin-prohibited"]  # fmt: skip
    chains = {
        "lead": _leading(""),
        "output": ["type nat hook output priority -100; policy accept;", "ip daddr != 127.0.0.0/8 jump lead"],
        "passing": ["type filter hook forward priority filter; policy accept;", *passing],
    }
    entering = [f"iifname {_names(one.entrances)} jump lead"] if one.entrances else []
    if one.entrances6:
        # who calls by a link-local address is on that link, and cannot be led off it
        chains = {"lead6": ["ip6 saddr fe80::/10 return", "ip6 daddr fe80::/10 return", *_leading("6")], **chains}
        chains["output"].append("ip6 daddr != ::1 jump lead6")
        entering.append(f"iifname {_names(one.entrances6)} jump lead6")
    if entering:
        chains["prerouting"] = ["type nat hook prerouting priority dstnat; policy accept;", *entering]
    if not one.keeps_callers:
        chains["postrouting"] = ["type nat hook postrouting priority srcnat; policy accept;",
                                 f"oifname {link} ct status dnat counter masquerade"]  # fmt: skip
    comment = f"published ports of network {one.network} of lab {one.lab}, made by qlan"
    return nft_table.Table(_name(one), comment, chains, _MAPS | _MAPS6)


def _leading(six: str) -> list[str]:
    """six: "6" for IPv6."""
    return [f"dnat ip{six} to ip{six} daddr . meta l4proto . th dport map @{EXACT}{six}",
            f"fib daddr type local dnat ip{six} to meta l4proto . th dport map @{ANY}{six}"]  # fmt: skip


def _names(links: Sequence[str]) -> str:
    return "{ " + ", ".join(f'"{name}"' for name in links) + " }"

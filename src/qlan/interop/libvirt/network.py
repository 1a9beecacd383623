"""<network>: forward modes, addresses, DHCP, DNS."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, NetmaskValueError

from qlan.interop.imported import Notes, Place, our_name
from qlan.interop.markup import Tag
from qlan.interop.shared import Shared, place_of
from qlan.names import is_name
from qlan.topology.model import Dhcp, Network
from qlan.topology.scalars import MTU_MAX, MTU_MIN, PREFIX_MAX, PREFIX_MIN, parse_address, parse_integer

# forward mode -> our nearest kind, and what is lost
_MODES = {
    "nat": ("host-only", "kind nat is not in this version: guests reach the host, and nothing outside"),
    "route": ("host-only", "kind routed is not in this version: guests reach the host, and nothing outside"),
    "open": ("host-only", "kind routed is not in this version: guests reach the host, and nothing outside"),
    "bridge": ("private", "a bridge of others is not in this version: guests reach each other alone"),
    "private": ("private", "macvtap is not in this version: guests reach each other alone"),
    "vepa": ("private", "macvtap is not in this version: guests reach each other alone"),
    "passthrough": ("private", "macvtap is not in this version: guests reach each other alone"),
    "hostdev": ("private", "the host's devices cannot be handed on in this version: guests reach each other alone"),
}
_UNITS = {"seconds": 1, "minutes": 60, "hours": 3600}


@dataclass(slots=True)
class Hosts:
    """Reserved addresses by network: (MAC or "", name, address).  domain: the lab's name, said by a network."""

    by_network: dict[str, list[tuple[str, str, IPv4Address]]] = field(default_factory=dict)
    domain: str = ""

    def add(self, network: str, mac: str, name: str, address: IPv4Address) -> None:
        """One more."""
        self.by_network.setdefault(network, []).append((mac, name, address))

    def take(self, network: str | None, mac: str | None, guest: str) -> IPv4Address | None:
        """The address for a MAC, else for a guest's name; nobody else gets it then."""
        rows = self.by_network.get(network or "", [])
        for row in rows:
            if (row[0] and row[0] == mac) or (not row[0] and row[1] == guest):
                rows.remove(row)
                return row[2]
        return None

    def left(self, network: str) -> list[str]:
        """Those that nobody took, in words."""
        return [" ".join(filter(None, (mac, name, str(address))))
                for mac, name, address in self.by_network.get(network, [])]  # fmt: skip


def read_network(tag: Tag, shared: Shared, hosts: Hosts, notes: Notes) -> None:
    """One <network>; it is known to interfaces by libvirt's name for it, and by its bridge's."""
    text = tag.content("name") or "network"
    name = our_name("network", text, {network.name for network in shared.all})
    place: Place = ("networks", name)
    if name != text:
        notes.add(place, f"its name was {text}")
    kind = _kind(tag, place, notes)
    network = Network(name, kind, dns=tag.value("dns", "enable") != "no")
    mtu = tag.value("mtu", "size")
    network = replace(
        network, mtu_bytes=notes.value(place, "mtu", mtu, lambda said: parse_integer(said, MTU_MIN, MTU_MAX))
    )
    network = _addressed(network, tag, hosts, notes)
    _domain(tag, hosts, place, notes)
    bridge = tag.value("bridge", "name")
    tag.value("bridge", "stp"), tag.value("bridge", "delay")
    shared.put("network", text, network)
    if bridge and ("bridge", bridge) not in shared.by_key:
        shared.put("bridge", bridge, network)
    for group in tag.children("portgroup"):  # the same network to us; what it asks of its ports is left over
        group.attribute("default")
    _pass_over(tag, place, notes)
    for left in tag.leftovers():
        notes.add(place, f"not carried over: {left}")


def _kind(tag: Tag, place: Place, notes: Notes) -> str:
    forward = tag.find("forward")
    if forward is None:
        return "host-only" if tag.find("ip") is not None else "private"
    mode = forward.attribute("mode") or "nat"
    kind, why = _MODES.get(mode, ("private", "an unknown forward mode"))
    notes.add(place, f'<forward mode="{mode}">: {why}')
    return kind if kind == "private" or tag.find("ip") is not None else "host-only"


def _addressed(network: Network, tag: Tag, hosts: Hosts, notes: Notes) -> Network:
    """The first IPv4 <ip>; others stay leftovers."""
    place = place_of(network)
    for ip in tag.children("ip"):
        interface = _interface(ip)
        if interface is None or network.subnet or network.kind == "private":
            continue
        if not PREFIX_MIN <= interface.network.prefixlen <= PREFIX_MAX:
            notes.add(place, f"its subnet {interface.network} leaves no room for a host and a guest")
            continue
        for key in ("address", "netmask", "prefix", "family"):
            ip.attribute(key)
        dhcp = ip.find("dhcp")
        network = replace(network, subnet=interface.network, address=interface.ip, dhcp=None)
        if dhcp is not None:
            network = replace(network, dhcp=_dhcp(dhcp, interface, place, notes))
            _reserved(dhcp, network, hosts, notes)
    if network.subnet is None and network.kind == "host-only":
        notes.add(place, "no IPv4 address is said: a free subnet is picked")
    return network


def _interface(ip: Tag) -> IPv4Interface | None:
    """The address, looked at without asking for it: what is not IPv4 must stay a leftover."""
    said = ip.peek("address"), ip.peek("prefix") or ip.peek("netmask")
    if ip.peek("family") == "ipv6" or said[0] is None:
        return None
    try:
        return IPv4Interface(f"{said[0]}/{said[1]}") if said[1] else IPv4Interface(f"{said[0]}/{_class_of(said[0])}")
    except (AddressValueError, NetmaskValueError, ValueError):
        return None


def _class_of(address: str) -> int:
    """libvirt takes the class of the address where no mask is said (virSocketAddrGetIPPrefix)."""
    first = int(IPv4Address(address)) >> 24
    return 8 if first < 128 else 16 if first < 192 else 24


def _dhcp(tag: Tag, interface: IPv4Interface, place: Place, notes: Notes) -> Dhcp | None:
    """The first range; further ones are left over.  A <dhcp> with hosts alone serves these: here others get an
    address too."""
    for one in tag.children("range"):
        first = notes.value(place, "range", one.attribute("start"), parse_address)
        last = notes.value(place, "range", one.attribute("end"), parse_address)
        if first is None or last is None:
            continue
        if first not in interface.network or last not in interface.network:
            notes.add(place, f"range {first} to {last} is not in {interface.network}")
            continue
        lease = one.find("lease")
        return Dhcp(first, last, _lease(lease, place, notes) if lease else 3600)
    return Dhcp()


def _lease(tag: Tag, place: Place, notes: Notes) -> int:
    text, unit = tag.attribute("expiry") or "", tag.attribute("unit") or "minutes"
    time_s = int(text) * _UNITS.get(unit, 60) if text.isdigit() else -1
    if not 120 <= time_s <= 365 * 86400:
        notes.add(place, f"a lease of {text} {unit} is not from two minutes to a year")
        return 3600
    return time_s


def _reserved(dhcp: Tag, network: Network, hosts: Hosts, notes: Notes) -> None:
    for host in dhcp.children("host"):
        address = notes.value(place_of(network), "host", host.attribute("ip"), parse_address)
        if address:
            hosts.add(network.name, (host.attribute("mac") or "").lower(), host.attribute("name") or "", address)


def _domain(tag: Tag, hosts: Hosts, place: Place, notes: Notes) -> None:
    """libvirt's domain of a network is the lab's name to us, if it is a plain word and all networks agree."""
    name = tag.value("domain", "name")
    tag.value("domain", "localOnly")
    if name is None:
        return
    if is_name(name) and hosts.domain in ("", name):
        hosts.domain = name
    else:
        notes.add(place, f"its DNS domain was {name}; here it is the lab's name")


def _pass_over(tag: Tag, place: Place, notes: Notes) -> None:
    passed = tag.pass_over("uuid", "mac", "metadata", "title", "description")
    tag.attribute("connections")
    if passed:
        notes.add(place, f"libvirt's own, without a meaning here: {', '.join(passed)}")

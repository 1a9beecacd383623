"""<network>: forward modes, addresses, DHCP, DNS."""

from __future__ import annotations

import re
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Interface,
    IPv6Address,
    IPv6Interface,
    NetmaskValueError,
)
from pathlib import Path

from qlan.interop.imported import Notes, Place, our_name
from qlan.interop.libvirt.port import Groups
from qlan.interop.markup import Tag
from qlan.interop.shared import Shared, place_of
from qlan.interop.told import read_record, with_dhcp_options
from qlan.names import is_name
from qlan.topology.model import UNSERVED_KINDS, Dhcp, Ipv6, Network
from qlan.topology.scalars import (
    MTU_MAX,
    MTU_MIN,
    PREFIX_MAX,
    PREFIX_MIN,
    parse_address,
    parse_bootfile,
    parse_integer,
    parse_ipv6_prefix,
)
from qlan.values import Struct, field, replace

# forward mode -> our nearest kind, and what is lost
_MODES = {
    "nat": ("nat", ""),
    "route": ("routed", ""),
    "open": ("routed", "qlan bars its networks from those of other labs all the same"),
    "bridge": ("bridge", "a bridge that somebody else makes"),
    "private": ("macvtap", ""),
    "vepa": ("macvtap", ""),
    "passthrough": ("macvtap", ""),
    "hostdev": ("private", "the host's devices cannot be handed on in this version: guests reach each other alone"),
}
_OWN_BRIDGE = re.compile(r"virbr[0-9]+", re.ASCII)  # libvirt's own choice of a name
_UNITS = {"seconds": 1, "minutes": 60, "hours": 3600}


class Hosts(Struct):
    """Reserved addresses.  by_network: (MAC or "", name, address); by_name6: of IPv6, by network and guest.

    domain: the lab's name, said by a network.
    """

    by_network: dict[str, list[tuple[str, str, IPv4Address]]] = field(default_factory=dict)
    by_name6: dict[tuple[str, str], IPv6Address] = field(default_factory=dict)
    domain: str = ""

    def add(self, network: str, mac: str, name: str, address: IPv4Address) -> None:
        """One more."""
        self.by_network.setdefault(network, []).append((mac, name, address))

    def add6(self, network: str, guest: str, address: IPv6Address) -> None:
        """One of IPv6: libvirt knows those by the guest's name."""
        self.by_name6[network, guest] = address

    def take6(self, network: str | None, guest: str) -> IPv6Address | None:
        """The same of IPv6."""
        return self.by_name6.pop((network or "", guest), None)

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
        rows = [(mac, name, str(address)) for mac, name, address in self.by_network.get(network, [])]
        rows += [("", name, str(address)) for (of, name), address in self.by_name6.items() if of == network]
        return [" ".join(filter(None, row)) for row in rows]


def read_network(tag: Tag, shared: Shared, hosts: Hosts, groups: Groups, notes: Notes) -> None:
    """One <network>; it is known to interfaces by libvirt's name for it, and by its bridge's."""
    text = tag.content("name") or "network"
    name = our_name("network", text, {network.name for network in shared.all})
    place: Place = ("networks", name)
    if name != text:
        notes.add(place, f"its name was {text}")
    network = _named(name, tag, place, notes)
    mtu = tag.value("mtu", "size")
    network = replace(
        network, mtu_bytes=notes.value(place, "mtu", mtu, lambda said: parse_integer(said, MTU_MIN, MTU_MAX))
    )
    network = _with_records(_addressed(network, tag, hosts, notes), tag, notes)
    _domain(tag, hosts, place, notes)
    bridge = tag.value("bridge", "name")
    stp, delay = tag.value("bridge", "stp"), tag.value("bridge", "delay")
    own_name = bridge and not _OWN_BRIDGE.fullmatch(bridge) and bridge != f"br-{name}"
    network = replace(
        network,
        # libvirt's own default is on with no delay: that finds no loop, and is what a bridge without STP is here
        stp=stp == "on" and delay not in (None, "0"),
        isolated=tag.value("port", "isolated") == "yes",
        bridge_name=bridge if own_name and not _is_of_others(tag) else None,
    )
    if network.kind == "bridge":
        network = replace(network, bridge=bridge if bridge != name else None, stp=False)
    shared.put("network", text, network)
    if bridge and ("bridge", bridge) not in shared.by_key:
        shared.put("bridge", bridge, network)
    groups.read(name, tag, place, notes)
    _pass_over(tag, place, notes)
    for left in tag.leftovers():
        notes.add(place, f"not carried over: {left}")


def _named(name: str, tag: Tag, place: Place, notes: Notes) -> Network:
    """The network with its kind, and the NIC of the machine that it is on."""
    dns = tag.value("dns", "enable") != "no"
    forward = tag.find("forward")
    if forward is None:
        return Network(name, "host-only" if tag.find("ip") is not None else "private", dns=dns)
    mode = forward.attribute("mode") or "nat"
    kind, why = _MODES.get(mode, ("private", "an unknown forward mode"))
    link = forward.value("interface", "dev") or forward.peek("dev")
    if mode == "bridge" and not tag.value("bridge", "name") and link:  # formatnetwork.html: macvtap then
        kind, why = "macvtap", ""
    if why:
        notes.add(place, f'<forward mode="{mode}">: {why}')
    if kind == "macvtap" and not link:
        notes.add(place, f'<forward mode="{mode}">: its NIC is not said: guests reach each other alone')
        return Network(name, "private", dns=dns)
    if kind in ("private", "bridge"):
        return Network(name, kind, dns=dns)
    forward.attribute("dev")
    macvtap_mode = {"bridge": None, "passthrough": "passthru"}.get(mode, mode) if kind == "macvtap" else None
    return Network(name, kind, dns=dns, uplink=link, mode=macvtap_mode)


def _is_of_others(tag: Tag) -> bool:
    """Whether its bridge is one that somebody else made."""
    forward = tag.find("forward")
    return forward is not None and forward.peek("mode") not in (None, "nat", "route", "open")


def _addressed(network: Network, tag: Tag, hosts: Hosts, notes: Notes) -> Network:
    """The first IPv4 and the first IPv6 <ip>; others stay leftovers."""
    place = place_of(network)
    for ip in tag.children("ip"):
        interface = _interface(ip)
        if interface is None or network.subnet or network.kind in ("private", "bridge"):
            continue
        if not PREFIX_MIN <= interface.network.prefixlen <= PREFIX_MAX:
            notes.add(place, f"its subnet {interface.network} leaves no room for a host and a guest")
            continue
        for key in ("address", "netmask", "prefix", "family"):
            ip.attribute(key)
        dhcp = ip.find("dhcp")
        network = replace(network, subnet=interface.network, address=interface.ip, dhcp=None)
        if dhcp is not None:
            tftp, bootfile = _boot(ip, dhcp, place, notes)
            network = replace(network, dhcp=_dhcp(dhcp, interface, place, notes), tftp=tftp, bootfile=bootfile)
            _reserved(dhcp, network, hosts, notes)
    if network.subnet is None and network.kind == "host-only":
        notes.add(place, "no IPv4 address is said: a free subnet is picked")
    return replace(network, ipv6=_ipv6(tag, network, hosts))


def _ipv6(tag: Tag, network: Network, hosts: Hosts) -> Ipv6 | None:
    """libvirt's dnsmasq gives addresses either by DHCPv6 or by SLAAC."""
    if network.kind in UNSERVED_KINDS:
        return None
    for ip in tag.children("ip"):
        interface = _interface6(ip)
        if interface is None:
            continue
        for key in ("address", "prefix", "family"):
            ip.attribute(key)
        dhcp = ip.find("dhcp")
        for host in dhcp.children("host") if dhcp else ():
            address = _address6(host.peek("ip"))
            if address in interface.network and host.peek("name"):
                host.attribute("ip")
                hosts.add6(network.name, host.attribute("name") or "", address)
        return Ipv6(interface.network, interface.ip, slaac=dhcp is None, dhcp=dhcp is not None)
    return None


def _interface6(ip: Tag) -> IPv6Interface | None:
    """Of a prefix in which SLAAC works; looked at without asking for it."""
    if ip.peek("family") != "ipv6" or ip.peek("address") is None:
        return None
    try:
        found = IPv6Interface(f"{ip.peek('address')}/{ip.peek('prefix') or 64}")
        parse_ipv6_prefix(str(found.network))
    except ValueError:
        return None
    return found


def _address6(text: str | None) -> IPv6Address:
    try:
        return IPv6Address(text or "::")
    except AddressValueError:
        return IPv6Address(0)


def _with_records(network: Network, tag: Tag, notes: Notes) -> Network:
    """<dns><host>, and what libvirt hands to dnsmasq as it is: routes, time servers, options."""
    records = list(network.records)
    dns = tag.find("dns")
    for host in dns.children("host") if dns and network.dns else ():
        address = host.attribute("ip") or ""
        for one in host.children("hostname"):
            found = read_record(one.text, address)
            records += found
            if not found:
                notes.add(place_of(network), f"not carried over: the name {one.text} for {address}")
    options = [value for group in tag.children("options") for one in group.children("option")
               if (value := one.attribute("value"))]  # fmt: skip
    told = [value.removeprefix("dhcp-option=") for value in options if value.startswith("dhcp-option=")]
    left = [value for value in options if not value.startswith("dhcp-option=")]
    dhcp = network.dhcp
    if dhcp:
        dhcp, refused = with_dhcp_options(dhcp, told)
        left += [f"dhcp-option={value}" for value in refused]
    else:
        left += [f"dhcp-option={value}" for value in told]
    for value in left:
        notes.add(place_of(network), f"not carried over: dnsmasq's {value}")
    return replace(network, records=tuple(records), dhcp=dhcp)


def _boot(ip: Tag, dhcp: Tag, place: Place, notes: Notes) -> tuple[Path | None, str | None]:
    """What NICs boot from: a folder of this machine; a file of another server is said in words."""
    root, file, server = ip.value("tftp", "root"), dhcp.value("bootp", "file"), dhcp.value("bootp", "server")
    bootfile = notes.value(place, "bootfile", file, parse_bootfile)
    if server or (bootfile and root is None and "://" not in bootfile):
        notes.add(place, f"<bootp>: {file} is fetched from {server or 'another server'}: write it in `dhcp: options`")
        bootfile = None
    return Path(root) if root else None, bootfile


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
    time_s = int(text) * _UNITS.get(unit, 60) if text.isdecimal() else -1
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

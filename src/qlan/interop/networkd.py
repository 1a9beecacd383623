"""A lab's bridges and TAPs as systemd-networkd's files (systemd.netdev(5), systemd.network(5)); DHCP too."""

from __future__ import annotations

from ipaddress import IPv6Interface

from qlan.interop import host_words
from qlan.interop.settled import (
    File,
    Settled,
    bridge_name,
    ends_of,
    is_isolated,
    limits,
    reservations,
    tap_name,
    taps,
    vlans_of,
)
from qlan.render import shaping
from qlan.resources.link import STP_TIMERS_S
from qlan.topology.model import OUTSIDE_KINDS, Guest, Network

_FOLDER = "etc/systemd/network"
_QUIET = ["LinkLocalAddressing=no", "IPv6AcceptRA=no"]


def export_lab(lab: Settled) -> tuple[File, ...]:
    """A .netdev and a .network a bridge and a TAP."""
    found = []
    for network in lab.bridged:
        found += [_bridge(network, lab), _address(network, lab), *_uplink(network)]
    for network, guest, index in taps(lab):
        found += [_tap(guest, index, lab), _port(network, guest, index)]
    return tuple(found)


def _file(name: str, words: list[str], *sections: tuple[str, list[str]]) -> File:
    blocks = ["\n".join(host_words.commented(words))]
    blocks += ["\n".join([f"[{title}]", *lines]) for title, lines in sections]
    return File(f"{_FOLDER}/30-{name}", "\n\n".join(blocks) + "\n")


def _bridge(network: Network, lab: Settled) -> File:
    device = [f"Name={bridge_name(network)}", "Kind=bridge"]
    if network.mtu_bytes:
        device.append(f"MTUBytes={network.mtu_bytes}")
    bridge = ["STP=no", "ForwardDelaySec=0"]
    if network.stp:
        delay_s, hello_s, age_s = STP_TIMERS_S
        bridge = ["STP=yes", f"ForwardDelaySec={delay_s}", f"HelloTimeSec={hello_s}", f"MaxAgeSec={age_s}"]
    bridge += (
        ["MulticastSnooping=yes", "MulticastQuerier=yes"] if network.multicast_snooping else ["MulticastSnooping=no"]
    )
    words = [*host_words.head(lab), *host_words.about(network, forwards=True)]
    if network.vlan_filtering:
        bridge += ["VLANFiltering=yes", "DefaultPVID=none"]
    return _file(f"{bridge_name(network)}.netdev", words, ("NetDev", device), ("Bridge", bridge))


def _uplink(network: Network) -> list[File]:
    """The NIC of this machine that a public network's bridge takes in."""
    if network.kind != "public":
        return []
    words = [f"{network.uplink} is a port of network {network.name}'s bridge."]
    lines = [f"Bridge={bridge_name(network)}", *_QUIET]
    return [_file(f"{network.uplink}.network", words, ("Match", [f"Name={network.uplink}"]), ("Network", lines))]


def _address(network: Network, lab: Settled) -> File:
    name = bridge_name(network)
    if network.kind == "public":
        return _file(
            f"{name}.network", host_words.about(network), ("Match", [f"Name={name}"]), ("Network", ["DHCP=yes"])
        )
    interface = lab.host_interface(network)
    interface6 = lab.host_interface6(network)
    quiet = ["LinkLocalAddressing=ipv6", "IPv6AcceptRA=no"] if interface6 else _QUIET
    lines = ["ConfigureWithoutCarrier=yes", *quiet]
    words = [f"Network {network.name} of lab {lab.topology.lab}."]
    sections: list[tuple[str, list[str]]] = []
    if interface:
        lines.append(f"Address={interface}")
        lines += {"nat": ["IPMasquerade=ipv4"], "routed": ["IPForward=ipv4"]}.get(network.kind, [])
        if network.dhcp and network.dhcp.relay:
            words.append(f"Not said here: DHCP by a relay to {network.dhcp.relay}.")
        elif network.dhcp:
            lines.append("DHCPServer=yes")
            sections = _server(network, lab)
        if interface6:
            lines.append(f"Address={interface6}")
            if network.ipv6 and network.ipv6.slaac:
                lines.append("IPv6SendRA=yes")
                sections += _advertised(interface6)
            if network.ipv6 and network.ipv6.dhcp:
                words.append("Not said here: DHCPv6, which networkd does not serve.")
        words += host_words.unsaid_of_server(network)
        if network.dns:
            words.append("Not said here: names of guests. networkd serves no DNS; `qlan export --to ifupdown` has a")
            words.append("dnsmasq configuration that does.")
    if network.vlan_filtering:
        sections = [*sections, ("BridgeVLAN", [f"PVID={network.vlan or 1}", f"EgressUntagged={network.vlan or 1}"])]
    match = [("Match", [f"Name={name}"]), ("Link", ["RequiredForOnline=no"])]
    return _file(f"{name}.network", words, *match, ("Network", lines), *sections)


def _server(network: Network, lab: Settled) -> list[tuple[str, list[str]]]:
    """The pool counts from the subnet's first number; no router where nothing leads out."""
    assert network.dhcp is not None and network.subnet is not None
    first, last = ends_of(network.dhcp)
    server = [
        f"PoolOffset={int(first) - int(network.subnet.network_address)}",
        f"PoolSize={int(last) - int(first) + 1}",
        f"DefaultLeaseTimeSec={network.dhcp.lease_time_s}",
        f"MaxLeaseTimeSec={network.dhcp.lease_time_s}",
        f"EmitRouter={'yes' if network.kind in OUTSIDE_KINDS else 'no'}",
        "EmitDNS=no",
        "EmitNTP=no",
        "EmitTimezone=no",
    ]
    if network.mtu_bytes:
        server.append(f"SendOption=26:uint16:{network.mtu_bytes}")
    leases = [
        ("DHCPServerStaticLease", [f"# guest {guest}", f"MACAddress={mac}", f"Address={address}"])
        for mac, address, guest in reservations(network, lab)
    ]
    return [("DHCPServer", server), *leases]


def _advertised(interface: IPv6Interface) -> list[tuple[str, list[str]]]:
    """RouterLifetimeSec=0: nothing leads out of this network."""
    return [
        ("IPv6SendRA", ["RouterLifetimeSec=0", "EmitDNS=no"]),
        ("IPv6Prefix", [f"Prefix={interface.network}"]),
    ]


def _tap(guest: Guest, index: int, lab: Settled) -> File:
    words = [f"NIC {index} of guest {guest.name}: -netdev tap,ifname={tap_name(guest, index)},script=no,downscript=no"]
    name = tap_name(guest, index)
    device = [f"Name={name}", "Kind=tap"]
    return _file(f"{name}.netdev", words, ("NetDev", device), ("Tap", [f"User={lab.owner}", "VNetHeader=yes"]))


def _port(network: Network, guest: Guest, index: int) -> File:
    name = tap_name(guest, index)
    link = ["RequiredForOnline=no"]
    if network.mtu_bytes:
        link.append(f"MTUBytes={network.mtu_bytes}")
    lines = [f"Bridge={bridge_name(network)}", *_QUIET]
    words = [f"NIC {index} of guest {guest.name} on network {network.name}."]
    sections = [("Match", [f"Name={name}"]), ("Link", link), ("Network", lines)]
    if is_isolated(guest.nics[index], network):
        sections.append(("Bridge", ["Isolated=yes"]))
    untagged, tagged = vlans_of(guest.nics[index], network)
    sections += [("BridgeVLAN", [f"PVID={vid}", f"EgressUntagged={vid}"]) for vid in untagged]
    sections += [("BridgeVLAN", [f"VLAN={vids}"]) for vids in tagged]
    for limit in limits(network, guest, index, name):
        if limit.queue == name:
            bucket = [f"Rate={limit.rate_bps}", f"BurstBytes={limit.burst_bytes}", "LatencySec=50ms"]
            sections.append(("TokenBucketFilter", ["Parent=root", *bucket]))
        else:
            words += ["Not said here, networkd has no words for it: the limit on what the guest sends. By hand:"]
            words += [f"  ip link add name {limit.queue} type ifb", f"  ip link set dev {limit.queue} up"]
            words += [f"  {one.program} {one.line}" for one in shaping.lines(limit)]
    return _file(f"{name}.network", words, *sections)

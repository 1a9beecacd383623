"""A lab's bridges and TAPs as systemd-networkd's files (systemd.netdev(5), systemd.network(5)); DHCP too."""

from __future__ import annotations

from qlan.interop import host_words
from qlan.interop.settled import File, Settled, bridge_name, ends_of, reservations, tap_name, taps
from qlan.topology.model import Guest, Network

_FOLDER = "etc/systemd/network"
_QUIET = ["LinkLocalAddressing=no", "IPv6AcceptRA=no"]


def export_lab(lab: Settled) -> tuple[File, ...]:
    """A .netdev and a .network a bridge and a TAP."""
    found = []
    for network in lab.topology.networks:
        found += [_bridge(network, lab), _address(network, lab)]
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
    bridge = ["STP=no", "ForwardDelaySec=0", "MulticastSnooping=no"]
    words = [*host_words.head(lab), *host_words.about(network)]
    return _file(f"{bridge_name(network)}.netdev", words, ("NetDev", device), ("Bridge", bridge))


def _address(network: Network, lab: Settled) -> File:
    name = bridge_name(network)
    interface = lab.host_interface(network)
    lines = ["ConfigureWithoutCarrier=yes", *_QUIET]
    words = [f"Network {network.name} of lab {lab.topology.lab}."]
    sections: list[tuple[str, list[str]]] = []
    if interface:
        lines.append(f"Address={interface}")
        if network.dhcp:
            lines.append("DHCPServer=yes")
            sections = _server(network, lab)
        if network.dns:
            words.append("Not said here: names of guests. networkd serves no DNS; `qlan export --to ifupdown` has a")
            words.append("dnsmasq configuration that does.")
    match = [("Match", [f"Name={name}"]), ("Link", ["RequiredForOnline=no"])]
    return _file(f"{name}.network", words, *match, ("Network", lines), *sections)


def _server(network: Network, lab: Settled) -> list[tuple[str, list[str]]]:
    """The pool counts from the subnet's first number; EmitRouter=no: nothing leads out of this network."""
    assert network.dhcp is not None and network.subnet is not None
    first, last = ends_of(network.dhcp)
    server = [
        f"PoolOffset={int(first) - int(network.subnet.network_address)}",
        f"PoolSize={int(last) - int(first) + 1}",
        f"DefaultLeaseTimeSec={network.dhcp.lease_time_s}",
        f"MaxLeaseTimeSec={network.dhcp.lease_time_s}",
        "EmitRouter=no",
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
    return _file(f"{name}.network", words, ("Match", [f"Name={name}"]), ("Link", link), ("Network", lines))

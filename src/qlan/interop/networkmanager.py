"""A lab's bridges and TAPs as NetworkManager's keyfiles (nm-settings-keyfile(5)), and dnsmasq's configuration."""

from __future__ import annotations

import uuid

from qlan.interop import dnsmasq, host_words
from qlan.interop.settled import File, Settled, bridge_name, tap_name, taps
from qlan.topology.model import Guest, Network

_FOLDER = "etc/NetworkManager/system-connections"
_SPACE = uuid.UUID("5c0f3d0e-6a0d-5f0e-9a83-6f7a1c9d2b11")  # ours: the same lab keeps its connections' ids


def export_lab(lab: Settled) -> tuple[File, ...]:
    """A keyfile a bridge and a TAP; a dnsmasq configuration a network that this machine serves."""
    bridges = [_bridge(network, lab) for network in lab.topology.networks]
    ports = [_tap(network, guest, index, lab) for network, guest, index in taps(lab)]
    served = [network for network in lab.topology.networks if host_words.wants_server(network)]
    return (*bridges, *ports, *(dnsmasq.export_server(network, lab) for network in served))


def _file(name: str, words: list[str], sections: dict[str, list[str]]) -> File:
    blocks = ["\n".join(host_words.commented(words))] if words else []
    blocks += ["\n".join([f"[{title}]", *lines]) for title, lines in sections.items()]
    return File(f"{_FOLDER}/{name}.nmconnection", "\n\n".join(blocks) + "\n", secret=True)


def _connection(name: str, kind: str, lab: Settled) -> list[str]:
    own = uuid.uuid5(_SPACE, f"{lab.facts.seed}/{lab.topology.lab}/{name}")
    return [f"id={name}", f"uuid={own}", f"type={kind}", f"interface-name={name}", "autoconnect=true"]


def _bridge(network: Network, lab: Settled) -> File:
    name = bridge_name(network)
    words = [*host_words.head(lab), *host_words.about(network)]
    if host_words.wants_server(network):
        words.append(f"Not said here: DHCP and DNS are /{dnsmasq.conf_path(network)}. NetworkManager's own")
        words.append("(method=shared) would lead the guests outside.")
    sections = {"connection": _connection(name, "bridge", lab)}
    if network.mtu_bytes:
        sections["ethernet"] = [f"mtu={network.mtu_bytes}"]
    sections["bridge"] = ["forward-delay=0", "multicast-snooping=false", "stp=false"]
    interface = lab.host_interface(network)
    if interface:
        sections["ipv4"] = [f"address1={interface}", "method=manual", "never-default=true"]
    else:
        sections["ipv4"] = ["method=disabled"]
    sections["ipv6"] = ["method=disabled"]
    return _file(name, words, sections)


def _tap(network: Network, guest: Guest, index: int, lab: Settled) -> File:
    name = tap_name(guest, index)
    words = [f"NIC {index} of guest {guest.name}: -netdev tap,ifname={name},script=no,downscript=no"]
    bridge = bridge_name(network)
    sections = {"connection": [*_connection(name, "tun", lab), f"master={bridge}", "slave-type=bridge"]}
    if network.mtu_bytes:
        sections["ethernet"] = [f"mtu={network.mtu_bytes}"]
    sections["tun"] = ["mode=2", f"owner={lab.owner}", "vnet-hdr=true"]
    return _file(name, words, sections)

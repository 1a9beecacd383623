"""A lab's bridges and TAPs as NetworkManager's keyfiles (nm-settings-keyfile(5)), and dnsmasq's configuration."""

from __future__ import annotations

import uuid

from qlan.interop import dnsmasq, host_words
from qlan.interop.settled import File, Settled, bridge_name, tap_name, taps
from qlan.resources.link import STP_TIMERS_S
from qlan.topology.model import Guest, Network

_FOLDER = "etc/NetworkManager/system-connections"
_SPACE = uuid.UUID("5c0f3d0e-6a0d-5f0e-9a83-6f7a1c9d2b11")  # ours: the same lab keeps its connections' ids


def export_lab(lab: Settled) -> tuple[File, ...]:
    """A keyfile a bridge and a TAP; a dnsmasq configuration a network that this machine serves."""
    bridges = [_bridge(network, lab) for network in lab.bridged]
    ports = [_uplink(network, lab) for network in lab.bridged if network.kind == "public"]
    ports += [_tap(network, guest, index, lab) for network, guest, index in taps(lab)]
    served = [network for network in lab.bridged if host_words.wants_server(network)]
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
        words.append("(method=shared) would choose the addresses, and lead the guests outside.")
    sections = {"connection": _connection(name, "bridge", lab)}
    if network.mtu_bytes:
        sections["ethernet"] = [f"mtu={network.mtu_bytes}"]
    sections["bridge"] = _options(network)
    interface = lab.host_interface(network)
    if interface:
        sections["ipv4"] = [f"address1={interface}", "method=manual", "never-default=true"]
    else:
        sections["ipv4"] = ["method=auto" if network.kind == "public" else "method=disabled"]
    interface6 = lab.host_interface6(network)
    if interface6:  # manual: it listens to no router advertisement
        sections["ipv6"] = ["addr-gen-mode=eui64", f"address1={interface6}", "method=manual", "never-default=true"]
    else:
        sections["ipv6"] = ["method=auto" if network.kind == "public" else "method=disabled"]
    return _file(name, words, sections)


def _uplink(network: Network, lab: Settled) -> File:
    """The NIC of this machine that a public network's bridge takes in."""
    name = network.uplink or ""
    words = [f"{name} is a port of network {network.name}'s bridge."]
    port = [f"master={bridge_name(network)}", "slave-type=bridge"]
    return _file(name, words, {"connection": [*_connection(name, "ethernet", lab), *port]})


def _options(network: Network) -> list[str]:
    delay_s, hello_s, age_s = STP_TIMERS_S
    if network.stp:
        found = [f"forward-delay={delay_s}", f"hello-time={hello_s}", f"max-age={age_s}"]
    else:
        found = ["forward-delay=0"]
    if network.multicast_snooping:
        found.append("multicast-querier=true")
    if network.vlan_filtering:
        own = network.vlan or 1
        found += ["vlan-default-pvid=0", "vlan-filtering=true", f"vlans={own} pvid untagged"]
    return [
        *found,
        f"multicast-snooping={'true' if network.multicast_snooping else 'false'}",
        f"stp={'true' if network.stp else 'false'}",
    ]


def _tap(network: Network, guest: Guest, index: int, lab: Settled) -> File:
    name = tap_name(guest, index)
    words = [f"NIC {index} of guest {guest.name}: -netdev tap,ifname={name},script=no,downscript=no"]
    if commands := host_words.port_commands(network, guest, index):
        words += ["Not said here, a keyfile has no words for it; by hand, or from a dispatcher script:"]
        words += [f"  {command}" for command in commands]
    bridge = bridge_name(network)
    sections = {"connection": [*_connection(name, "tun", lab), f"master={bridge}", "slave-type=bridge"]}
    if network.mtu_bytes:
        sections["ethernet"] = [f"mtu={network.mtu_bytes}"]
    sections["tun"] = ["mode=2", f"owner={lab.owner}", "vnet-hdr=true"]
    return _file(name, words, sections)

"""A lab's bridges and TAPs as an interfaces(5) file of ifupdown; iproute2 makes the links, dnsmasq serves."""

from __future__ import annotations

from qlan.interop import dnsmasq, host_words
from qlan.interop.settled import File, Settled, bridge_name, tap_name, taps
from qlan.topology.model import Guest, Network


def export_lab(lab: Settled) -> tuple[File, ...]:
    """One file of stanzas; a dnsmasq configuration a network that this machine serves."""
    blocks = ["\n".join(host_words.commented(host_words.head(lab)))]
    servers = []
    for network in lab.topology.networks:
        blocks.append("\n".join(_bridge(network, lab)))
        if host_words.wants_server(network):
            servers.append(dnsmasq.export_server(network, lab))
    blocks += ["\n".join(_tap(network, guest, index, lab)) for network, guest, index in taps(lab)]
    return (File(f"etc/network/interfaces.d/qlan-{lab.topology.lab}", "\n\n".join(blocks) + "\n"), *servers)


def _bridge(network: Network, lab: Settled) -> list[str]:
    name = bridge_name(network)
    interface = lab.host_interface(network)
    mtu = f" mtu {network.mtu_bytes}" if network.mtu_bytes else ""
    lines = [
        *host_words.commented(host_words.about(network)),
        f"auto {name}",
        f"iface {name} inet {'static' if interface else 'manual'}",
    ]
    if interface:
        lines.append(f"    address {interface}")
    kind = "type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
    lines.append(f"    pre-up ip link add name $IFACE{mtu} {kind}")
    if not interface:
        lines.append("    up ip link set dev $IFACE up")
    if host_words.wants_server(network):
        lines.append(f"    up dnsmasq --conf-file=/{dnsmasq.conf_path(network)}")
        lines.append(f'    pre-down kill "$(cat {dnsmasq.pid_path(network)})"')
    return [*lines, "    post-down ip link delete dev $IFACE"]


def _tap(network: Network, guest: Guest, index: int, lab: Settled) -> list[str]:
    name = tap_name(guest, index)
    mtu = f" mtu {network.mtu_bytes}" if network.mtu_bytes else ""
    return [
        f"# NIC {index} of guest {guest.name}: -netdev tap,ifname={name},script=no,downscript=no",
        f"auto {name}",
        f"iface {name} inet manual",
        f"    pre-up ip tuntap add dev $IFACE mode tap user {lab.owner}",
        f"    up ip link set dev $IFACE{mtu} master {bridge_name(network)} up",
        "    post-down ip tuntap delete dev $IFACE mode tap",
    ]

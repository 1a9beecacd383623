"""A lab's bridges and TAPs as an interfaces(5) file of ifupdown; iproute2 makes the links, dnsmasq serves."""

from __future__ import annotations

from ipaddress import IPv6Interface

from qlan.interop import dnsmasq, host_words
from qlan.interop.settled import File, Settled, bridge_name, limits, tap_name, taps
from qlan.topology.model import Guest, Network


def export_lab(lab: Settled) -> tuple[File, ...]:
    """One file of stanzas; a dnsmasq configuration a network that this machine serves."""
    blocks = ["\n".join(host_words.commented(host_words.head(lab)))]
    servers = []
    for network in lab.bridged:
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
        f"iface {name} inet {'dhcp' if network.kind == 'public' else 'static' if interface else 'manual'}",
    ]
    if interface:
        lines.append(f"    address {interface}")
    interface6 = lab.host_interface6(network)
    kind = f"type bridge {host_words.bridge_options(network)}"
    lines.append(f"    pre-up ip link add name $IFACE{mtu} {kind}")
    lines += [f"    {line}" for line in _ipv6(interface6)]
    if network.kind == "public":
        lines.append(f"    pre-up ip link set dev {network.uplink} master $IFACE up")
        lines.append("    pre-up ip link set dev $IFACE up")
    if not interface and network.kind != "public":
        lines.append("    up ip link set dev $IFACE up")
    lines += [f"    up {command}" for command in host_words.own_vlan(network, "$IFACE")]
    if host_words.wants_server(network):
        lines.append(f"    up dnsmasq --conf-file=/{dnsmasq.conf_path(network)}")
        lines.append(f'    pre-down kill "$(cat {dnsmasq.pid_path(network)})"')
    return [*lines, "    post-down ip link delete dev $IFACE"]


def _ipv6(interface: IPv6Interface | None) -> list[str]:
    """Before the link is up, so that it listens to no router advertisement of a guest."""
    if interface is None:
        return []
    deaf = [f"pre-up sysctl -q net.ipv6.conf.$IFACE.{name}=0" for name in ("accept_ra", "autoconf")]
    return [*deaf, f"pre-up ip address add {interface} dev $IFACE nodad"]


def _tap(network: Network, guest: Guest, index: int, lab: Settled) -> list[str]:
    name = tap_name(guest, index)
    mtu = f" mtu {network.mtu_bytes}" if network.mtu_bytes else ""
    return [
        f"# NIC {index} of guest {guest.name}: -netdev tap,ifname={name},script=no,downscript=no",
        f"auto {name}",
        f"iface {name} inet manual",
        f"    pre-up ip tuntap add dev $IFACE mode tap user {lab.owner}",
        f"    up ip link set dev $IFACE{mtu} master {bridge_name(network)} up",
        *(f"    up {command}" for command in host_words.port_commands(network, guest, index, "$IFACE")),
        *(f"    post-down ip link delete dev {one.queue}" for one in limits(network, guest, index, "") if one.queue),
        "    post-down ip tuntap delete dev $IFACE mode tap",
    ]

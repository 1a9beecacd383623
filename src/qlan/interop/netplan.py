"""A lab's bridges as a netplan file (https://netplan.readthedocs.io), and dnsmasq's configuration beside it."""

from __future__ import annotations

from qlan.interop import dnsmasq, host_words
from qlan.interop.settled import File, Settled, bridge_name
from qlan.resources.link import STP_TIMERS_S
from qlan.topology.model import Network


def export_lab(lab: Settled) -> tuple[File, ...]:
    """One YAML file; a dnsmasq configuration a network that this machine serves."""
    lines = host_words.commented([*host_words.head(lab), *host_words.without_taps(lab)])
    lines += ["network:", "  version: 2"]
    if uplinks := [network.uplink for network in lab.bridged if network.kind == "public"]:
        lines.append("  ethernets:")
        lines += [f"    {uplink}: {{dhcp4: false, dhcp6: false, accept-ra: false}}" for uplink in uplinks]
    if lab.bridged:
        lines.append("  bridges:")
    servers = []
    for network in lab.bridged:
        lines += _bridge(network, lab)
        if host_words.wants_server(network):
            servers.append(dnsmasq.export_server(network, lab))
    return (File(f"etc/netplan/60-qlan-{lab.topology.lab}.yaml", "\n".join(lines) + "\n", secret=True), *servers)


def _bridge(network: Network, lab: Settled) -> list[str]:
    words = host_words.about(network)
    if host_words.wants_server(network):
        words.append(f"Not said here, netplan has no server: DHCP and DNS are /{dnsmasq.conf_path(network)}.")
    if network.vlan_filtering:
        words.append("Not said here, netplan has no word for it: vlan_filtering. By hand:")
        words.append(f"  ip link set dev {bridge_name(network)} type bridge vlan_filtering 1 vlan_default_pvid 0")
        words += [f"  {command}" for command in host_words.own_vlan(network)]
    if network.multicast_snooping:
        words.append("Not said here, netplan has no word for it: multicast_snooping. By hand:")
        words.append(f"  ip link set dev {bridge_name(network)} type bridge mcast_snooping 1 mcast_querier 1")
    delay_s, hello_s, age_s = STP_TIMERS_S
    lines = [
        *host_words.commented(words),
        f"{bridge_name(network)}:",
        *(_as_the_machine(network) if network.kind == "public" else _as_a_switch(network, lab)),
        "  parameters:",
        f"    stp: {'true' if network.stp else 'false'}",
        f"    forward-delay: {delay_s if network.stp else 0}",
    ]
    if network.stp:
        lines += [f"    hello-time: {hello_s}", f"    max-age: {age_s}"]
    own = [str(one) for one in (lab.host_interface(network), lab.host_interface6(network)) if one]
    if own:
        lines.append(f"  addresses: [{', '.join(own)}]")
    if network.mtu_bytes:
        lines.append(f"  mtu: {network.mtu_bytes}")
    return [f"    {line}" for line in lines]


def _as_the_machine(network: Network) -> list[str]:
    return [f"  interfaces: [{network.uplink}]", "  dhcp4: true", "  dhcp6: true"]


def _as_a_switch(network: Network, lab: Settled) -> list[str]:
    return [
        "  dhcp4: false",
        "  dhcp6: false",
        "  accept-ra: false",
        f"  link-local: [{'ipv6' if lab.host_interface6(network) else ''}]",
        "  optional: true",
    ]

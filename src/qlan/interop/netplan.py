"""A lab's bridges as a netplan file (https://netplan.readthedocs.io), and dnsmasq's configuration beside it."""

from __future__ import annotations

from qlan.interop import dnsmasq, host_words
from qlan.interop.settled import File, Settled, bridge_name
from qlan.topology.model import Network


def export_lab(lab: Settled) -> tuple[File, ...]:
    """One YAML file; a dnsmasq configuration a network that this machine serves."""
    lines = host_words.commented([*host_words.head(lab), *host_words.without_taps(lab)])
    lines += ["network:", "  version: 2"]
    if lab.topology.networks:
        lines.append("  bridges:")
    servers = []
    for network in lab.topology.networks:
        lines += _bridge(network, lab)
        if host_words.wants_server(network):
            servers.append(dnsmasq.export_server(network, lab))
    return (File(f"etc/netplan/60-qlan-{lab.topology.lab}.yaml", "\n".join(lines) + "\n", secret=True), *servers)


def _bridge(network: Network, lab: Settled) -> list[str]:
    words = host_words.about(network)
    if host_words.wants_server(network):
        words.append(f"Not said here, netplan has no server: DHCP and DNS are /{dnsmasq.conf_path(network)}.")
    lines = [
        *host_words.commented(words),
        f"{bridge_name(network)}:",
        "  dhcp4: false",
        "  dhcp6: false",
        "  accept-ra: false",
        "  link-local: []",
        "  optional: true",
        "  parameters:",
        "    stp: false",
        "    forward-delay: 0",
    ]
    interface = lab.host_interface(network)
    if interface:
        lines.append(f"  addresses: [{interface}]")
    if network.mtu_bytes:
        lines.append(f"  mtu: {network.mtu_bytes}")
    return [f"    {line}" for line in lines]

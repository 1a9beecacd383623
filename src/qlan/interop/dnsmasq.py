"""A network's DHCP and DNS server as a configuration for a dnsmasq of its own (dnsmasq(8))."""

from __future__ import annotations

from qlan.interop.settled import File, Settled, bridge_name, ends_of, reservations
from qlan.topology.model import Network


def export_server(network: Network, lab: Settled) -> File:
    """The whole file.  One dnsmasq a network: `port=0` and the like hold for a whole process."""
    path = conf_path(network)
    name = lab.topology.lab
    lines = [
        f"# DHCP and DNS of network {network.name} of lab {name}, made by `qlan export`.",
        f"# Start it when {bridge_name(network)} is up:  dnsmasq --conf-file=/{path}",
        f"interface={bridge_name(network)}",
        "except-interface=lo",
        "bind-interfaces",
        "no-resolv",
        "no-hosts",
        f"pid-file={pid_path(network)}",
    ]
    lines += _dns(network, lab) + _dhcp(network, lab)
    return File(path, "\n".join(lines) + "\n")


def conf_path(network: Network) -> str:
    """Where the file belongs."""
    return f"etc/qlan/{bridge_name(network)}.dnsmasq.conf"


def pid_path(network: Network) -> str:
    """Where the server says its process id."""
    return f"/run/{bridge_name(network)}.dnsmasq.pid"


def _dns(network: Network, lab: Settled) -> list[str]:
    if not network.dns:
        return ["port=0"]
    name = lab.topology.lab
    lines = [f"domain={name}", f"local=/{name}/", "domain-needed", "bogus-priv"]
    named: dict[str, object] = {}
    for _, address, guest in reservations(network, lab):
        named.setdefault(guest, address)
    return lines + [f"host-record={guest}.{name},{guest},{address}" for guest, address in named.items()]


def _dhcp(network: Network, lab: Settled) -> list[str]:
    if network.dhcp is None or network.subnet is None:
        return []
    first, last = ends_of(network.dhcp)
    lines = [
        f"dhcp-range={first},{last},{network.subnet.netmask},{network.dhcp.lease_time_s}s",
        f"dhcp-leasefile=/var/lib/misc/{bridge_name(network)}.leases",
        "dhcp-authoritative",
        "# no router: nothing leads out of this network",
        "dhcp-option=option:router",
    ]
    if not network.dns:
        lines.append("dhcp-option=option:dns-server")
    if network.mtu_bytes:
        lines.append(f"dhcp-option=option:mtu,{network.mtu_bytes}")
    return lines + [f"dhcp-host={mac},{address},{guest}" for mac, address, guest in reservations(network, lab)]

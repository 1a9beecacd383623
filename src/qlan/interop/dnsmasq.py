"""A network's DHCP and DNS server as a configuration for a dnsmasq of its own (dnsmasq(8))."""

from __future__ import annotations

from qlan.interop.settled import File, Settled, bridge_name, ends_of, reservations, reservations6
from qlan.interop.told import dhcp_options, router_option
from qlan.render import dnsmasq as render
from qlan.topology.model import OUTSIDE_KINDS, Network
from qlan.topology.prefixes import dhcp_range6


def export_server(network: Network, lab: Settled) -> File:
    """The whole file.  One dnsmasq a network: `port=0` and the like hold for a whole process."""
    path = conf_path(network)
    lines = [
        f"# DHCP and DNS of network {network.name} of lab {lab.topology.lab}, made by `qlan export`.",
        f"# Start it when {bridge_name(network)} is up:  dnsmasq --conf-file=/{path}",
        *settings(network, lab, bridge_name(network)),
    ]
    return File(path, "\n".join(lines) + "\n")


def settings(network: Network, lab: Settled, interface: str) -> list[str]:
    """The lines, with comments between them; without those and behind `--` they are words of a command line."""
    lines = [
        f"interface={interface}",
        "except-interface=lo",
        "bind-interfaces",
        *(["no-resolv"] if network.kind not in OUTSIDE_KINDS else []),
        "no-hosts",
        f"pid-file={pid_path(network)}",
    ]
    lines += _dns(network, lab) + _dhcp(network, interface) + _ipv6(network, lab, interface)
    lines += _reserved(network, lab)
    if (network.dhcp and not network.dhcp.relay) or (network.ipv6 and network.ipv6.dhcp):
        lines += [f"dhcp-leasefile=/var/lib/misc/{bridge_name(network)}.leases", "dhcp-authoritative"]
    return lines


def conf_path(network: Network) -> str:
    """Where the file belongs."""
    return f"etc/qlan/{bridge_name(network)}.dnsmasq.conf"


def pid_path(network: Network) -> str:
    """Where the server says its process id."""
    return f"/run/{bridge_name(network)}.dnsmasq.pid"


def _dns(network: Network, lab: Settled) -> list[str]:
    name = lab.topology.lab
    if not network.dns:
        return ["port=0", f"domain={name}"]
    lines = [f"domain={name}", f"local=/{name}/", "domain-needed", "bogus-priv"]
    named: dict[str, object] = {}
    for _, address, guest in reservations(network, lab):
        named.setdefault(guest, address)
    lines += [f"host-record={guest}.{name},{guest},{address}" for guest, address in named.items()]
    return lines + [f"host-record={record},{address}" for record, address in network.records]


def _dhcp(network: Network, interface: str) -> list[str]:
    if network.dhcp is None or network.subnet is None:
        return []
    if network.dhcp.relay and network.address:
        return [f"dhcp-relay={network.address},{network.dhcp.relay}"]
    first, last = ends_of(network.dhcp)
    lines = [f"dhcp-range={first},{last},{network.subnet.netmask},{network.dhcp.lease_time_s}s"]
    for value in router_option(network):
        lines += ["# no router: nothing leads out of this network", f"dhcp-option={value}"]
    if not network.dns:
        lines.append("dhcp-option=option:dns-server")
    if network.mtu_bytes:
        lines.append(f"dhcp-option=option:mtu,{network.mtu_bytes}")
    lines += [f"dhcp-option={value}" for value in dhcp_options(network)]
    return lines + render.boot(interface, network.tftp, network.bootfile)


def _ipv6(network: Network, lab: Settled, link: str) -> list[str]:
    ipv6 = network.ipv6
    interface = lab.host_interface6(network)
    if ipv6 is None or interface is None or not (ipv6.slaac or ipv6.dhcp):
        return []
    modes = [str(interface.network.network_address), "ra-stateless", "ra-names"]
    if ipv6.dhcp:
        first, last = dhcp_range6(interface.network)
        modes = [str(first), str(last), *(["slaac", "ra-names"] if ipv6.slaac else [])]
    lease_s = network.dhcp.lease_time_s if network.dhcp else 3600
    mtu = f"mtu:{network.mtu_bytes}," if network.mtu_bytes else ""
    return [
        "enable-ra",
        "# lifetime 0: nothing leads out of this network",
        f"ra-param={link},{mtu}0,0",
        f"dhcp-range={','.join(modes)},{interface.network.prefixlen},{lease_s}s",
        f"dhcp-option=option6:dns-server{f',[{interface.ip}]' if network.dns else ''}",
    ]


def _reserved(network: Network, lab: Settled) -> list[str]:
    found: dict[tuple[str, str], list[str]] = {}
    for mac, address, guest in reservations(network, lab) if network.dhcp and not network.dhcp.relay else ():
        found.setdefault((mac, guest), []).append(str(address))
    for mac, address6, guest in reservations6(network, lab):
        found.setdefault((mac, guest), []).append(f"[{address6}]")
    return [f"dhcp-host={mac},{','.join(some)},{guest}" for (mac, guest), some in found.items()]

"""What the exports to a host's own network configuration have in common: what must be said in words."""

from __future__ import annotations

from qlan.interop.settled import Settled, bridge_name, ends_of, tap_name, taps
from qlan.topology.model import HOST_KINDS, Network


def head(lab: Settled) -> list[str]:
    """The first lines of a file, and what no host configuration holds."""
    found = [f"Lab {lab.topology.lab}: bridges for its guests, made by `qlan export`."]
    for guest in lab.topology.guests:
        own = [str(index) for index, nic in enumerate(guest.nics) if nic.user]
        if own:
            found.append(f"Guest {guest.name}: NIC {', '.join(own)} is user-mode networking, a matter of QEMU alone.")
    return found


def about(network: Network) -> list[str]:
    """What the network is, and what the host must not do with it."""
    if network.kind in HOST_KINDS:
        return [
            f"Network {network.name}, {network.kind}: guests reach each other and this machine.",
            "Nothing here forwards. If this machine does (net.ipv4.ip_forward = 1), its firewall must bar this bridge.",
        ]
    found = [f"Network {network.name}, {network.kind}: guests reach each other alone; the bridge has no address."]
    if network.dhcp:
        first, last = ends_of(network.dhcp)
        found.append(f"Not said here: DHCP of {network.subnet} ({first} to {last}). A server on this machine would be")
        found.append("an address of this machine on the network; qlan serves it from a namespace of its own.")
    elif network.subnet:
        found.append(f"The guests set their addresses of {network.subnet} themselves.")
    return found


def wants_server(network: Network) -> bool:
    """Whether this machine serves DHCP or DNS on the network."""
    return network.kind in HOST_KINDS and (network.dhcp is not None or network.dns)


def without_taps(lab: Settled) -> list[str]:
    """How the guests' ports are made where the format has no TAPs."""
    ports = list(taps(lab))
    if not ports:
        return []
    found = ["Not said here: the guests' TAPs. QEMU's bridge helper makes them, or by hand:"]
    for network, guest, index in ports:
        tap = tap_name(guest, index)
        found.append(f"  ip tuntap add dev {tap} mode tap user {lab.owner}")
        found.append(f"  ip link set dev {tap} master {bridge_name(network)} up")
    return found


def commented(lines: list[str]) -> list[str]:
    """Lines as comments."""
    return [f"# {line}".rstrip() for line in lines]

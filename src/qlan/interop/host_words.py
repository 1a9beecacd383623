"""What the exports to a host's own network configuration have in common: what must be said in words."""

from __future__ import annotations

from qlan.interop.settled import Settled, bridge_name, ends_of, is_isolated, limits, tap_name, taps, vlans_of
from qlan.render import shaping
from qlan.resources.link import STP_TIMERS_S
from qlan.topology import ports
from qlan.topology.model import HOST_KINDS, OUTSIDE_KINDS, Guest, Network, bridge_of
from qlan.topology.reverse import reverse_text


def head(lab: Settled) -> list[str]:
    """The first lines of a file, and what no host configuration holds."""
    found = [f"Lab {lab.topology.lab}: bridges for its guests, made by `qlan export`."]
    for guest in lab.topology.guests:
        own = [str(index) for index, nic in enumerate(guest.nics) if nic.user]
        if own:
            found.append(f"Guest {guest.name}: NIC {', '.join(own)} is user-mode networking, a matter of QEMU alone.")
        found += [f"Guest {guest.name}: {words}." for words in reverse_words(guest)]
    for network in lab.topology.networks:
        found += crowded(network, lab)
        if network.kind not in HOST_KINDS and network not in lab.bridged:
            if network.kind == "macvtap":
                found.append(
                    f"Network {network.name} is not said: QEMU's macvtaps on {network.uplink} are root's, made by qlan."
                )
                continue
            there = f"bridge {bridge_of(network)} is there already" if network.kind == "bridge" else ""
            found.append(
                f"Network {network.name} is not said: {there or f'a {network.kind} is a matter of QEMU alone'}."
            )
    return found


def reverse_words(guest: Guest) -> list[str]:
    """Services of the host for the guest, which no other format knows."""
    return [
        f"NIC {index}: reverse: {reverse_text(one)} is not said: a process of qlan's serves it"
        for index, nic in enumerate(guest.nics)
        for one in nic.reverse
    ]


def crowded(network: Network, lab: Settled) -> list[str]:
    """A star of bridges is said in no other format."""
    count = sum(1 for _ in lab.members(network))
    if network not in lab.bridged or count <= ports.PORTS:
        return []
    what = f"Network {network.name} has {count} NICs, and a bridge room for {ports.PORTS_MAX}"
    return [f"{what}: qlan has further bridges for them, which are not said here."]


def about(network: Network, *, forwards: bool = False) -> list[str]:
    """What the network is, and what the host must not do with it.  forwards: the format says that it forwards."""
    if network.kind == "public":
        return [
            f"Network {network.name}, public: guests are on the LAN of {network.uplink}, which the bridge takes in.",
            "This machine's own addresses move to the bridge. They come by DHCP here: if they are fixed, write them",
            f"at the bridge; and take away what else configures {network.uplink}.",
        ]
    if network.kind in OUTSIDE_KINDS:
        by = "behind this machine's address" if network.kind == "nat" else "with their own addresses"
        unsaid = "forwarding (net.ipv4.ip_forward = 1) and the rules for it"
        if forwards:
            unsaid = "the rules for who may come in"
        return [
            f"Network {network.name}, {network.kind}: guests reach each other, this machine, and the outside {by}.",
            f"Not said here: {unsaid}; `qlan plan --script` has them.",
        ]
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


def unsaid_of_server(network: Network) -> list[str]:
    """What a DHCP or DNS server less able than dnsmasq is not told."""
    dhcp = network.dhcp
    told = [*(f"route {subnet} by {gateway}" for subnet, gateway in dhcp.routes), *(f"ntp {one}" for one in dhcp.ntp),
            *(f"option {key} {value}" for key, value in dhcp.options)] if dhcp else []  # fmt: skip
    told += [f"record {name} {address}" for name, address in network.records]
    told += [f"{key} {value}" for key, value in (("tftp", network.tftp), ("bootfile", network.bootfile)) if value]
    return [f"Not said here: {', '.join(told)}."] if told else []


def wants_server(network: Network) -> bool:
    """Whether this machine serves DHCP or DNS on the network."""
    served6 = network.ipv6 is not None and (network.ipv6.slaac or network.ipv6.dhcp)
    return network.kind in HOST_KINDS and (network.dhcp is not None or network.dns or served6)


def without_taps(lab: Settled) -> list[str]:
    """How the guests' ports are made where the format has no TAPs."""
    there = list(taps(lab))
    if not there:
        return []
    found = ["Not said here: the guests' TAPs. QEMU's bridge helper makes them, or by hand:"]
    for network, guest, index in there:
        tap = tap_name(guest, index)
        found.append(f"  ip tuntap add dev {tap} mode tap user {lab.owner}")
        found.append(f"  ip link set dev {tap} master {bridge_name(network)} up")
        found += [f"  {command}" for command in port_commands(network, guest, index)]
    return found


def bridge_options(network: Network) -> str:
    """The options of `ip link add ... type bridge`."""
    delay_s, hello_s, age_s = STP_TIMERS_S if network.stp else (0, 2, 20)
    words = f"stp_state {int(network.stp)} forward_delay {delay_s * 100}"
    if network.stp:
        words += f" hello_time {hello_s * 100} max_age {age_s * 100}"
    words += " mcast_snooping 1 mcast_querier 1" if network.multicast_snooping else " mcast_snooping 0"
    return words + (" vlan_filtering 1 vlan_default_pvid 0" if network.vlan_filtering else "")


def own_vlan(network: Network, bridge: str = "") -> list[str]:
    """What puts this machine into its VLAN.  bridge: other words for its name."""
    bridge = bridge or bridge_name(network)
    return [f"bridge vlan add dev {bridge} vid {network.vlan or 1} pvid untagged self"] * network.vlan_filtering


def port_commands(network: Network, guest: Guest, index: int, tap: str = "") -> list[str]:
    """What makes a NIC's port what the file wants, when the TAP is in its bridge.  tap: other words for its name."""
    tap = tap or tap_name(guest, index)
    found = [f"bridge link set dev {tap} isolated on"] if is_isolated(guest.nics[index], network) else []
    untagged, tagged = vlans_of(guest.nics[index], network)
    found += [f"bridge vlan add dev {tap} vid {vid} pvid untagged" for vid in untagged]
    found += [f"bridge vlan add dev {tap} vid {vids}" for vids in tagged]
    for limit in limits(network, guest, index, tap):
        if limit.queue != tap:
            found += [f"ip link add name {limit.queue} type ifb", f"ip link set dev {limit.queue} up"]
        found += [f"{one.program} {one.line}" for one in shaping.lines(limit)]
    return found


def commented(lines: list[str]) -> list[str]:
    """Lines as comments."""
    return [f"# {line}".rstrip() for line in lines]

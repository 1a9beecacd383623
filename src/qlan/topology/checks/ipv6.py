"""IPv6: prefixes of networks and the addresses in them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network

from qlan.facts.machine import NO_IPV6, Facts
from qlan.problems import Problem
from qlan.topology.addressing import realm_of
from qlan.topology.checks.subnets import lies_within
from qlan.topology.checks.titles import nics, of_network, of_nic
from qlan.topology.model import HOST_KINDS, Ipv6, Network, Nic, Realm, Topology, mark_of
from qlan.topology.prefixes import host_address6
from qlan.topology.scalars import IPV6_MTU_MIN, quoted

SLAAC_PREFIX = 64  # RFC 4291: what a guest makes of its MAC has 64 bits
PREFIX_MIN, PREFIX_MAX = 64, 120  # dnsmasq: "prefix length must be at least 64"; and some room

_EXAMPLE = "write one like fd00:1::/64, or `true`: then one is picked"


def check(topology: Topology) -> Iterator[Problem]:
    """What the file alone tells."""
    seen: list[tuple[IPv6Network, str]] = []
    for network in topology.networks:
        ipv6 = network.ipv6
        if ipv6 is None:
            continue
        yield from _check_network(network, ipv6)
        if ipv6.prefix is None:
            continue
        for other, name in seen:
            if other.overlaps(ipv6.prefix):
                what = f"{of_network(network)}: {ipv6.prefix} overlaps {other} of network {quoted(name)}"
                yield Problem(mark_of(network, "ipv6.prefix"), what, "give each network a prefix of its own")
                break
        seen.append((ipv6.prefix, network.name))
    yield from _check_nics(topology)


def check_here(topology: Topology, facts: Facts) -> Iterator[Problem]:
    """Whether this machine can, and clashes with its own prefixes."""
    on_host = realm_of(topology, facts) is Realm.HOST
    for network in topology.networks:
        ipv6 = network.ipv6
        if ipv6 is None or not ipv6.asked:
            continue
        if facts.no_ipv6 and not (on_host and facts.no_ipv6 != NO_IPV6):  # one's own link may have it all the same
            what = f"{of_network(network)}: no IPv6 here: {facts.no_ipv6}"
            yield Problem(mark_of(network, "ipv6"), what, "write `ipv6: false`")
        if ipv6.prefix and on_host and network.kind in HOST_KINDS:
            for used in facts.used_prefixes:
                if lies_within(network, ipv6.prefix, used.prefix, used.link, facts.uplinks6):
                    if known := next((one for one in used.known if one in ipv6.prefix), None):
                        what = f"{of_network(network)}: {ipv6.prefix} holds {known}, which is this machine or a gateway"
                        yield Problem(mark_of(network, "ipv6.prefix"), what, "write a part of it where nobody is")
                elif used.prefix.overlaps(ipv6.prefix):
                    what = f"{of_network(network)}: {ipv6.prefix} overlaps {used.prefix}: {used.owner}"
                    yield Problem(mark_of(network, "ipv6.prefix"), what, "write another, or `true`: then one is picked")
                    break


def _check_network(network: Network, ipv6: Ipv6) -> Iterator[Problem]:
    title, mark = of_network(network), mark_of(network, "ipv6.prefix")
    if network.mtu_bytes is not None and network.mtu_bytes < IPV6_MTU_MIN:
        what = f"{title}: IPv6 needs an MTU of {IPV6_MTU_MIN} bytes, not {network.mtu_bytes}"
        yield Problem(mark_of(network, "mtu"), what, f"write `mtu: {IPV6_MTU_MIN}` or more, or `ipv6: false`")
    prefix = ipv6.prefix
    if prefix is None:
        if ipv6.address:
            what = f"{title} says an IPv6 address but no prefix"
            yield Problem(mark_of(network, "ipv6.address"), what, f"write `prefix: {_around(ipv6.address)}`")
        return
    why = _prefix_fault(prefix)
    if why:
        yield Problem(mark, f"`ipv6` of {title}: {prefix} {why}", _EXAMPLE)
    elif ipv6.slaac and prefix.prefixlen != SLAAC_PREFIX:
        what = f"`ipv6` of {title}: guests can make themselves addresses in a /{SLAAC_PREFIX} alone, not in {prefix}"
        hint = f"write a /{SLAAC_PREFIX}, or `slaac: false` (then DHCPv6 gives them)"
        yield Problem(mark, what, hint)
    elif ipv6.slaac and network.proxy_arp:
        what = f"{title}: `proxy_arp` answers for the addresses that DHCPv6 gives, not for those that guests make"
        yield Problem(mark, what, f"write `ipv6: {{prefix: {prefix}, slaac: false}}`")
    elif not PREFIX_MIN <= prefix.prefixlen <= PREFIX_MAX:
        what = f"`ipv6` of {title}: /{PREFIX_MIN} to /{PREFIX_MAX} is possible, not {prefix}"
        yield Problem(mark, what, _EXAMPLE)
    elif ipv6.address:
        yield from _check_place(f"`address` of {title}", ipv6.address, prefix, network, "ipv6.address")


def _prefix_fault(prefix: IPv6Network) -> str:
    for flag, words in (
        ("is_multicast", "is for multicast"),
        ("is_link_local", "is link-local, which every link has"),
        ("is_loopback", "is loopback"),
        ("is_unspecified", "is nobody's"),
    ):
        if getattr(prefix, flag):
            return words
    return "is IPv4 in disguise" if prefix.network_address.ipv4_mapped else ""


def _check_nics(topology: Topology) -> Iterator[Problem]:
    known = {network.name: network for network in topology.networks}
    owners: dict[tuple[str, IPv6Address], str] = {}
    for guest, index, nic in nics(topology):
        if nic.address6 is None:
            continue
        title = of_nic(guest, index)
        if nic.user is not None:
            what = f"{title}: `address6` is for networks; this NIC has user-mode networking"
            yield Problem(mark_of(nic, "address6"), what, "write `user: {ipv6_prefix: PREFIX}`")
        plugged = known.get(nic.network or "")
        if plugged is None:
            continue
        yield from _check_nic(title, nic, plugged, nic.address6)
        key = (plugged.name, nic.address6)
        if key in owners:
            what = f"{title} and {owners[key]} have one address: {nic.address6}"
            yield Problem(mark_of(nic, "address6"), what, "choose another")
        owners.setdefault(key, title)


def _check_nic(title: str, nic: Nic, network: Network, address: IPv6Address) -> Iterator[Problem]:
    mark, prefix = mark_of(nic, "address6"), network.ipv6.prefix if network.ipv6 else None
    if prefix is None:
        what = f"{title}: {address} needs a prefix, and {of_network(network)} says none"
        yield Problem(mark, what, f"write `ipv6: {_around(address)}` there, or leave the address out")
    elif address == host_address6(network, prefix):
        whose = "the host's" if network.kind in HOST_KINDS else "the server's"
        yield Problem(mark, f"{title}: {address} is {whose} own address on {of_network(network)}", "choose another")
    else:
        for one in _check_place(title, address, prefix, network, ""):
            yield Problem(mark, one.what, one.hint)


def _check_place(
    title: str, address: IPv6Address, prefix: IPv6Network, network: Network, key: str
) -> Iterator[Problem]:
    if address not in prefix:
        yield Problem(mark_of(network, key), f"{title}: {address} is outside of {prefix}",
                      f"{prefix.network_address + 1} is possible, for one")  # fmt: skip
    elif address == prefix.network_address:
        yield Problem(mark_of(network, key), f"{title}: {address} is the routers' anycast address (RFC 4291)",
                      f"write {address + 1}, say")  # fmt: skip


def _around(address: IPv6Address) -> IPv6Network:
    return IPv6Network((address, 64), strict=False)

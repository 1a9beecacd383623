"""`nat`: host-only, and out with the host's address: forwarding on the way out and a table of rules for the network.

In a rootless realm the way out is pasta; the guests then reach what their user's own programs reach, but for the
host's loopback.  IPv6 is masqueraded if its prefix is a unique local one (RFC 4193), which it is unless the file says
another: such a prefix is routed to this machine, and guests keep their addresses.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

from qlan.networks import host_only, lan
from qlan.networks.reach import Reach
from qlan.resources.model import HOST, Admission, Bridge, Dnsmasq, Filter, Forwarding, Pasta, ProxyNeighbor, Resource
from qlan.topology import addressing
from qlan.topology.model import OUTSIDE_KINDS, Network
from qlan.topology.scalars import IPV6_MTU_MIN
from qlan.values import replace

REACH = Reach(guests=True, host=True, outside=True, from_host=True, from_outside=False)

UPLINK = "uplink"  # pasta's link in a realm
_BASE = IPv4Address("169.254.77.0")  # link-local: no subnet of a lab and no neighbour's can be it
_ULA = IPv6Network("fc00::/7")
_BASE6 = IPv6Address("fd71:6c61:6e00::")  # of a /64 that no lab picks


def expand(network: Network, site: lan.Site) -> list[Resource]:
    """What host-only has, with a gateway and names from outside; forwarding there and back, and the rules."""
    return through_host(network, site, masquerade=True)


def through_host(network: Network, site: lan.Site, *, masquerade: bool) -> list[Resource]:
    """What leads outside, behind the host's address or with the guests' own."""
    found = host_only.with_host(network, site)
    bridge = next(one for one in found if isinstance(one, Bridge))
    interface6 = lan.own_interface6(network, site) if _leads_by_ipv6(network, site, masquerade=masquerade) else None
    prefix = interface6.network if interface6 else None
    told = [_told(one, network, site, by_ipv6=prefix is not None) if isinstance(one, Dnsmasq) else one for one in found]
    others = {one.name: lan.bridge(one, site).name for one in site.topology.networks if one.kind in OUTSIDE_KINDS}
    ways = [*_ways(network, site), *(_ways6(network, site, bridge) if prefix else ())]
    own = Forwarding(bridge.name, bridge.key, site.namespace, ways=tuple(one.key for one in ways))
    rules = Filter(
        network.name,
        bridge.name,
        bridge.key,
        site.topology.lab,
        addressing.subnet_of(network, site.picks),
        site.namespace,
        masquerade=masquerade,
        uplink=network.uplink or "",
        reach=tuple(sorted(others[name] for name in network.reach)),
        reached_by=tuple(sorted(others[one.name] for one in site.topology.networks if network.name in one.reach)),
        prefix=prefix,
        masquerade6=prefix is not None and masquerade and prefix.subnet_of(_ULA),
    )
    return [*told, rules, *_admissions(rules, site), *ways, own, *_neighbors(network, site)]


def _admissions(rules: Filter, site: lan.Site) -> list[Admission]:
    """Where another packet filter leaves place for it, what passes the bridge is accepted there."""
    where = [(rules.network, rules.link, rules.link_key, rules.lab, *hook) for hook in site.facts.hooks]
    return [Admission(*words) for words in where if words[4] != "ip6" or rules.prefix] if site.namespace == HOST else []


def _told(server: Dnsmasq, network: Network, site: lan.Site, *, by_ipv6: bool) -> Dnsmasq:
    """The server, which tells guests the way outside and knows names from there."""
    router = lan.own_interface(network, site).ip
    upstream = "host" if site.namespace == HOST else str(_BASE + 3)
    ipv6 = replace(server.ipv6, router=by_ipv6) if server.ipv6 else None
    return replace(server, router=router, upstream=upstream, ipv6=ipv6)


def _leads_by_ipv6(network: Network, site: lan.Site, *, masquerade: bool) -> bool:
    """Behind the host's address wherever it has a way itself; else as the file asks: a prefix that was picked is known
    to nobody outside.
    """
    if network.ipv6 is None or (site.namespace != HOST and not site.facts.uplinks6):
        return False
    return network.ipv6.asked or (masquerade and bool(site.facts.uplinks6))


def _ways(network: Network, site: lan.Site) -> list[Resource]:
    """What leads outside: the host's own links, or pasta."""
    if site.namespace == HOST:
        links = [network.uplink] if network.uplink else site.facts.uplinks
        answers = [Forwarding(link, setting="proxy_arp") for link in links if network.proxy_arp]
        return [*(Forwarding(link) for link in links), *answers]
    uplink = _pasta(site)
    return [uplink, Forwarding(UPLINK, uplink.key, site.namespace)]


def _ways6(network: Network, site: lan.Site, bridge: Bridge) -> list[Resource]:
    """The same of IPv6.  On the bridge the host calls itself a router: guests forget one that does not (RFC 4861).

    To say so on one link costs the host every default route that the kernel learned from an advertisement
    (rt6_purge_dflt_routers in Linux), but for links whose accept_ra is 2.
    """
    found: list[Resource] = [_ipv6("forwarding", bridge.name, bridge.key, site)]
    if site.namespace == HOST:
        links = {(link, "") for link in _uplinks6(network, site)}
        found += [Forwarding(link, setting="accept_ra", family="ipv6", value="2") for link in site.facts.ra_links]
    else:
        links = {(UPLINK, _pasta(site).key)}
    if not site.facts.force_forwarding:
        return [*found, _ipv6("forwarding", "all", site.namespace, site)]
    links |= {(bridge.name, bridge.key)}
    return [*found, *(_ipv6("force_forwarding", *link, site) for link in sorted(links))]


def _uplinks6(network: Network, site: lan.Site) -> list[str]:
    """The host's links that lead outside by IPv6; one whose frames are too small for it has none."""
    facts = site.facts
    links = [network.uplink] if network.uplink else facts.uplinks6
    return [link for link in links if facts.way_mtus.get(link, lan.ETHERNET_MTU) >= IPV6_MTU_MIN]


def _neighbors(network: Network, site: lan.Site) -> list[Resource]:
    """What `proxy_arp` is to IPv4: there the kernel answers for all that is routed, here for each alone, and only on
    links where it calls itself a router (ndisc_recv_ns in Linux).
    """
    if not network.proxy_arp or network.ipv6 is None or network.ipv6.prefix is None:
        return []
    links = _uplinks6(network, site)
    given = [site.address6(guest, index) for guest, index, _ in site.members(network)]
    routers = links if site.facts.force_forwarding else ()  # else `all` is one, and so they are
    listening = [link for link in routers if link in site.facts.ra_listeners and link not in site.facts.ra_links]
    return [
        *(Forwarding(link, setting="accept_ra", family="ipv6", value="2") for link in listening),
        *(_ipv6("forwarding", link, "", site) for link in routers),
        # `all`: who asks one of them by itself, whether it is still there (ip6_forward in Linux)
        *(Forwarding(link, setting="proxy_ndp", family="ipv6") for link in (*links, "all")),
        *(ProxyNeighbor(network.name, link, address) for link in links for address in given if address),
    ]


def _ipv6(setting: str, link: str, link_key: str, site: lan.Site) -> Forwarding:
    return Forwarding(link, link_key, site.namespace, setting=setting, family="ipv6")


def _pasta(site: lan.Site) -> Pasta:
    ipv4 = (_BASE + 1, 24, _BASE + 2, _BASE + 3)
    ipv6 = (_BASE6 + 1, _BASE6 + 2) if site.facts.uplinks6 else ()
    return Pasta(site.topology.lab, site.namespace, UPLINK, *ipv4, *ipv6)

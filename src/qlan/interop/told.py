"""What a dnsmasq tells its clients beside addresses, in its own words (`dhcp-option=`, dnsmasq(8)) and in ours."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address

from qlan.topology.model import OUTSIDE_KINDS, Dhcp, Network
from qlan.topology.options import parse_option, parse_value
from qlan.topology.scalars import Unreadable, parse_address, parse_address6, parse_domain, parse_subnet
from qlan.values import replace

Records = tuple[tuple[str, IPv4Address | IPv6Address], ...]

_ROUTES = ("option:classless-static-route", "121")
_NTP = ("option:ntp-server", "42")
_OWN = (  # what the network's other keys say
    "option:router", "3", "option:mtu", "26", "option:dns-server", "6", "option6:dns-server",
)  # fmt: skip


def dhcp_options(network: Network) -> list[str]:
    """The values of `dhcp-option=` for a network's routes, time servers and further options."""
    if network.dhcp is None:
        return []
    ways = ",".join(f"{subnet},{gateway}" for subnet, gateway in network.dhcp.routes)
    found = [f"{_ROUTES[0]},{ways}"] if ways else []
    found += [f"{_NTP[0]},{','.join(map(str, network.dhcp.ntp))}"] if network.dhcp.ntp else []
    return found + [f"{key},{value}" for key, value in network.dhcp.options]


def router_option(network: Network) -> list[str]:
    """No router where nothing leads out; dnsmasq itself is the router where it is not told otherwise."""
    return [] if network.kind in OUTSIDE_KINDS else ["option:router"]


def with_dhcp_options(dhcp: Dhcp, texts: Iterable[str]) -> tuple[Dhcp, list[str]]:
    """The DHCP of a network that tells this too, and those of the values for which we have no words."""
    left = []
    for text in texts:
        key, _, value = text.partition(",")
        try:
            if key in _ROUTES:
                dhcp = replace(dhcp, routes=(*dhcp.routes, *_routes(value.split(","))))
            elif key in _NTP:
                dhcp = replace(dhcp, ntp=(*dhcp.ntp, *map(parse_address, value.split(","))))
            elif key not in _OWN:
                dhcp = replace(dhcp, options=(*dhcp.options, (parse_option(key), parse_value(value))))
        except Unreadable:
            left.append(text)
    return dhcp, left


def read_record(name: str, address: str) -> Records:
    """A name for DNS; empty if we would refuse it."""
    try:
        return ((parse_domain(name).lower(), parse_address6(address) if ":" in address else parse_address(address)),)
    except Unreadable:
        return ()


def _routes(words: list[str]) -> list[tuple[IPv4Network, IPv4Address]]:
    if len(words) % 2:
        raise Unreadable("a route without its gateway")
    try:
        return [(parse_subnet(to), IPv4Address(by)) for to, by in zip(words[::2], words[1::2], strict=True)]
    except AddressValueError as error:
        raise Unreadable(str(error)) from error

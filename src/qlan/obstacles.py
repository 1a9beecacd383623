"""What of this machine stands in a lab's way: who drops what its guests send or are sent, what ends; and what to do.

A drop anywhere is one, whatever our own tables accept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from qlan.firewall import Drop, Packet, Row, drops
from qlan.host import firewall
from qlan.resources.model import HOST, Admission, Bridge, Dnsmasq, Filter, Forwarding, Resource, Uplink
from qlan.values import Value, replace

OWN = "qlan."  # how the names of our tables begin

_DHCP, _DHCP6, _DNS = 67, 547, 53


class Obstacle(Value):
    """network: whose guests it concerns.  what: is dropped, and by whom, or ends; hint: what to do, as root."""

    network: str
    what: str
    hint: str


def find(resources: Mapping[str, Resource]) -> list[Obstacle]:
    """Those in the way of a lab that is up, or will be.  In the host realm, as root; else nothing is known of any."""
    bridges = [one for one in resources.values() if isinstance(one, Bridge) and one.namespace == HOST]
    if not bridges:
        return []
    listing, bridged = firewall.read_listing(), firewall.bridged_families()
    return [*_ending(resources), *(judged(resources, listing, bridged) if listing else ())]


def _ending(resources: Mapping[str, Resource]) -> Iterator[Obstacle]:
    """This machine's own addresses on a bridge of the LAN, whose DHCP client did not come along with them."""
    for one in resources.values():
        if not isinstance(one, Uplink):
            continue
        from qlan.host import uplink

        for address, left_s in uplink.find_ending(one):
            what = f"this machine's own address {address} ends in {max(1, left_s // 60)} min: nobody renews its lease"
            keep = f"ip address change {address} dev {one.bridge} valid_lft forever preferred_lft forever"
            yield Obstacle(one.network, what, f"start a DHCP client on the bridge (dhclient {one.bridge}), or: {keep}")


def judged(resources: Mapping[str, Resource], listing: Sequence[Row], bridged: Sequence[str]) -> list[Obstacle]:
    """The same of a listing.  bridged: the families whose frames from port to port of a bridge are filtered."""
    found = []
    for bridge in (one for one in resources.values() if isinstance(one, Bridge) and one.namespace == HOST):
        dropped: dict[Drop, list[tuple[str, Packet]]] = {}
        for words, one in _expected(bridge, resources, bridged):
            for drop in drops(listing, one, own=OWN):
                if one.hook != "forward" or not _will_pass(bridge, drop, resources, listing):
                    dropped.setdefault(drop, []).append((words, one))
        for drop, what in dropped.items():
            packets = [one for _, one in what]
            hint = _hint(drop, packets, bridge.name, listing)
            found.append(Obstacle(bridge.network, _told(drop, (words for words, _ in what)), hint))
    return found


def _will_pass(bridge: Bridge, drop: Drop, resources: Mapping[str, Resource], listing: Sequence[Row]) -> bool:
    """Whether rules of ours that `up` is yet to make there are what it lacks."""
    own = resources.get(f"admission/{drop.family}/{bridge.network}")
    if not isinstance(own, Admission) or own.table != drop.table:
        return False
    return not any(row["rule"].get("comment") == own.comment for row in listing if "rule" in row)


def _expected(
    bridge: Bridge, resources: Mapping[str, Resource], bridged: Sequence[str]
) -> Iterator[tuple[str, Packet]]:
    """What must pass for the network to be what it is, in words, and the packet."""
    server, rules = resources.get(f"dnsmasq/{bridge.network}"), resources.get(f"filter/{bridge.network}")
    if isinstance(server, Dnsmasq):
        asked = [("ip", "DHCP", _DHCP)] if server.first else []
        asked += [("ip6", "DHCPv6", _DHCP6)] if server.ipv6 and server.ipv6.first else []
        asked += [("ip", "DNS", _DNS)] if server.dns else []
        for family, words, port in asked:
            yield f"the {words} of guests", Packet("input", family, bridge.name, protocol="udp", port=port)
    if isinstance(rules, Filter) and not rules.closed:
        for family in ("ip", "ip6") if rules.prefix else ("ip",):
            for link in _uplinks(resources, rules, family):
                yield from _through(Packet("forward", family, bridge.name, link), rules)
    for family in bridged:
        words = f"{_family(family)} from guest to guest, which the bridge shows to it (br_netfilter)"
        yield words, Packet("forward", family, bridge.name, bridge.name)


def _through(out: Packet, rules: Filter) -> Iterator[tuple[str, Packet]]:
    """What leaves by an uplink, the answers, and what comes by itself where that may."""
    words = _family(out.family)
    back = replace(out, incoming=out.outgoing, outgoing=out.incoming)
    yield f"{words} from guests to outside", out
    yield f"{words} answers from outside", replace(back, state="established")
    if not rules.masquerade:
        yield f"{words} from outside to guests", back


def _uplinks(resources: Mapping[str, Resource], rules: Filter, family: str) -> list[str]:
    setting = ("ipv6", "force_forwarding") if family == "ip6" else ("ipv4", "forwarding")
    links = [
        one.link
        for one in resources.values()
        if isinstance(one, Forwarding) and not one.link_key and (one.family, one.setting) == setting
    ]
    if not links and family == "ip6":  # a kernel that forwards from all or none
        return _uplinks(resources, rules, "ip")
    return [link for link in links if rules.uplink in ("", link)]


def _family(family: str) -> str:
    return "IPv6" if family == "ip6" else "IPv4"


def _told(drop: Drop, what: Iterable[str]) -> str:
    listed = ", ".join(dict.fromkeys(what))
    unless = "" if drop.is_sure else ", unless a rule before it lets it through that cannot be judged from here"
    return f"table {drop.family} {drop.table}, chain {drop.chain} drops {listed} ({drop.by}{unless})"


def _hint(drop: Drop, packets: Sequence[Packet], bridge: str, listing: Sequence[Row]) -> str:
    """In the words of the one who made the table, where they can be told; else as lines of nft."""
    ways = list(dict.fromkeys("iifname" if one.incoming == bridge else "oifname" for one in packets))
    chains = [row["chain"]["name"] for row in listing if "chain" in row and row["chain"]["table"] == drop.table]
    if drop.table == "firewalld":
        return f"firewall-cmd --zone=trusted --add-interface={bridge}"
    if any(name.startswith("ufw-") for name in chains):
        verb = "ufw allow" if packets[0].hook == "input" else "ufw route allow"
        return "; ".join(f"{verb} {'in' if way == 'iifname' else 'out'} on {bridge}" for way in ways)
    return "; ".join(f"nft insert rule {drop.family} {drop.table} {drop.chain} {way} {bridge} accept" for way in ways)

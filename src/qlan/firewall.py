"""What rules of nftables do with a packet, judged from the listing of `nft -j list ruleset` (libnftables-json(5)).

iptables-nft keeps its rules there too.  A match that this file does not know may hold or not: a rule with one decides
nothing here.  If such a one before a drop would let the packet through, or lead it elsewhere, the drop is not sure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from qlan.values import Value

Row = Mapping[str, Any]

_FINAL = ("accept", "drop", "reject")
_MAYBE = "?"
_FAMILIES = {"ip": ("ip", "inet"), "ip6": ("ip6", "inet")}
_DEPTH_MAX = 16  # of jumps, as in the kernel


class Packet(Value):
    """The first packet of a connection, or an answer (state `established`).  hook: forward, input; family: ip, ip6.

    port: the one that it goes to, 0: any.  protocol: tcp, udp, "": any.
    """

    hook: str
    family: str
    incoming: str
    outgoing: str = ""
    protocol: str = ""
    port: int = 0
    state: str = "new"


class Drop(Value):
    """Where it ends.  by: `policy drop`, or the verdict of a rule and the handle of that.

    is_sure: no rule before it that we cannot read might let the packet through.
    """

    family: str
    table: str
    chain: str
    by: str
    is_sure: bool = True


def drops(listing: Sequence[Row], packet: Packet, *, own: str) -> Iterator[Drop]:
    """Who drops it: at most one rule or policy a base chain, those of tables named OWN... aside."""
    chains = [row["chain"] for row in listing if "chain" in row]
    for chain in chains:
        if chain.get("hook") != packet.hook or chain.get("type") != "filter":
            continue
        if chain["family"] not in _FAMILIES[packet.family] or chain["table"].startswith(own):
            continue
        table = _Table(listing, chain["family"], chain["table"])
        verdict, where, by = table.walk(chain["name"], packet, 0)
        if verdict is None and chain.get("policy") == "drop":
            verdict, where, by = "drop", chain["name"], "policy drop"
        if verdict in ("drop", "reject"):
            yield Drop(chain["family"], chain["table"], where, by, is_sure=not table.doubt)


_Found = tuple[str | None, str, str]  # verdict, chain, by


class _Table:
    """The rules of one table, by chain.  doubt: a rule that was passed might have let the packet through."""

    def __init__(self, listing: Iterable[Row], family: str, name: str) -> None:
        self.doubt = False
        self._rules: dict[str, list[Row]] = {}
        for row in listing:
            rule = row.get("rule")
            if rule and (rule["family"], rule["table"]) == (family, name):
                self._rules.setdefault(rule["chain"], []).append(rule)

    def walk(self, chain: str, packet: Packet, depth: int) -> _Found:
        """The verdict of a chain; None: it says nothing, or returns."""
        for rule in self._rules.get(chain, ()) if depth < _DEPTH_MAX else ():
            word, target = _verdict(rule["expr"], packet)
            if word == _MAYBE:
                self.doubt = True
            if word in _FINAL:
                return word, chain, f"{word} in the rule with handle {rule['handle']}"
            if word == "return":
                break
            if word in ("jump", "goto"):
                found = self.walk(target, packet, depth + 1)
                if found[0] or word == "goto":
                    return found
        return None, chain, ""


def _verdict(expressions: Sequence[Row], packet: Packet) -> tuple[str, str]:
    """A rule's verdict, with the chain that it names; "": it says nothing; _MAYBE: it might let the packet through."""
    holds = [_holds(one["match"], packet) for one in expressions if "match" in one]
    if False in holds:
        return "", ""
    is_known = None not in holds and not any(one.get("xt", {}).get("type") == "match" for one in expressions)
    for one in expressions:
        found = _mapped(one["vmap"], packet) if "vmap" in one else _said(one)
        if found[0] in ("drop", "reject") and not is_known:
            return "", ""
        if found[0]:
            return found if is_known else (_MAYBE, "")
    return "", ""


def _said(one: Row) -> tuple[str, str]:
    for word in (*_FINAL, "return"):
        if word in one:
            return word, ""
    for word in ("jump", "goto"):
        if word in one:
            return word, str(one[word]["target"])
    if one.get("xt", {}).get("type") == "target" and one["xt"].get("name") == "REJECT":
        return "reject", ""
    return "", ""


def _mapped(vmap: Row, packet: Packet) -> tuple[str, str]:
    value, data = _value(vmap["key"], packet), vmap["data"]
    if value is None or not isinstance(data, dict):
        return _MAYBE, ""
    for element in data.get("set", ()):
        if _equal(value, element[0]):
            return _said(element[1])
    return "", ""


def _holds(match: Row, packet: Packet) -> bool | None:
    value = _value(match["left"], packet)
    if value is None:
        return None
    found = _equal(value, match["right"])
    return None if found is None else found is (match["op"] != "!=")


def _value(left: Any, packet: Packet) -> str | int | None:
    """What the packet has there; None: that is not known, "": nothing of the kind."""
    if "meta" in left:
        known = {
            "iifname": packet.incoming,
            "oifname": packet.outgoing,
            "nfproto": "ipv6" if packet.family == "ip6" else "ipv4",
            "protocol": packet.family,
            "l4proto": packet.protocol or None,
        }
        return known.get(left["meta"]["key"])
    if "ct" in left:
        return packet.state if left["ct"].get("key") == "state" else None
    if "payload" in left and left["payload"].get("field") == "dport":
        same = left["payload"].get("protocol") in (packet.protocol, "th")
        return (packet.port if same else "") if packet.protocol else None
    return None


def _equal(value: str | int, right: Any) -> bool | None:
    """Whether a value is one of those; None: a named set has them, or they are of some other form."""
    if isinstance(right, str) and right.startswith("@"):
        return None
    if isinstance(right, str) and right.endswith("*"):
        return str(value).startswith(right[:-1])
    if isinstance(right, str | int):
        return value == right
    if isinstance(right, list):
        return _among(value, right)
    if isinstance(right, dict) and "set" in right:
        return _among(value, right["set"])
    if isinstance(right, dict) and "range" in right and isinstance(value, int):
        low, high = right["range"]
        return isinstance(low, int) and isinstance(high, int) and low <= value <= high
    return None


def _among(value: str | int, several: Any) -> bool | None:
    if not isinstance(several, list):
        return _equal(value, several)
    found = [_equal(value, one) for one in several]
    return True if True in found else None if None in found else False

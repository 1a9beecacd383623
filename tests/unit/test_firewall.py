"""What rules do with a packet, in the form in which `nft -j list ruleset` of nftables 1.0.6 lists them."""

from __future__ import annotations

from typing import Any

import pytest

from qlan.firewall import Drop, Packet, drops
from qlan.obstacles import judged
from qlan.resources.model import Bridge
from qlan.topology.model import Realm
from tests import samples

OUT = Packet("forward", "ip", "br", "up0")
ACCEPT, DROP, RETURN = {"accept": None}, {"drop": None}, {"return": None}


def base(policy: str = "accept", hook: str = "forward", family: str = "ip", table: str = "filter") -> dict[str, Any]:
    return {"chain": {"family": family, "table": table, "name": "BASE", "handle": 1, "type": "filter", "hook": hook,
                      "prio": 0, "policy": policy}}  # fmt: skip


def rule(*expr: dict[str, Any], chain: str = "BASE", family: str = "ip", table: str = "filter") -> dict[str, Any]:
    return {"rule": {"family": family, "table": table, "chain": chain, "handle": 7, "expr": [*expr]}}


def match(left: dict[str, Any], right: object, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


def meta(key: str) -> dict[str, Any]:
    return {"meta": {"key": key}}


CT = {"ct": {"key": "state"}}
DPORT = {"payload": {"protocol": "udp", "field": "dport"}}
XT = {"xt": {"type": "match", "name": "conntrack"}}


@pytest.mark.parametrize(("rows", "by"), [
    ([base()], ""),
    ([base("drop")], "policy drop"),
    ([base("drop"), rule(match(meta("iifname"), "br"), {"counter": {}}, ACCEPT)], ""),
    ([base("drop"), rule(match(meta("iifname"), "br*"), ACCEPT)], ""),
    ([base("drop"), rule(match(meta("iifname"), "docker0"), ACCEPT)], "policy drop"),
    ([base("drop"), rule(match(meta("oifname"), "docker0", "!="), ACCEPT)], ""),
    ([base("drop"), rule(match(meta("iifname"), {"set": ["lo", "br"]}), ACCEPT)], ""),
    ([base("drop"), rule(match(CT, ["established", "related"], "in"), ACCEPT)], "policy drop"),
    ([base(), rule(match(CT, {"set": ["new", "invalid"]}), DROP)], "drop in the rule with handle 7"),
    ([base(), rule(XT, DROP)], ""),  # nobody knows
    ([base("drop"), rule(XT, ACCEPT)], "policy drop"),
    ([base(), rule(match(meta("mark"), 1), DROP)], ""),
    ([base(), rule(match(meta("iifname"), "@ours"), DROP)], ""),
    ([base(), rule({"jump": {"target": "sub"}}), rule(DROP, chain="sub")], "drop in the rule with handle 7"),
    ([base("drop"), rule({"jump": {"target": "sub"}}), rule(RETURN, chain="sub"), rule(ACCEPT)], ""),
    ([base("drop"), rule({"goto": {"target": "sub"}}), rule(RETURN, chain="sub"), rule(ACCEPT)], "policy drop"),
    ([base(), rule({"jump": {"target": "BASE"}})], ""),  # what a kernel refuses ends all the same
    ([base(), rule({"vmap": {"key": meta("iifname"), "data": {"set": [["br", {"goto": {"target": "sub"}}]]}}}),
      rule({"reject": {"type": "icmpx"}}, chain="sub")], "reject in the rule with handle 7"),
    ([base(), rule({"xt": {"type": "target", "name": "REJECT"}})], "reject in the rule with handle 7"),
    ([base("drop", hook="input")], ""),
    ([base("drop", family="ip6")], ""),
    ([base("drop", family="inet")], "policy drop"),
    ([base("drop", table="qlan.demo.out")], ""),
])  # fmt: skip
def test_who_drops_what_goes_out(rows: list[dict[str, Any]], by: str) -> None:
    assert "".join(one.by for one in drops(rows, OUT, own="qlan.")) == by


@pytest.mark.parametrize(("rules", "is_sure"), [
    ([], True),
    ([rule(XT, ACCEPT)], False),
    ([rule(XT, DROP)], True),  # it would not let it through
    ([rule(match(meta("oifname"), "docker0"), XT, ACCEPT)], True),
    ([rule(XT, match(meta("oifname"), "docker0"), ACCEPT)], True),
    ([rule(XT, {"jump": {"target": "sub"}})], False),
    ([rule({"jump": {"target": "sub"}}), rule(match(meta("mark"), 1), ACCEPT, chain="sub")], False),
    ([rule(match(meta("iifname"), "@ours"), RETURN)], False),
    ([rule(XT, {"counter": {}})], True),
])  # fmt: skip
def test_whether_a_policy_is_sure_to_drop(rules: list[dict[str, Any]], is_sure: bool) -> None:
    (found,) = drops([base("drop"), *rules], OUT, own="qlan.")
    assert found == Drop("ip", "filter", "BASE", "policy drop", is_sure)


@pytest.mark.parametrize(("right", "passes"), [
    (67, True), (53, False), ({"set": [53, 67]}, True), ({"range": [60, 70]}, True), ({"range": [1, 9]}, False),
    ({"set": [53, {"range": [60, 70]}]}, True), ("@ports", False),
])  # fmt: skip
def test_ports(right: object, passes: bool) -> None:
    rows = [base("drop", hook="input"), rule(match(DPORT, right), ACCEPT)]
    asked = Packet("input", "ip", "br", protocol="udp", port=67)
    assert (not list(drops(rows, asked, own="qlan."))) is passes
    assert list(drops(rows, Packet("input", "ip", "br", protocol="tcp", port=67), own="qlan."))


def test_a_drop_says_where_it_is() -> None:
    rows = [base("drop"), rule({"jump": {"target": "sub"}}), rule(DROP, chain="sub")]
    assert list(drops(rows, OUT, own="qlan.")) == [Drop("ip", "filter", "sub", "drop in the rule with handle 7")]


def test_the_words_are_those_of_who_drops() -> None:
    wanted = samples.parsed("lab: demo\nnetworks: {lan: {kind: host-only, dhcp: false, dns: false}}", Realm.HOST)
    name = next(one.name for one in wanted.values() if isinstance(one, Bridge))
    for rows, hint in (
        ([base("drop")], f"nft insert rule ip filter BASE iifname {name} accept"),
        ([base("drop"), {"chain": {"family": "ip", "table": "filter", "name": "ufw-user-forward"}}],
         f"ufw route allow in on {name}"),
        ([base("drop", table="firewalld", family="inet")], f"firewall-cmd --zone=trusted --add-interface={name}"),
    ):  # fmt: skip
        assert judged(wanted, rows, bridged=()) == [], "a bridge's own frames are shown to nobody"
        (one,) = judged(wanted, rows, bridged=("ip",))
        assert (one.network, one.hint) == ("lan", hint)
        assert "IPv4 from guest to guest, which the bridge shows to it (br_netfilter)" in one.what
        assert "cannot be judged" not in one.what
    (one,) = judged(wanted, [base("drop"), rule(XT, ACCEPT)], bridged=("ip",))
    assert "policy drop, unless a rule before it lets it through that cannot be judged from here" in one.what

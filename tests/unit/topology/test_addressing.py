"""Picks: valid, never given twice, and the same for as long as they can be."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlan.errors import ConflictError
from qlan.facts.machine import Facts, UsedPort, UsedPrefix, UsedSubnet
from qlan.topology import addressing
from qlan.topology.check import check
from qlan.topology.model import Dhcp, Disk, Forward, Guest, Ipv6, Network, Nic, Picks, Realm, Topology, UserNetwork
from qlan.values import replace

FACTS = Facts(seed="s", uid=1000, arch="x86_64")
NOTHING = Picks({}, {}, {})
LOOPBACK = IPv4Address("127.0.0.1")


def guest(name: str, *nics: Nic) -> Guest:
    return Guest(name, disks=(Disk(Path(f"{name}.img")),), nics=nics)


def auto(port: int) -> Forward:
    return Forward("tcp", LOOPBACK, None, None, port)


def used_subnet(text: str, owner: str = "somebody") -> UsedSubnet:
    return UsedSubnet(IPv4Network(text), owner)


def lan_of(subnet: str | None, *, dhcp: Dhcp | None = None, **words: object) -> Network:
    return Network("lan", "host-only", IPv4Network(subnet) if subnet else None, dhcp=dhcp, **words)  # type: ignore[arg-type]


# --- ranges


@pytest.mark.parametrize(
    ("subnet", "host", "first", "last"),
    [
        ("10.0.0.0/24", None, "10.0.0.64", "10.0.0.254"),
        ("10.0.0.0/16", None, "10.0.64.0", "10.0.255.254"),
        ("10.0.0.0/30", None, "10.0.0.2", "10.0.0.2"),
        ("10.0.0.0/30", "10.0.0.2", "10.0.0.1", "10.0.0.1"),
        ("10.0.0.0/29", None, "10.0.0.2", "10.0.0.6"),
        ("10.0.0.0/24", "10.0.0.254", "10.0.0.64", "10.0.0.253"),
        ("10.0.0.0/24", "10.0.0.64", "10.0.0.65", "10.0.0.254"),
        ("10.0.0.0/24", "10.0.0.100", "10.0.0.101", "10.0.0.254"),
        ("10.0.0.0/24", "10.0.0.200", "10.0.0.64", "10.0.0.199"),
    ],
)
def test_the_range_unless_written(subnet: str, host: str | None, first: str, last: str) -> None:
    network = lan_of(subnet, dhcp=Dhcp(), address=IPv4Address(host) if host else None)
    assert addressing.dhcp_range(network, IPv4Network(subnet)) == (IPv4Address(first), IPv4Address(last))


@given(st.integers(8, 30), st.integers(0, 2**32 - 1), st.none() | st.integers(0, 2**24))
def test_every_subnet_has_a_range_without_its_host(prefix: int, base: int, at: int | None) -> None:
    subnet = IPv4Network((base >> (32 - prefix) << (32 - prefix), prefix))
    hosts = subnet.num_addresses - 2
    network = lan_of(str(subnet), address=None if at is None else subnet.network_address + 1 + at % hosts)
    first, last = addressing.dhcp_range(network, subnet)
    assert subnet.network_address < first <= last < subnet.broadcast_address
    assert not first <= addressing.host_address(network, subnet) <= last


# --- subnets


def test_a_subnet_for_each_network_that_needs_one() -> None:
    networks = (
        Network("a", "host-only"),
        Network("b", "private"),
        Network("c", "private", dhcp=Dhcp()),
        Network("d", "host-only", IPv4Network("10.5.0.0/24")),
    )
    picks = addressing.complete(Topology("x", networks), NOTHING, FACTS)
    assert set(picks.subnets) == {"a", "c"}
    assert all(one.subnet_of(IPv4Network("10.64.0.0/10")) and one.prefixlen == 24 for one in picks.subnets.values())


def test_another_lab_or_seed_starts_elsewhere() -> None:
    networks = (Network("a", "host-only"),)
    found = {
        addressing.complete(Topology(lab, networks), NOTHING, replace(FACTS, seed=seed)).subnets["a"]
        for lab in ("x", "y")
        for seed in ("s", "t")
    }
    assert len(found) == 4


def test_what_is_taken_is_left_alone() -> None:
    topology = Topology("x", (Network("a", "host-only"),))
    free = addressing.complete(topology, NOTHING, FACTS).subnets["a"]
    facts = replace(FACTS, used_subnets=(used_subnet(str(free.supernet(new_prefix=12))),))
    assert not addressing.complete(topology, NOTHING, facts).subnets["a"].overlaps(free.supernet(new_prefix=12))


def test_a_taken_part_of_a_subnet_takes_it() -> None:
    topology = Topology("x", (Network("a", "host-only"),))
    free = addressing.complete(topology, NOTHING, FACTS).subnets["a"]
    facts = replace(FACTS, used_subnets=(used_subnet(f"{free.network_address + 77}/32"),))
    assert addressing.complete(topology, NOTHING, facts).subnets["a"] != free


def test_a_vpn_that_takes_all_of_ten_leaves_other_private_ranges() -> None:
    facts = replace(FACTS, used_subnets=(used_subnet("10.0.0.0/8"), used_subnet("172.16.0.0/12")))
    picks = addressing.complete(Topology("x", (Network("a", "host-only"),)), NOTHING, facts)
    assert picks.subnets["a"].subnet_of(IPv4Network("192.168.0.0/16"))


def test_a_default_route_takes_nothing() -> None:
    topology = Topology("x", (Network("a", "host-only"),))
    facts = replace(FACTS, used_subnets=(used_subnet("0.0.0.0/1"), used_subnet("0.0.0.0/0")))
    assert addressing.complete(topology, NOTHING, facts) == addressing.complete(topology, NOTHING, FACTS)


def test_no_subnet_left() -> None:
    facts = replace(FACTS, used_subnets=tuple(used_subnet(f"{a}.0.0.0/8") for a in (10, 172, 192)))
    with pytest.raises(ConflictError, match="no free subnet left"):
        addressing.complete(Topology("x", (Network("a", "host-only"),)), NOTHING, facts)


@pytest.mark.parametrize(
    ("realm", "owner", "stays"),
    [
        (Realm.ROOTLESS, "a route to it via tun0", True),
        (Realm.HOST, "a route to it via tun0", False),
        (Realm.HOST, "lab x", True),
    ],
)
def test_an_old_subnet_gives_way_only_where_it_must(realm: Realm, owner: str, stays: bool) -> None:
    topology = Topology("x", (Network("a", "host-only"),), realm=realm)
    old = addressing.complete(topology, NOTHING, FACTS)
    facts = replace(FACTS, used_subnets=(UsedSubnet(old.subnets["a"], owner),))
    assert (addressing.complete(topology, old, facts) == old) is stays


def test_a_pick_gives_way_to_a_subnet_that_is_written() -> None:
    old = addressing.complete(Topology("x", (Network("a", "host-only"),)), NOTHING, FACTS)
    written = Network("b", "host-only", old.subnets["a"])
    new = addressing.complete(Topology("x", (Network("a", "host-only"), written)), old, FACTS)
    assert set(new.subnets) == {"a"}
    assert not new.subnets["a"].overlaps(old.subnets["a"])


# --- addresses


def test_written_addresses_are_nobody_else_s() -> None:
    lan = lan_of("10.0.0.0/24", dhcp=Dhcp(IPv4Address("10.0.0.10"), IPv4Address("10.0.0.12")))
    fixed = guest("b", Nic("lan", address=IPv4Address("10.0.0.11")))
    topology = Topology("x", (lan,), (guest("a", Nic("lan")), fixed, guest("c", Nic("lan"))))
    picks = addressing.complete(topology, NOTHING, FACTS)
    given_ = [addressing.nic_address(topology, picks, one.name, 0) for one in topology.guests]
    assert given_ == [IPv4Address("10.0.0.10"), IPv4Address("10.0.0.11"), IPv4Address("10.0.0.12")]


def test_a_guest_that_comes_moves_nobody() -> None:
    lan = lan_of("10.0.0.0/24", dhcp=Dhcp())
    a, b, c = (guest(name, Nic("lan")) for name in "abc")
    old = addressing.complete(Topology("x", (lan,), (a, c)), NOTHING, FACTS)
    new = addressing.complete(Topology("x", (lan,), (b, a, c)), old, FACTS)
    assert {key: new.addresses[key] for key in old.addresses} == old.addresses
    assert new.addresses["b/0/lan"] not in old.addresses.values()
    left = addressing.complete(Topology("x", (lan,), (b, c)), new, FACTS)
    assert left.addresses == {key: new.addresses[key] for key in ("b/0/lan", "c/0/lan")}


def test_an_address_that_gets_written_elsewhere_moves() -> None:
    lan = lan_of("10.0.0.0/24", dhcp=Dhcp())
    old = addressing.complete(Topology("x", (lan,), (guest("a", Nic("lan")),)), NOTHING, FACTS)
    written = guest("b", Nic("lan", address=old.addresses["a/0/lan"]))
    new = addressing.complete(Topology("x", (lan,), (guest("a", Nic("lan")), written)), old, FACTS)
    assert new.addresses["a/0/lan"] != old.addresses["a/0/lan"]


def test_a_nic_that_moves_to_another_network_gets_an_address_there() -> None:
    networks = (lan_of("10.0.0.0/24", dhcp=Dhcp()), Network("b", "private", IPv4Network("10.1.0.0/24"), dhcp=Dhcp()))
    old = addressing.complete(Topology("x", networks, (guest("a", Nic("lan")),)), NOTHING, FACTS)
    new = addressing.complete(Topology("x", networks, (guest("a", Nic("b")),)), old, FACTS)
    assert list(new.addresses) == ["a/0/b"]
    assert new.addresses["a/0/b"] in IPv4Network("10.1.0.0/24")


def test_without_dhcp_a_subnet_is_enough() -> None:
    networks = (Network("s", "private", IPv4Network("10.1.0.0/29")), Network("n", "private"))
    topology = Topology("x", networks, (guest("a", Nic("s"), Nic("n"), Nic(user=UserNetwork())),))
    picks = addressing.complete(topology, NOTHING, FACTS)
    found = [addressing.nic_address(topology, picks, "a", index) for index in range(3)]
    assert found[0] in IPv4Network("10.1.0.0/29")
    assert found[1:] == [None, None]


def test_a_full_range() -> None:
    lan = lan_of("10.0.0.0/30", dhcp=Dhcp())
    topology = Topology("x", (lan,), (guest("a", Nic("lan")), guest("b", Nic("lan"))))
    with pytest.raises(ConflictError, match=r"network lan: no free address left from 10\.0\.0\.2 to 10\.0\.0\.2"):
        addressing.complete(topology, NOTHING, FACTS)


# --- ports


def test_ports_avoid_what_is_taken_and_what_is_written() -> None:
    nic = Nic(user=UserNetwork(), forwards=(auto(22),))
    topology = Topology("x", (), (guest("a", nic),))
    first = addressing.complete(topology, NOTHING, FACTS).ports["a/0/tcp//22"]
    assert addressing.PORT_FIRST <= first <= addressing.PORT_LAST
    facts = replace(FACTS, used_ports=(UsedPort("tcp", IPv4Address("0.0.0.0"), first, "sshd"),))
    second = addressing.complete(topology, NOTHING, facts).ports["a/0/tcp//22"]
    written = guest("b", Nic(user=UserNetwork(), forwards=(Forward("tcp", LOOPBACK, second, None, 80),)))
    third = addressing.complete(Topology("x", (), (guest("a", nic), written)), NOTHING, facts).ports["a/0/tcp//22"]
    assert len({first, second, third}) == 3


@pytest.mark.parametrize(("owner", "stays"), [("sshd (process 7)", False), ("lab x", True)])
def test_an_old_port_is_kept_unless_somebody_else_has_it(owner: str, stays: bool) -> None:
    topology = Topology("x", (), (guest("a", Nic(user=UserNetwork(), forwards=(auto(22),))),))
    old = addressing.complete(topology, NOTHING, FACTS)
    facts = replace(FACTS, used_ports=(UsedPort("tcp", LOOPBACK, old.ports["a/0/tcp//22"], owner),))
    assert (addressing.complete(topology, old, facts) == old) is stays


def test_host_port_is_the_written_or_the_picked_one() -> None:
    topology = Topology("x", (), (guest("a", Nic(user=UserNetwork(), forwards=(auto(22),))),))
    picks = addressing.complete(topology, NOTHING, FACTS)
    assert addressing.host_port(auto(22), picks, "a", 0) == picks.ports["a/0/tcp//22"]
    assert addressing.host_port(Forward("tcp", LOOPBACK, 7, None, 22), picks, "a", 0) == 7


def test_macs_stay() -> None:
    topology = Topology("x", (), (guest("a", Nic("lan"), Nic("lan", mac="52:54:00:00:00:01")),))
    derived = addressing.nic_mac(topology, "a", 0, "s")
    assert derived == addressing.nic_mac(topology, "a", 0, "s")
    assert derived != addressing.nic_mac(topology, "a", 0, "t")
    assert int(derived[:2], 16) & 3 == 2, "unicast and locally administered"
    assert addressing.nic_mac(topology, "a", 1, "s") == "52:54:00:00:00:01"


# --- whatever the topology


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    """Labs with room enough: up to 4 networks, up to 6 guests with up to 3 NICs."""
    networks = []
    for index in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["private", "host-only"]))
        written = draw(st.none() | st.integers(24, 26))
        subnet = IPv4Network((f"10.{index}.0.0", written)) if written else None
        networks.append(Network(f"n{index}", kind, subnet, dhcp=draw(st.none() | st.just(Dhcp()))))
    plugs = [network.name for network in networks] + [None]
    guests = []
    for name in draw(st.lists(st.sampled_from("abcdefgh"), max_size=6, unique=True)):
        nics = []
        for plug in draw(st.lists(st.sampled_from(plugs), max_size=3)):
            ports = draw(st.lists(st.sampled_from([22, 80]), max_size=2, unique=True)) if plug is None else []
            nics.append(Nic(plug) if plug else Nic(user=UserNetwork(), forwards=tuple(auto(port) for port in ports)))
        guests.append(guest(f"vm-{name}", *nics))
    return Topology(draw(st.sampled_from(["x", "y"])), tuple(networks), tuple(guests))


def written_out(topology: Topology, picks: Picks) -> Topology:
    """The same lab with every pick written into it."""
    guests = []
    for one in topology.guests:
        nics = []
        for index, nic in enumerate(one.nics):
            forwards = tuple(
                replace(forward, host_port=addressing.host_port(forward, picks, one.name, index))
                for forward in nic.forwards
            )
            address = addressing.nic_address(topology, picks, one.name, index)
            nics.append(replace(nic, address=address, forwards=forwards))
        guests.append(replace(one, nics=tuple(nics)))
    networks = tuple(
        replace(network, subnet=network.subnet or picks.subnets.get(network.name)) for network in topology.networks
    )
    return replace(topology, networks=networks, guests=tuple(guests))


@settings(max_examples=60, deadline=None)
@given(topologies())
def test_picks_are_valid_by_our_own_check(topology: Topology) -> None:
    picks = addressing.complete(topology, NOTHING, FACTS)
    assert check(written_out(topology, picks), FACTS, lambda path: True) == []
    for network in topology.networks:
        if addressing.wants_subnet(network):
            assert addressing.subnet_of(network, picks)


@settings(max_examples=60, deadline=None)
@given(topologies(), topologies(), st.data())
def test_picks_survive_any_change_of_the_rest(before: Topology, other: Topology, data: st.DataObject) -> None:
    """What is still wanted and still free stays; completing twice is completing once."""
    known_names = {one.name for one in before.guests}
    plugs = {network.name for network in before.networks} | {None}
    comers = [one for one in other.guests if one.name not in known_names and {nic.network for nic in one.nics} <= plugs]
    stayers = [one for one in before.guests if data.draw(st.booleans())]
    after = replace(before, guests=tuple(data.draw(st.permutations([*comers, *stayers]))))
    if data.draw(st.booleans()):
        after = replace(after, networks=(*after.networks, Network("new", "host-only")))
    old = addressing.complete(before, NOTHING, FACTS)
    new = addressing.complete(after, old, FACTS)
    assert addressing.complete(after, new, FACTS) == new
    assert check(written_out(after, new), FACTS, lambda path: True) == []
    for key in old.ports.keys() & new.ports.keys():
        assert new.ports[key] == old.ports[key]
    for key in old.addresses.keys() & new.addresses.keys():
        assert new.addresses[key] == old.addresses[key]
    for name in old.subnets.keys() & new.subnets.keys():
        assert new.subnets[name] == old.subnets[name]


@settings(deadline=None)
@given(st.permutations(list("abcdef")), st.integers(0, 5))
def test_addresses_are_all_different_in_any_order(order: list[str], gone: int) -> None:
    lan = lan_of("10.0.0.0/27", dhcp=Dhcp())
    guests = tuple(guest(f"vm-{name}", Nic("lan"), Nic("lan")) for name in order)
    picks = addressing.complete(Topology("x", (lan,), guests), NOTHING, FACTS)
    for _ in range(3):
        guests = (*guests[gone:], *guests[:gone])
        picks = addressing.complete(Topology("x", (lan,), guests), picks, FACTS)
        numbers = sorted(int(address) for address in picks.addresses.values())
        assert all(one < other for one, other in pairwise(numbers))


def with_ipv6(*names: str, **written: str) -> Topology:
    """Networks that leave their prefix open, and others with a written one."""
    found = [Network(name, "host-only", ipv6=Ipv6()) for name in names]
    found += [Network(name, "host-only", ipv6=Ipv6(IPv6Network(text))) for name, text in written.items()]
    return Topology("lab", networks=tuple(found))


def prefixes_of(topology: Topology, picks: Picks = NOTHING, *used: str) -> dict[str, IPv6Network]:
    facts = replace(FACTS, used_prefixes=tuple(UsedPrefix(IPv6Network(one), "somebody") for one in used))
    return addressing.complete(topology, picks, facts).prefixes


@pytest.mark.parametrize("width", [64, 56, 96])
def test_a_prefix_is_not_one_that_somebody_has(width: int) -> None:
    """As wide as ours, wider, and within it."""
    free = prefixes_of(with_ipv6("a"))["a"]
    taken = str(IPv6Network((int(free.network_address) >> (128 - width) << (128 - width), width)))
    assert not prefixes_of(with_ipv6("a"), NOTHING, taken)["a"].overlaps(IPv6Network(taken))
    assert not prefixes_of(with_ipv6("a", written=taken))["a"].overlaps(IPv6Network(taken))
    remembered = replace(NOTHING, prefixes={"a": free})
    assert prefixes_of(with_ipv6("a"), remembered)["a"] == free, "nobody has it"
    assert not prefixes_of(with_ipv6("a"), remembered, taken)["a"].overlaps(IPv6Network(taken))


def test_two_networks_never_have_one_prefix() -> None:
    """One remembers what the other would be given."""
    free = prefixes_of(with_ipv6("a"))["a"]
    found = prefixes_of(with_ipv6("a", "b"), replace(NOTHING, prefixes={"b": free}))
    assert found["b"] == free
    assert found["a"] != free
    both = prefixes_of(with_ipv6("a", "b"), replace(NOTHING, prefixes={"a": free, "b": free}))
    assert len(set(both.values())) == 2

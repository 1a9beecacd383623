"""A bridge has so many ports: a network with more NICs has further bridges, or says why it cannot."""

from __future__ import annotations

import pytest

from qlan.resources.model import Bridge, Tap, Trunk
from qlan.topology import ports
from qlan.topology.check import check_written
from qlan.topology.load import parse
from qlan.topology.model import Network, Nic, Realm
from tests import samples

OPEN, APART, AS_NETWORK = Nic("lan", isolated=False), Nic("lan", isolated=True), Nic("lan")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "PORTS", 3)
    monkeypatch.setattr(ports, "BRANCHES_MAX", 2)


def problems(count: int, network: str, odd: str = "", odd_count: int = 0) -> list[str]:
    nics = [f"{{network: lan, {odd}}}"] * odd_count + ["lan"] * (count - odd_count)
    guests = "".join(f"  g{number}: {{kernel: k, nics: [{nic}]}}\n" for number, nic in enumerate(nics))
    topology = parse(f"lab: x\nnetworks: {{lan: {{subnet: 10.0.0.0/16, {network}}}}}\nguests:\n{guests}", "/x/f")
    return [problem.what for problem in check_written(topology)]


@pytest.mark.parametrize(
    ("count", "network", "said"),
    [
        (1500, "kind: host-only", []),
        (1500, "kind: private, dhcp: true, vlan_filtering: true", []),
        (21001, "kind: host-only", ["network `lan` has 21001 NICs; there is room for 21000"]),
    ],
)
def test_what_there_is_room_for(count: int, network: str, said: list[str]) -> None:
    assert problems(count, network) == said


def test_thousands_of_both_sorts_have_no_place() -> None:
    """Isolation holds across bridges for one sort at a time."""
    said = ["network `lan` has 2500 NICs, more than 1000 of them isolated and as many not"]
    assert problems(2500, "kind: host-only", "isolated: true", 1200) == said
    assert problems(2500, "kind: host-only", "isolated: true", 1000) == []
    assert problems(2500, "kind: host-only, isolated: true", "isolated: false", 1000) == []


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("isolated", "nics", "places", "trunks"),
    [
        (False, [AS_NETWORK] * 3, (0, 0, 0), False),
        (False, [AS_NETWORK] * 7, (0, 0, 0, 1, 1, 1, 2), False),
        (True, [AS_NETWORK] * 4, (0, 0, 0, 1), True),
        # who is not isolated reaches all branches from the first bridge
        (True, [AS_NETWORK, AS_NETWORK, AS_NETWORK, OPEN], (0, 0, 1, 0), True),
        # few isolated ones: all on the first bridge, and the trunks are open
        (False, [AS_NETWORK, AS_NETWORK, AS_NETWORK, APART], (0, 0, 1, 0), False),
        # more isolated ones than that, on a network that is open: then the others are on the first
        (False, [AS_NETWORK, APART, APART, APART, APART], (0, 0, 0, 1, 1), True),
    ],
)
def test_where_each_nic_is(isolated: bool, nics: list[Nic], places: tuple[int, ...], trunks: bool) -> None:
    shape = ports.star(Network("lan", "host-only", isolated=isolated), nics)
    assert shape == ports.Star(places, trunks)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("realm", list(Realm))
@pytest.mark.parametrize("kind", ["private", "host-only", "nat"])
def test_a_network_of_several_bridges_has_one_server_and_one_address(kind: str, realm: Realm) -> None:
    guests = "".join(f"  g{number}: {{kernel: k, nics: [lan]}}\n" for number in range(7))
    text = f"lab: x\nnetworks: {{lan: {{kind: {kind}, dhcp: true, isolated: true}}}}\nguests:\n{guests}"
    found = samples.parsed(text, realm)
    first, *branches = sorted((one for one in found.values() if isinstance(one, Bridge)), key=lambda one: one.branch)
    trunks = [one for one in found.values() if isinstance(one, Trunk)]
    taps = [one for one in found.values() if isinstance(one, Tap)]
    assert [one.key for one in branches] == ["branch/lan/1", "branch/lan/2"]
    assert {one.namespace for some in (branches, trunks, taps) for one in some} == {first.namespace}
    assert [(one.bridge, one.branch_bridge, one.isolated) for one in trunks] == [
        (first.name, one.name, True) for one in branches
    ]
    assert [one.bridge for one in taps] == [first.name] * 3 + [branches[0].name] * 3 + [branches[1].name]
    assert all(one.isolated for one in taps)
    assert sum(key.startswith(("dnsmasq/", "filter/")) for key in found) == (2 if kind == "nat" else 1)
    names = [first.name, *(one.name for one in branches), *(one.name for one in taps)]
    names += [end for one in trunks for end in (one.near, one.far)]
    assert len(set(names)) == len(names)


@pytest.mark.usefixtures("few")
def test_a_trunk_passes_the_vlans_that_somebody_is_in() -> None:
    text = """\
lab: x
networks: {lan: {kind: host-only, vlan_filtering: true, vlan: 7}}
guests:
  a: {kernel: k, nics: [lan, {network: lan, vlan: 8}, {network: lan, trunk: [20-30]}]}
  b: {kernel: k, nics: [{network: lan, vlan: 100, trunk: [25-40]}]}
"""
    trunks = [one for one in samples.parsed(text, Realm.HOST).values() if isinstance(one, Trunk)]
    assert [one.vlans for one in trunks] == [((7, 8), (20, 40), (100, 100))]

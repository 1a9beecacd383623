"""How large a network's frames are where the file does not say it."""

from __future__ import annotations

import pytest

from qlan.planning import scope
from qlan.resources.model import Bridge, Dnsmasq, Nic, Resources, Tap
from qlan.topology import load
from qlan.topology.changes import Change, changed
from qlan.topology.model import Realm
from tests import samples

WIDE = 65500


def mtus(nics: str, realm: Realm, *, kind: str = "nat", more: str = "") -> set[int | None]:
    """What bridge, TAPs, DHCP and virtio say of a network with a guest that has these NICs."""
    text = f"lab: x\nnetworks: {{out: {{kind: {kind}, subnet: 10.1.0.0/24{more}}}}}\n"
    found = samples.parsed(text + f"guests: {{a: {{kernel: k, nics: [{nics}]}}}}\n", realm)
    return {one.mtu_bytes for one in found.values() if isinstance(one, Bridge | Tap | Nic | Dnsmasq)}


def test_without_root_the_way_outside_is_as_wide_as_its_program_takes() -> None:
    assert mtus("out, {network: out, model: virtio-net-pci}", Realm.ROOTLESS) == {WIDE}
    assert mtus("out", Realm.HOST) == {1500, None}


@pytest.mark.parametrize("kind", ["host-only", "private"])
def test_a_network_that_leads_nowhere_has_ethernets(kind: str) -> None:
    assert mtus("out", Realm.ROOTLESS, kind=kind, more=", dhcp: true") == {1500, None}


@pytest.mark.parametrize("other", ["model: e1000", "mtu: 1400", "boot: network"])
def test_all_guests_must_agree(other: str) -> None:
    """A model that cannot be told; one that was told less; a boot ROM, which has no memory for such frames."""
    found = mtus(f"out, {{network: out, {other}}}", Realm.ROOTLESS)
    assert WIDE not in found
    assert 1500 in found


def test_what_is_written_holds() -> None:
    assert mtus("out", Realm.ROOTLESS, more=", mtu: 9000") == {9000}
    assert mtus("out", Realm.ROOTLESS, more=", mtu: 1500") == {1500}


TWO = """\
lab: x
networks: {out: {kind: nat, subnet: 10.1.0.0/24}}
guests: {a: {kernel: k, nics: [out]}, b: {kernel: k, nics: [%s]}}
"""


def test_what_is_attached_by_hand_changes_nothing_for_the_others() -> None:
    """Neither to less nor to more: the file's guests agreed on it."""
    attached = Change("b", "attach", 1, "out", "e1000")
    assert (
        of_bridge(samples.expanded(changed(load.parse(TWO % "out", "/lab/qlan.yaml"), [attached]), Realm.ROOTLESS))
        == WIDE
    )
    detached = Change("b", "detach", 0)
    narrow = load.parse(TWO % "{network: out, model: e1000}", "/lab/qlan.yaml")
    assert of_bridge(samples.expanded(changed(narrow, [detached]), Realm.ROOTLESS)) == 1500


def of_bridge(found: Resources) -> int:
    [bridge] = [one for one in found.values() if isinstance(one, Bridge)]
    return bridge.mtu_bytes


def test_who_is_not_named_follows_the_bridge() -> None:
    """Else it would be told of frames that the bridge drops."""
    before = samples.parsed(TWO % "out")
    full = samples.parsed(TWO % "{network: out, model: e1000}")
    assert scope.for_up(full, before, ["b"]) == full
    both = TWO % "out, {network: out, model: e1000}"
    dropped = scope.for_up(samples.parsed(TWO % "out"), samples.parsed(both), ["a"])  # b/1 is in for as long as b is
    assert {one.mtu_bytes for one in dropped.values() if isinstance(one, Bridge | Tap)} == {WIDE}
    away = samples.parsed(TWO % "user")
    found = scope.for_up(away, before, ["b"])
    assert found["tap/a/0"] == before["tap/a/0"], "nothing changed for it"

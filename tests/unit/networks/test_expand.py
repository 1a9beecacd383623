"""What a topology means: golden/expand/<case>/qlan.yaml in both realms, as the resources' JSON."""

from __future__ import annotations

import json

import pytest

from qlan.errors import HostError
from qlan.names import INTERFACE_NAME_MAX
from qlan.networks.expand import KINDS, network_reach
from qlan.render.enter import REALM
from qlan.resources import codec
from qlan.resources.model import HOST, Bridge, Dnsmasq, Machine, Namespace, Nic, PortForward, Tap, TapBackend
from qlan.topology.model import KINDS as WORDS
from qlan.topology.model import Network, Realm
from tests import samples
from tests.unit import golden

REALMS = pytest.mark.parametrize("realm", list(Realm))
CASES = pytest.mark.parametrize("case", golden.cases("expand"))


@CASES
@REALMS
def test_expand(case: str, realm: Realm) -> None:
    found = samples.parsed(golden.text_of("expand", case, "qlan.yaml"), realm)
    text = json.dumps([codec.encode(one) for one in found.values()], indent=1) + "\n"
    golden.compare(text, samples.GOLDEN / "expand" / case / f"{realm}.json")


@CASES
@REALMS
def test_what_holds_of_every_expansion(case: str, realm: Realm) -> None:
    """Keys are keys, every need is met by something before it, and every link has a name the kernel takes."""
    found = samples.parsed(golden.text_of("expand", case, "qlan.yaml"), realm)
    before: set[str] = set()
    for key, one in found.items():
        assert key == one.key
        assert set(one.needs) <= before, f"{key} comes before what it needs"
        assert set(one.within) <= set(found)
        before.add(key)
    links = [one for one in found.values() if isinstance(one, Bridge | Tap)]
    assert all(0 < len(one.name) <= INTERFACE_NAME_MAX for one in links)
    assert len({(one.namespace, one.name) for one in links}) == len(links)
    macs = [one.mac for one in found.values() if isinstance(one, Nic | Bridge)]
    assert len(set(macs)) == len(macs)


@CASES
def test_the_realm_changes_where_things_are_and_nothing_a_guest_sees(case: str) -> None:
    """Same file, same guests: NICs with their MACs, forwards, and what their servers tell them."""
    text = golden.text_of("expand", case, "qlan.yaml")
    rootless, host = samples.parsed(text, Realm.ROOTLESS), samples.parsed(text, Realm.HOST)
    for key, one in rootless.items():
        if isinstance(one, Nic | PortForward):
            assert host[key] == one
        if isinstance(one, Dnsmasq):
            other = host[key]
            assert isinstance(other, Dnsmasq)
            assert (other.reservations, other.hosts, other.first, other.last) == (
                one.reservations, one.hosts, one.first, one.last,
            )  # fmt: skip
    assert not any(isinstance(one, Namespace) and one.user for one in host.values())
    assert all(one.run_as == 1000 for one in host.values() if isinstance(one, Machine))
    assert all(one.namespace != HOST for one in rootless.values() if isinstance(one, Bridge | Tap))


def test_every_kind_of_the_file_has_its_room() -> None:
    assert set(KINDS) == set(WORDS)


@pytest.mark.parametrize(("kind", "host"), [("private", False), ("host-only", True)])
def test_who_reaches_whom(kind: str, host: bool) -> None:
    """The row of the table of kinds, and that the resources are so: only a host-only bridge has an address."""
    assert network_reach(Network("lan", kind)) == {"guests": True, "host": host, "outside": False}
    text = f"lab: x\nnetworks: {{lan: {{kind: {kind}, dhcp: true}}}}\nguests: {{a: {{kernel: k, nics: [lan]}}}}"
    for realm in Realm:
        found = samples.parsed(text, realm)
        bridge = found["bridge/lan"]
        assert isinstance(bridge, Bridge)
        where = REALM if realm is Realm.ROOTLESS else HOST
        assert (bridge.namespace == where) is host, "what is no network of the host's is in a namespace of its own"
        inside = [one for one in found.values() if getattr(one, "namespace", None) == bridge.namespace]
        assert host or all(getattr(one, "network", "lan") == "lan" for one in inside), "and nothing else is there"


def test_a_guest_of_another_architecture_needs_its_qemu() -> None:
    with pytest.raises(HostError, match="no qemu-system-riscv64"):
        samples.parsed("lab: x\nguests: {a: {kernel: k, arch: riscv64}}")


def test_kvm_that_is_not_there_is_refused_by_name_and_left_out_by_auto() -> None:
    with pytest.raises(HostError, match="not in tests"):
        samples.parsed("lab: x\nguests: {a: {kernel: k, accel: kvm}}")
    machine = samples.parsed("lab: x\nguests: {a: {kernel: k}}")["machine/a"]
    assert isinstance(machine, Machine)
    assert machine.accel == "tcg"


def test_a_nic_s_backend_is_its_own_tap() -> None:
    found = samples.parsed(samples.DEMO)
    for one in found.values():
        if isinstance(one, Nic) and isinstance(one.backend, TapBackend):
            tap = found[one.backend.tap]
            assert isinstance(tap, Tap)
            assert (tap.guest, tap.nic) == (one.guest, one.index)

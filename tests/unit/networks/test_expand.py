"""What a topology means: golden/expand/<case>/qlan.yaml in both realms, as the resources' JSON."""

from __future__ import annotations

import json

import pytest

from qlan.errors import HostError
from qlan.names import INTERFACE_NAME_MAX
from qlan.networks.expand import KINDS, expand, network_reach
from qlan.networks.reach import Reach
from qlan.planning import scope
from qlan.planning.order import order_of
from qlan.render.enter import REALM
from qlan.resources import codec
from qlan.resources.model import (
    HOST,
    Bridge,
    Dnsmasq,
    Forwarding,
    HelperBackend,
    Machine,
    Namespace,
    Nic,
    PortForward,
    Tap,
    TapBackend,
    WireBackend,
)
from qlan.topology import addressing, load
from qlan.topology.model import KINDS as WORDS
from qlan.topology.model import Network, Picks, Realm
from qlan.values import replace
from tests import samples
from tests.unit import golden

REALMS = pytest.mark.parametrize("realm", list(Realm))
CASES = pytest.mark.parametrize("case", golden.cases("expand"))


@CASES
@REALMS
def test_expand(case: str, realm: Realm) -> None:
    found = samples.parsed(golden.text_of("expand", case, "qlan.yaml"), realm)
    text = json.dumps([json.loads(codec.encode(one)) for one in found.values()], indent=1) + "\n"
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
    """Same file, same guests: NICs with their MACs, forwards, and what their servers tell them; but for the MTU, which
    is that of the way outside.
    """
    text = golden.text_of("expand", case, "qlan.yaml")
    rootless, host = samples.parsed(text, Realm.ROOTLESS), samples.parsed(text, Realm.HOST)
    for key, one in rootless.items():
        if isinstance(one, Nic) and isinstance(one.backend, HelperBackend):  # a TAP either way, made by another hand
            other = host[key]
            assert isinstance(other, Nic)
            assert replace(other, backend=one.backend) == one
        elif isinstance(one, Nic):
            other = host[key]
            assert isinstance(other, Nic)
            assert replace(other, mtu_bytes=one.mtu_bytes) == one
        elif isinstance(one, PortForward):
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
    assert network_reach(Network("lan", kind)) == Reach(True, host, False, host, False)
    text = f"lab: x\nnetworks: {{lan: {{kind: {kind}, dhcp: true}}}}\nguests: {{a: {{kernel: k, nics: [lan]}}}}"
    for realm in Realm:
        found = samples.parsed(text, realm)
        bridge = found["bridge/lan"]
        assert isinstance(bridge, Bridge)
        where = REALM if realm is Realm.ROOTLESS else HOST
        assert (bridge.namespace == where) is host, "what is no network of the host's is in a namespace of its own"
        inside = [one for one in found.values() if getattr(one, "namespace", None) == bridge.namespace]
        assert host or all(getattr(one, "network", "lan") == "lan" for one in inside), "and nothing else is there"


def test_a_wire_has_two_ends_in_a_namespace_of_its_own() -> None:
    assert network_reach(Network("w", "wire")) == Reach(True, False, False, False, False)
    text = "lab: x\nnetworks: {w: wire}\nguests: {a: {kernel: k, nics: [w]}, b: {kernel: k, nics: [w]}}"
    for realm in Realm:
        found = samples.parsed(text, realm)
        ends = [one.backend for one in found.values() if isinstance(one, Nic)]
        assert ends == [WireBackend("w", 0, "namespace/w"), WireBackend("w", 1, "namespace/w")]
        assert "namespace/w" in found
        assert not any(isinstance(one, Bridge | Tap) for one in found.values())


def test_a_bridge_of_others_gets_taps_of_its_own_mtu_and_nothing_else() -> None:
    text = "lab: x\nnetworks: {br0: bridge}\nguests: {a: {kernel: k, nics: [br0]}}"
    found = samples.parsed(text, Realm.HOST)
    tap = found["tap/a/0"]
    assert isinstance(tap, Tap)
    assert (tap.bridge, tap.network, tap.foreign, tap.needs) == ("br0", "br0", True, ())
    assert not any(isinstance(one, Bridge) for one in found.values())
    nic = samples.parsed(text, Realm.ROOTLESS)["nic/a/0"]
    assert isinstance(nic, Nic)
    assert nic.backend == HelperBackend("br0", "br0", "")


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


@pytest.mark.parametrize("force_forwarding", [False, True])
def test_some_guests_alone_have_the_ways_outside(force_forwarding: bool) -> None:
    """What is not ours hangs on no bridge; and the machine keeps its own route by coming first."""
    topology = load.parse(
        "lab: demo\nnetworks: {out: nat}\nguests: {web: {kernel: vmlinuz, nics: [out]}}", "/lab/q.yaml"
    )
    facts = replace(samples.FACTS, uplinks=("up0",), uplinks6=("up0", "up1"), ra_links=("up1",), run_as=1000,
                    force_forwarding=force_forwarding)  # fmt: skip
    wanted = expand(topology, addressing.complete(topology, Picks({}, {}, {}), facts), facts, Realm.HOST)
    named = scope.for_up(wanted, {}, ["web"])
    assert named == wanted
    settings = [one.key for one in sorted(named.values(), key=order_of) if isinstance(one, Forwarding)]
    bridge = next(one.name for one in wanted.values() if isinstance(one, Bridge))
    assert settings == [
        f"forwarding/{bridge}",
        "forwarding/up0",
        "ipv6/accept_ra/up1",
        *(
            [f"ipv6/force_forwarding/{link}" for link in (bridge, "up0", "up1")]
            if force_forwarding
            else ["ipv6/forwarding/all"]
        ),
        f"ipv6/forwarding/{bridge}",
    ]

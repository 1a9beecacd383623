"""A command for some guests: what it takes along."""

from ipaddress import IPv4Address, IPv4Interface

from qlan.planning import scope
from qlan.resources.model import Address, Bridge, Dnsmasq, Machine, Namespace, Nic, Outlet, Resource, Tap, TapBackend
from qlan.topology.changes import Change
from qlan.values import replace
from tests import samples

REALM = "namespace/realm"


def guest(name: str, network: str) -> list[Resource]:
    """A machine with one NIC on a network."""
    machine = Machine(name, "shop", "qemu", "pc", "tcg", 1, 1 << 28)
    tap = Tap(name, 0, f"{name}.0", network, network, REALM)
    return [tap, machine, Nic(name, 0, "e1000", "52:54:00:00:00:01", TapBackend(tap.key))]


def lab() -> dict[str, Resource]:
    """web on `lan` (host-only), db on `back` (private), both with DHCP."""
    inside = Namespace("back", REALM)
    first = IPv4Interface("10.0.0.1/24")
    second = IPv4Interface("10.0.1.1/24")
    found: list[Resource] = [
        Namespace("realm", user=True),
        Bridge("lan", "lan", "52:54:00:00:00:02", REALM),
        Address("bridge/lan", "lan", first, REALM),
        Dnsmasq("lan", "lan", "bridge/lan", first, "shop", REALM),
        inside,
        Bridge("back", "back", "52:54:00:00:00:03", inside.key),
        Address("bridge/back", "back", second, inside.key),
        Dnsmasq("back", "back", "bridge/back", second, "shop", inside.key),
        *guest("web", "lan"),
        *guest("db", "back"),
    ]
    return {one.key: one for one in found}


def test_a_guest_that_stays_as_it_is_keeps_its_network_that_nobody_wants_on() -> None:
    """Its TAP cannot be without a bridge: `up` would fail, or cut the guest off."""
    wanted = {key: one for key, one in lab().items() if "back" not in key and "'back'" not in str(one)}
    kept = scope.without(["db"], wanted, lab())
    assert kept == lab()


def test_a_guest_cannot_stay_on_what_must_be_made_anew() -> None:
    moved = {**lab(), "bridge/back": Bridge("back", "back", "52:54:00:00:00:03", REALM)}
    assert scope.replaced_under(["db"], moved, lab()) == ["bridge/back"]
    assert scope.replaced_under(["web"], moved, lab()) == []


def test_up_of_a_guest_takes_its_network_with_its_server() -> None:
    """Without its DHCP server a network is no use to the guest."""
    assert set(scope.for_up(lab(), {}, ["web"])) == {
        REALM, "bridge/lan", "address/lan/10.0.0.1/24", "dnsmasq/lan", "tap/web/0", "machine/web", "nic/web/0",
    }  # fmt: skip
    assert set(scope.for_up(lab(), {}, ["db"])) == {
        REALM, "bridge/back", "namespace/back", "address/back/10.0.1.1/24", "dnsmasq/back",
        "tap/db/0", "machine/db", "nic/db/0",
    }  # fmt: skip


def test_up_of_a_guest_leaves_the_others() -> None:
    """What is up already stays."""
    full = lab()
    before = scope.for_up(full, {}, ["web"])
    assert set(scope.for_up(full, before, ["db"])) == set(full)
    assert set(scope.for_down(full, ["web"])) == set(full) - {"tap/web/0", "machine/web", "nic/web/0"}


def test_the_file_s_order_is_kept_when_only_some_are_named() -> None:
    """`status` lists guests as the file does, also after `restart db`."""
    full = lab()
    for name in ("web", "db"):
        assert list(scope.for_up(full, full, [name])) == list(full)


def test_a_nic_that_was_detached_by_hand_leaves_nothing() -> None:
    """Neither its TAP nor its address in the server; its guest's name leads to the other NIC that is there."""
    text = (
        "lab: a\nnetworks: {lan: host-only}\nguests: {web: {kernel: k, nics: [lan, lan]}, db: {kernel: k, nics: [lan]}}"
    )
    wanted = samples.parsed(text)
    left = scope.pulled(wanted, [Change("web", "detach", 0)])
    assert wanted.keys() - left.keys() == {"tap/web/0", "nic/web/0"}
    before, after = wanted["dnsmasq/lan"], left["dnsmasq/lan"]
    assert isinstance(before, Dnsmasq)
    assert isinstance(after, Dnsmasq)
    assert [one.name for one in after.reservations] == ["web", "db"]
    assert dict(before.hosts)["web"] == before.reservations[0].address
    assert dict(after.hosts) == {one.name: one.address for one in after.reservations}
    assert scope.pulled(wanted, [Change("web", "detach", 0), Change("web", "attach", 0)]) == wanted


def test_a_server_that_stays_as_it_is_learns_the_names_all_the_same() -> None:
    """A guest that comes to one network is known by name on the others that it is on: only the rest waits for them."""
    full = lab()
    server = full["dnsmasq/back"]
    assert isinstance(server, Dnsmasq)
    told = replace(server, hosts=(("web", IPv4Address("10.0.1.9")),))
    before = {**full, server.key: replace(server, lease_time_s=7)}
    kept = scope.for_up({**full, server.key: told}, before, ["web"])[server.key]
    assert kept == replace(told, lease_time_s=7)


def test_what_is_left_of_a_down_that_was_cut_off_is_no_edit() -> None:
    """Its guest may be restarted; one of which nothing is known, as the record was lost, may not."""
    full = lab()
    less = scope.for_down(full, ["web"])
    edited = {key: replace(one, memory_bytes=1 << 20) if isinstance(one, Machine) else one for key, one in full.items()}
    assert [scope.is_edit("web", full, before) for before in (full, less, edited, {})] == [False, False, True, True]


def test_what_an_undo_can_make_again() -> None:
    """A NIC is made from its TAP: without that one it cannot be; whatever is there still, or may be tried, stays."""
    whole = samples.parsed(samples.DEMO)
    nic = next(one for one in whole.values() if isinstance(one, Nic) and isinstance(one.backend, TapBackend))
    assert isinstance(nic.backend, TapBackend)
    before = {key: one for key, one in whole.items() if key != nic.backend.tap}
    assert scope.restorable(before, before) == before, "nobody touched it"
    gone = {key: one for key, one in before.items() if key not in (nic.key, f"machine/{nic.guest}")}
    assert before.keys() - scope.restorable(before, gone).keys() == {nic.key}
    assert scope.restorable(whole, {}) == whole
    without = {key: one for key, one in whole.items() if not key.startswith("bridge/lan")}
    assert "dnsmasq/lan" in scope.restorable(without, {}), "it is worth a try"
    dead = {**whole, "outlet": Outlet("shop", answers=False)}
    assert scope.restorable(dead, dead) == dead, "nobody touched it"
    assert scope.restorable(dead, whole)["outlet"] == Outlet("shop"), "a new one answers"
    assert scope.broken(dead) == {"outlet"}
    assert scope.broken(whole) == set()
    assert nic.key in scope.broken(before)


def test_a_repair_leaves_what_only_a_restart_brings_back() -> None:
    """A TAP that is gone is of one NIC: another NIC of the same guest is put back all the same."""
    other = Tap("web", 1, "web.1", "back", "back", "namespace/back")
    known = {**lab(), other.key: other, "nic/web/1": Nic("web", 1, "e1000", "52:54:00:00:00:09", TapBackend(other.key))}
    there = {**known, other.key: replace(other, up=False)}
    del there["tap/web/0"]
    wanted = scope.for_repair(known, there)
    assert wanted.keys() == there.keys()
    assert [key for key in wanted if wanted[key] != there[key]] == [other.key]
    machine = known["machine/web"]
    assert isinstance(machine, Machine)
    there["machine/web"] = replace(machine, cpus=7)
    assert scope.for_repair(known, there) == there, "all of it would be made anew"


def test_cards_of_guests_that_are_not_named_stay() -> None:
    """One that keeps its card would stop them all; what is not a guest's is put right all the same."""
    full = lab()
    nic, server = full["nic/web/0"], full["dnsmasq/lan"]
    assert isinstance(nic, Nic)
    assert isinstance(server, Dnsmasq)
    there = {**full, nic.key: replace(nic, model="rtl8139"), server.key: replace(server, lease_time_s=7)}
    wanted = scope.for_down(full, ["db"])
    assert scope.without_others(["db"], wanted, there) == {**wanted, nic.key: there[nic.key]}
    assert scope.without_others(["web"], full, there) == full
    lost = {key: one for key, one in full.items() if key != "tap/web/0"}
    assert scope.without_others(["db"], wanted, lost).keys() == wanted.keys() - {"tap/web/0"}
    tap = full["tap/web/0"]
    assert isinstance(tap, Tap)
    resized = {**wanted, tap.key: replace(tap, mtu_bytes=1400), nic.key: replace(nic, mtu_bytes=1400)}
    assert scope.without_others(["db"], resized, full) == resized, "what is longer would be lost on the way"
    ended = {key: one for key, one in there.items() if not key.startswith(("machine/web", "nic/web"))}
    assert "machine/web" not in scope.without_others(["db"], full, ended)
    assert scope.without_others([], {}, there) == {}

"""The planner's promises, on labs that are drawn: a plan carried out gives what is wanted, in an order that works."""

from __future__ import annotations

import json
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlan.planning import scope
from qlan.planning.plan import Action, Plan, closure, plan
from qlan.resources.model import Bridge, Machine, Nic, PortForward, Resources, Tap
from qlan.testing import FakeHost
from qlan.topology.model import Realm
from tests import samples

_NETWORK = st.fixed_dictionaries(
    {"kind": st.sampled_from(["private", "host-only"]), "subnet": st.just("10.0.0.0/24")},
    optional={"dhcp": st.booleans(), "mtu": st.sampled_from([1400, 9000])},
)


@st.composite
def labs(draw: st.DrawFn) -> str:
    """The text of a file: some of three networks, some of three guests with some NICs."""
    networks = draw(st.dictionaries(st.sampled_from(["lan", "back", "more"]), _NETWORK))
    for place, network in enumerate(networks.values()):
        network["subnet"] = f"10.0.{place}.0/24"
    nic = st.just({"user": True}) | st.just({"user": True, "forwards": ["auto:22"]})
    if networks:
        nic |= st.fixed_dictionaries(
            {"network": st.sampled_from(sorted(networks))}, optional={"model": st.sampled_from(["e1000", "virtio"])}
        )
    guest = st.fixed_dictionaries({"kernel": st.sampled_from(["old", "new"]), "nics": st.lists(nic, max_size=3)})
    guests = draw(st.dictionaries(st.sampled_from(["web", "db", "box"]), guest))
    return json.dumps({"lab": "drawn", "networks": networks, "guests": guests})


@cache
def expanded(text: str, realm: Realm) -> Resources:
    return samples.parsed(text, realm)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Resources, Resources]:
    """What is wanted, and what another lab in this place left there, with holes torn in it."""
    realm = draw(st.sampled_from(list(Realm)))
    wanted, before = expanded(draw(labs()), realm), expanded(draw(labs()), realm)
    host = FakeHost(before)
    for key in draw(st.sets(st.sampled_from(sorted(before)), max_size=3)) if before else ():
        steps = plan({}, {name: one for name, one in host.read().items() if name == key}).steps
        host.run(steps, {})
    return wanted, host.read()


PAIRS = given(pairs())


def carried_out(todo: Plan, present: Resources) -> Resources:
    """On a host that refuses what has not yet what it needs."""
    host = FakeHost(present)
    host.run(todo.steps, {})
    return host.read()


@PAIRS
def test_a_plan_that_is_carried_out_gives_what_is_wanted(pair: tuple[Resources, Resources]) -> None:
    wanted, present = pair
    assert carried_out(plan(wanted, present), present) == wanted


@PAIRS
def test_what_is_there_already_is_left_alone(pair: tuple[Resources, Resources]) -> None:
    wanted, _ = pair
    assert not plan(wanted, wanted)
    assert plan(wanted, dict(reversed(wanted.items()))) == Plan()


@PAIRS
def test_down_is_a_plan_towards_nothing(pair: tuple[Resources, Resources]) -> None:
    wanted, _ = pair
    todo = plan({}, wanted)
    assert {step.key for step in todo.steps} == set(wanted)
    assert all(step.action is Action.DELETE for step in todo.steps)
    assert carried_out(todo, wanted) == {}


@given(pairs(), st.data())
def test_what_is_to_be_replaced_is_made_anew(pair: tuple[Resources, Resources], data: st.DataObject) -> None:
    present, _ = pair
    if not present:
        return
    keys = frozenset(data.draw(st.sets(st.sampled_from(sorted(present)), min_size=1)))
    todo = plan(present, present, replace=keys)
    for action in (Action.DELETE, Action.CREATE):
        assert {step.key for step in todo.steps if step.action is action} >= keys
    assert carried_out(todo, present) == present


@PAIRS
def test_nothing_goes_while_something_that_stays_needs_it(pair: tuple[Resources, Resources]) -> None:
    """Of what is left at the end, everything has what it needs; and what goes goes before what comes."""
    wanted, present = pair
    todo = plan(wanted, present)
    actions = [step.action for step in todo.steps]
    assert actions == sorted(actions, key=lambda action: action is not Action.DELETE)
    gone = [step.key for step in todo.steps if step.action is Action.DELETE]
    for step in todo.steps:
        if step.implied:
            with_it = {other.key for other in todo.steps if other.action is step.action}
            assert step.implied in with_it, "it is said to come or go with something that does not"
        if step.before is not None and step.action is Action.DELETE:
            needs = [gone.index(need) for need in step.before.needs if need in gone]
            assert all(gone.index(step.key) < place for place in needs), f"{step.key} goes after what it needs"


@PAIRS
def test_a_change_in_place_changes_no_fixed_field(pair: tuple[Resources, Resources]) -> None:
    wanted, present = pair
    for step in plan(wanted, present).steps:
        if step.action is Action.CHANGE:
            assert step.before is not None
            assert step.changes()
            assert not step.changes().keys() & step.before.FIXED


@PAIRS
def test_a_closure_needs_nothing_more(pair: tuple[Resources, Resources]) -> None:
    wanted, _ = pair
    for key in wanted:
        found = closure({key}, wanted)
        assert key in found
        assert all(need in found for one in found for need in wanted[one].needs)
        assert closure(found, wanted) == found


@given(pairs(), st.data())
def test_up_of_some_guests(pair: tuple[Resources, Resources], data: st.DataObject) -> None:
    """They are all there with what they need, and nobody else is touched."""
    full, before = pair
    guests = sorted({one.guest for one in full.values() if isinstance(one, Machine)})
    named = data.draw(st.sets(st.sampled_from(guests))) if guests else set()
    wanted = scope.for_up(full, before, named)
    of_named = scope.of_guests(full, named)
    assert of_named <= wanted.keys()
    assert closure(of_named, wanted) == closure(of_named, full)
    for step in plan(wanted, before).steps:
        guest = scope.guest_of(step.resource)
        if guest is not None and guest not in named:
            assert step.action is not Action.CREATE or step.key in before


@given(pairs(), st.data())
def test_down_of_some_guests(pair: tuple[Resources, Resources], data: st.DataObject) -> None:
    before, _ = pair
    guests = sorted({one.guest for one in before.values() if isinstance(one, Machine)})
    named = data.draw(st.sets(st.sampled_from(guests))) if guests else set()
    todo = plan(scope.for_down(before, named), before)
    assert {step.key for step in todo.steps} == scope.of_guests(before, named)


# --- guests that run while the file was edited

BEFORE = """\
lab: edited
networks: {lan: {kind: private}}
guests:
  web: {kernel: k, nics: [lan]}
  box: {kernel: k, nics: [{user: true, forwards: ["2222:22"]}]}
"""


def edited(old: str, new: str) -> Resources:
    assert BEFORE.count(old) == 1
    return samples.parsed(BEFORE.replace(old, new))


def cut_guests(wanted: Resources, present: Resources) -> dict[str, list[str]]:
    return scope.to_restart(plan(wanted, present), wanted, present)


@pytest.mark.parametrize(
    ("old", "new", "guests"),
    [
        ("2222:22", "2223:22", set()),
        ("web: {kernel: k,", "web: {kernel: other,", {"web"}),
        ("nics: [lan]", "nics: [lan, lan]", set()),
        ("nics: [lan]", "nics: [{network: lan, model: e1000}]", set()),
        ("nics: [lan]", "nics: [lan], memory: 1G", {"web"}),
        ("nics: [lan]", "nics: [{network: lan, link: down, boot: network}]", set()),
        ("{kind: private}", "{kind: private, dhcp: true}", set()),  # a network gets a server: no guest is cut
        ("guests:", "guests:\n  db: {kernel: k, nics: [lan]}", set()),  # a guest more
        ("  web: {kernel: k, nics: [lan]}\n", "", set()),  # a guest less: it ends, it is not restarted
    ],
)
def test_who_must_be_restarted(old: str, new: str, guests: set[str]) -> None:
    present = samples.parsed(BEFORE)
    wanted = edited(old, new)
    cut = cut_guests(wanted, present)
    assert set(cut) == guests
    for guest in cut:
        assert scope.is_edit(guest, wanted, present)
    rest = scope.without(cut, wanted, present)
    assert not any(scope.guest_of(step.resource) in cut for step in plan(rest, present).steps)


def test_a_broken_guest_is_no_edit() -> None:
    """Somebody deleted its TAP: it is cut, and may be restarted without asking, since the file is as it was."""
    wanted = samples.parsed(BEFORE)
    present = {key: one for key, one in wanted.items() if not isinstance(one, Tap) or one.guest != "web"}
    assert set(cut_guests(wanted, present)) == {"web"}
    assert not scope.is_edit("web", wanted, wanted)


def test_who_a_resource_belongs_to() -> None:
    for one in samples.parsed(samples.DEMO).values():
        assert (scope.guest_of(one) is not None) is isinstance(one, Machine | Nic | PortForward | Tap)
        if isinstance(one, Bridge):
            assert scope.guest_of(one) is None

"""Bringing up, changing and taking down on a pretended host that refuses one step after the other."""

import pytest

from qlan.apply import apply
from qlan.errors import ApplyError, DriftError, QlanError, RestoreError
from qlan.planning.plan import plan
from qlan.resources.model import Resources
from qlan.testing import FakeHost
from qlan.topology.model import Realm
from tests import samples

REALMS = pytest.mark.parametrize("realm", list(Realm))
TORN = pytest.mark.parametrize("torn", [False, True], ids=["refused", "half-done"])


def demo(realm: Realm) -> Resources:
    return samples.parsed(samples.DEMO, realm)


@REALMS
def test_up_then_up_again_does_nothing(realm: Realm) -> None:
    host = FakeHost()
    done = apply(demo(realm), host)
    assert len(done.steps) == len(demo(realm))
    assert not apply(demo(realm), host)


@REALMS
def test_down_leaves_nothing(realm: Realm) -> None:
    host = FakeHost(demo(realm))
    apply({}, host)
    assert host.read() == {}


@REALMS
@TORN
def test_a_failure_at_any_step_of_up_leaves_nothing(realm: Realm, torn: bool) -> None:
    wanted = demo(realm)
    for number in range(len(wanted)):
        host = FakeHost(fail_at=number, torn=torn)
        with pytest.raises(ApplyError, match=f"at step {number}"):
            apply(wanted, host)
        assert host.read() == {}, f"left after a failure at step {number}"


@REALMS
@TORN
def test_a_failure_at_any_step_of_down_puts_all_back(realm: Realm, torn: bool) -> None:
    before = demo(realm)
    for number, _ in enumerate(plan({}, before).steps):
        host = FakeHost(before, fail_at=number, torn=torn)
        with pytest.raises(ApplyError):
            apply({}, host)
        assert host.read() == before, f"not put back after a failure at step {number}"


@TORN
def test_a_failure_at_any_step_of_an_edit_puts_all_back(torn: bool) -> None:
    before = demo(Realm.ROOTLESS)
    edited = samples.parsed(samples.DEMO.replace("db: {kernel: vmlinuz, nics: [lan]}", "db: {kernel: vmlinuz}"))
    steps = plan(edited, before).steps
    assert steps
    for number, _ in enumerate(steps):
        host = FakeHost(before, fail_at=number, torn=torn)
        with pytest.raises(ApplyError):
            apply(edited, host)
        assert host.read() == before


@REALMS
@TORN
def test_a_failure_at_any_step_of_a_repair_leaves_what_was_whole(realm: Realm, torn: bool) -> None:
    """One thing is missing, and what needs it is there still: a NIC whose TAP was removed, a TAP without its bridge."""
    wanted = demo(realm)
    for missing in wanted:
        before = {key: one for key, one in wanted.items() if key != missing}
        number = 0
        while True:
            host = FakeHost(before, fail_at=number, torn=torn)
            try:
                apply(wanted, host)
                break
            except ApplyError as error:
                assert not isinstance(error, RestoreError), f"{missing} missing, step {number}: {error}"
                lost = before.keys() - host.read().keys()
                assert lost <= needing(missing, wanted), f"{missing} missing, step {number}"
                assert bool(lost) == ("broken before: " in error.hint)
            assert all(host.read()[key] == one for key, one in before.items() if key not in lost)
            apply(wanted, host)
            assert host.read() == wanted
            number += 1
        assert number > 0


def needing(key: str, wanted: Resources) -> set[str]:
    """What cannot be without it."""
    found = {key}
    while more := {one.key for one in wanted.values() if found & {*one.needs} and one.key not in found}:
        found |= more
    return found


def test_ctrl_c_puts_the_host_back_and_goes_on_up() -> None:
    host = FakeHost()

    def interrupted(steps: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply(demo(Realm.ROOTLESS), host, progress=interrupted)
    assert host.read() == {}


def test_a_host_that_forgets_is_told_as_drift() -> None:
    class Forgetful(FakeHost):
        def read(self) -> Resources:
            return {key: one for key, one in super().read().items() if key != "bridge/lan"}

    with pytest.raises(DriftError, match="bridge/lan"):
        apply(demo(Realm.ROOTLESS), Forgetful())


def test_the_step_s_error_keeps_its_group() -> None:
    with pytest.raises(QlanError) as caught:
        apply(demo(Realm.ROOTLESS), FakeHost(fail_at=0))
    assert caught.value.exit_code == 3  # the kernel's refusal, a HostError

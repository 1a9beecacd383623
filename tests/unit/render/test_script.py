"""What `up` does as a shell script: golden/script/<case>/{before.yaml,qlan.yaml} in both realms.

The script is made of the very commands that `up` runs, so these files are the golden texts of `ip`, `dnsmasq`, `qemu`
and `namespace` too.
"""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from qlan.live import commands
from qlan.planning import text
from qlan.planning.plan import plan
from qlan.render.layout import Layout
from qlan.render.scene import Scene
from qlan.render.script import script
from qlan.resources.model import Resources
from qlan.topology.model import Realm
from qlan.values import replace
from tests import samples
from tests.unit import golden

CASES = pytest.mark.parametrize("case", golden.cases("script"))
REALMS = pytest.mark.parametrize("realm", list(Realm))


def script_of(case: str, realm: Realm) -> str:
    wanted = samples.parsed(golden.text_of("script", case, "qlan.yaml"), realm)
    before = golden.text_of("script", case, "before.yaml")
    return script_to(wanted, samples.parsed(before, realm) if before else {}, realm, case)


def script_to(wanted: Resources, before: Resources, realm: Realm, lab: str) -> str:
    todo = plan(wanted, before)
    layout = Layout(Path("/run/user/1000/qlan"), Path("/home/me/.local/state/qlan"), lab)
    rootless = realm is Realm.ROOTLESS
    lines = commands(todo.steps, Scene(layout, wanted, rootless))
    return script(lines, layout, rootless=rootless, plan=text.lines(todo), python="/usr/bin/python3")


@CASES
@REALMS
def test_the_script(case: str, realm: Realm) -> None:
    golden.compare(script_of(case, realm), samples.GOLDEN / "script" / case / f"{realm}.sh")


@CASES
@REALMS
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_can_read_it(case: str, realm: Realm, shell: str) -> None:
    done = subprocess.run([shell, "-n"], input=script_of(case, realm), text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@REALMS
@pytest.mark.parametrize("case", golden.cases("expand"))
def test_every_kind_of_network_can_be_made_and_taken_away_by_a_script(
    case: str, realm: Realm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "FACTS", replace(samples.FACTS, uplinks=("eth0",), uplinks6=("eth0",)))
    if not golden.text_of("expand", case, f"{realm}.json"):
        pytest.skip(f"{case} is not for the realm {realm}")
    there = samples.parsed(golden.text_of("expand", case, "qlan.yaml"), realm)
    for before, wanted in (({}, there), (there, {})):
        made = script_to(wanted, before, realm, case)
        done = subprocess.run(["sh", "-n"], input=made, text=True, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_sh_n_notices_a_script_that_is_cut_off() -> None:
    text = script_of("up", Realm.ROOTLESS)
    cut = text[: text.index("pid_of() {") + 12]
    assert subprocess.run(["sh", "-n"], input=cut, text=True, capture_output=True, check=False).returncode != 0


@CASES
@REALMS
def test_what_a_shell_makes_of_the_words_is_what_up_runs(case: str, realm: Realm) -> None:
    """Every word that QEMU gets comes out of the quoting as it went in."""
    wanted = samples.parsed(golden.text_of("script", case, "qlan.yaml"), realm)
    layout = Layout(Path("/r"), Path("/s"), case)
    scene = Scene(layout, wanted, realm is Realm.ROOTLESS)
    for command in commands(plan(wanted, {}).steps, scene):
        if hasattr(command, "argv"):
            assert shlex.split(shlex.join(command.argv)) == list(command.argv)
            if type(command).__name__ == "Boot":
                text = script([command], layout, rootless=scene.rootless, plan=[], python="python3")
                call = text[text.index("python3 -m") : text.index(" <<END")]
                assert shlex.split(call.replace("\\\n", " "))[-len(command.argv) :] == list(command.argv)

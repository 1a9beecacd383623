"""A fault at every single command of bringing the demo lab up and taking it down, against the real kernel.

Run as an ordinary user this is the rootless realm, run as root the host realm (in a namespace of the test's own).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from .place import IS_ROOT, REALM, Place

HERE = Path(__file__).parent


def at(place: Place, lab: Path, verb: str, how: str, number: int) -> tuple[int, int]:
    """Exit status and the number of commands begun."""
    done = place.run(sys.executable, str(HERE / "lab_at.py"), str(lab), verb, how, str(number), check=False)
    assert "Traceback" not in done.stderr, done.stderr
    if how == "count":
        assert done.returncode == 0, done.stderr
    return done.returncode, int(done.stdout or 0)


def count(place: Place, lab: Path, verb: str) -> int:
    return at(place, lab, verb, "count", -1)[1]


def test_refused_at_every_command_of_up(place: Place, lab: Path) -> None:
    total = count(place, lab, "up")
    count(place, lab, "down")
    empty = place.snapshot()
    assert empty["processes"] == []
    steps = [step for step in place.plan(lab) if step.split()[1].partition("/")[0] not in ("nic", "forward")]
    assert total >= len(steps) > 0, "a step takes a command at least, but for what is on a machine's command line"
    for number in range(total):
        status, _ = at(place, lab, "up", "fail", number)
        assert status == 3, f"command {number}"
        assert place.snapshot() == empty, f"after a refusal at command {number} of {total}"


def test_killed_at_every_command_of_up_then_down_leaves_nothing(place: Place, lab: Path) -> None:
    total = count(place, lab, "up")
    count(place, lab, "down")
    empty = place.snapshot()
    for number in range(total):
        status, _ = at(place, lab, "up", "kill", number)
        assert status == -9
        count(place, lab, "down")
        assert place.snapshot() == empty, f"killed at command {number} of {total}"


def test_killed_at_every_command_of_up_then_up_completes(place: Place, lab: Path) -> None:
    total = count(place, lab, "up")
    full = kernel_view(place)
    count(place, lab, "down")
    for number in range(total):
        status, _ = at(place, lab, "up", "kill", number)
        assert status == -9
        count(place, lab, "up")
        assert kernel_view(place) == full, f"killed at command {number} of {total}, {REALM}"
        assert place.plan(lab) == [], f"killed at command {number} of {total}: a second up had something to do"
        count(place, lab, "down")


def test_killed_at_every_command_of_down_then_down_leaves_nothing(place: Place, lab: Path) -> None:
    count(place, lab, "up")
    total = count(place, lab, "down")
    empty = place.snapshot()
    for number in range(total):
        count(place, lab, "up")
        status, _ = at(place, lab, "down", "kill", number)
        assert status == -9
        count(place, lab, "down")
        assert place.snapshot() == empty, f"killed at command {number} of {total}"


def test_refused_at_every_command_of_down_is_put_back(place: Place, lab: Path) -> None:
    count(place, lab, "up")
    full = kernel_view(place)
    total = count(place, lab, "down")
    for number in range(total):
        count(place, lab, "up")
        status, _ = at(place, lab, "down", "fail", number)
        assert status == 3, f"command {number}"
        assert kernel_view(place) == full, f"after a refusal at command {number} of {total} of down"
        assert place.plan(lab) == [], "the lab was not put back whole"
    count(place, lab, "down")


def faults_at_commands(place: Place, lab: Path, verb: str, *, most: int = 10_000) -> None:
    """Each command of `up` or `down` refused, which is put back, and killed at, which the next `up` completes.

    most: only so many, the last of `up` and the first of `down`.
    """
    total = count(place, lab, "up")
    full = kernel_view(place)
    down = count(place, lab, "down")
    empty = place.snapshot()
    assert empty["processes"] == []
    for number in range(max(0, total - most), total) if verb == "up" else range(min(most, down)):
        if verb == "down":
            count(place, lab, "up")
        assert at(place, lab, verb, "fail", number)[0] == 3
        if verb == "up":
            assert place.snapshot() == empty, f"refused at command {number} of {total}"
        else:
            assert kernel_view(place) == full, f"refused at command {number} of {down} of down"
        assert at(place, lab, verb, "kill", number)[0] == -9
        count(place, lab, "up")
        assert kernel_view(place) == full, f"killed at command {number} of {verb}"
        assert place.plan(lab) == []
        count(place, lab, "down")
        assert place.snapshot() == empty, f"killed at command {number} of {verb}"


@pytest.mark.parametrize("damage", ["link del dev {tap}", "address del dev {bridge} {address6}"])
def test_a_repair_refused_at_every_command_leaves_what_was_whole(place: Place, lab: Path, damage: str) -> None:
    """With a guest more in the file, so that the server changes too.  Who lost a TAP has to be restarted: that NIC
    cannot be put back, and the rest is, as is a server whose bridge lost the address of one family.
    """
    two = "  two: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [lan]}\n"
    text = lab.read_text()
    count(place, lab, "up")
    full = kernel_view(place)
    number, status = 0, 3
    while status == 3:
        place.run(*_enter(place), "ip", *damage.format(**_targets(place)).split())
        said = "restarted by `qlan up`, since something of it is gone: web"
        assert (said in place.qlan("plan").stdout) == ("{tap}" in damage)
        lab.write_text(text + two)
        status, _ = at(place, lab, "up", "fail", number)
        lab.write_text(text)
        assert status == 0 or kernel_view(place)["processes"] == full["processes"], f"refused at command {number}"
        count(place, lab, "up")
        assert kernel_view(place) == full
        assert place.plan(lab) == []
        number += 1
    assert status == 0
    assert number > 10
    count(place, lab, "down")
    assert place.processes() == []


def _targets(place: Place) -> dict[str, str]:
    rows = json.loads(place.run(*_enter(place), "ip", "-j", "-d", "address").stdout)
    links = {row["ifalias"]: row for row in rows if "ifalias" in row}
    bridge = links["qlan:demo:bridge/lan"]
    inside = [one for one in bridge["addr_info"] if one["family"] == "inet6" and one["scope"] == "global"]
    return {
        "tap": links["qlan:demo:tap/web/0"]["ifname"],
        "bridge": bridge["ifname"],
        "address6": "{local}/{prefixlen}".format(**inside[0]) if inside else "",
    }


def _enter(place: Place) -> tuple[str, ...]:
    """The words that run what follows in the lab's network."""
    record = place.run_dir / "demo" / "namespace" / "realm"
    if IS_ROOT or not record.exists():
        return ()
    return ("nsenter", f"--target={record.read_text().split()[0]}", "--user", "--net", "--preserve-credentials")


def kernel_view(place: Place) -> dict[str, object]:
    """Links of the lab by name and state, and which kinds of processes run: what must come out the same each time."""
    enter = _enter(place)
    links = place.run(*enter, "ip", "-br", "link").stdout.splitlines()
    return {
        "links": sorted(line.split()[0].partition("@")[0] for line in links),
        "addresses": sorted(place.run(*enter, "ip", "-br", "-4", "address").stdout.split()),
        "processes": sorted(words.split()[0] for _, words in place.processes() if not words.startswith("sh ")),
    }

"""A lab of many NICs: a TAP each is open while it starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .place import IS_ROOT, Place

GUESTS, NICS = 3, 20
USER = f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}\n" if IS_ROOT else ""
LAB = f"lab: many\n{USER}networks:\n  lan: {{kind: host-only, dhcp: false}}\nguests:\n" + "".join(
    f"  g{guest}: {{qemu_args: [-S], memory: 16M, accel: tcg, nics: [{', '.join(['lan'] * NICS)}]}}\n"
    for guest in range(GUESTS)
)


def test_more_taps_than_files_may_be_open(place: Place) -> None:
    """The soft limit is raised as far as is needed; a hard one is explained, and nothing is left."""
    (place.folder / "qlan.yaml").write_text(LAB)
    before = place.snapshot()
    up = f"exec {sys.executable} -m qlan up --no-wait"
    hard = place.run("sh", "-c", f"ulimit -n 40; {up}", check=False)
    assert hard.returncode == 3
    assert "raise the hard limit" in hard.stderr
    assert place.snapshot() == before
    place.run("sh", "-c", f"ulimit -Sn 40; {up}")
    assert place.plan(place.folder / "qlan.yaml") == []
    place.qlan("down", "--force")
    assert place.snapshot() == before


def test_one_guest_s_taps_go_together_and_the_others_stay(place: Place) -> None:
    """By force, and after it was asked in vain: all of what a guest has goes, and nothing of its neighbours."""
    file = place.folder / "qlan.yaml"
    file.write_text(LAB)
    before = place.snapshot()
    place.qlan("up", "--no-wait")
    place.qlan("down", "--force", "g0")
    assert missing(place, file) == {"g0"}
    place.qlan("up", "--no-wait")
    place.qlan("down", "--grace", "1", "g1", "g2")  # paused, they hear no button
    assert missing(place, file) == {"g1", "g2"}
    place.qlan("down", "--force")
    assert place.snapshot() == before


def test_a_ctrl_c_while_taps_go_leaves_no_guest_without_them(place: Place) -> None:
    """It comes while they are being removed, from an `ip` that sends it; the guests are as before then, with all."""
    file = place.folder / "qlan.yaml"
    file.write_text(LAB)
    place.qlan("up", "--no-wait")
    between = place.folder / "bin" / "ip"
    between.parent.mkdir()
    real = place.run("sh", "-c", "command -v ip").stdout.strip()
    between.write_text(f"""#!/bin/sh
case " $* " in *" -force "*) echo >>{place.folder}/hit; kill -INT $PPID; sleep 0.2 ;; esac
exec {real} "$@"
""")
    between.chmod(0o755)
    path = f"PATH={between.parent}:{os.environ['PATH']}"
    done = place.run("env", path, sys.executable, "-m", "qlan", "down", "--force", "g0", "g1", check=False)
    assert (place.folder / "hit").exists()
    assert done.returncode == 130, done.stderr
    assert place.plan(file) == []
    place.qlan("down", "--force")


def missing(place: Place, file: Path) -> set[str]:
    """The guests of which something is not there; all of their TAPs then."""
    lines = place.plan(file)
    found = {line.split()[1].split("/")[1] for line in lines}
    taps = [line for line in lines if line.startswith("+ tap/")]
    assert len(taps) == NICS * len(found)
    return found

"""`qlan plan --script`: the script does what `up` does, without qlan's planner, and qlan knows its work."""

from __future__ import annotations

from pathlib import Path

from .place import Place
from .test_faults import kernel_view


def test_the_script_is_up(place: Place, lab: Path) -> None:
    script = place.folder / "up.sh"
    script.write_text(place.qlan("plan", "--script", "-f", str(lab)).stdout)
    place.run("sh", str(script))
    assert place.plan(lab) == []
    by_script = kernel_view(place)
    place.qlan("down", "--force", "-f", str(lab))
    assert place.processes() == []
    assert not place.run_dir.exists()
    place.qlan("up", "--no-wait", "-f", str(lab))
    assert kernel_view(place) == by_script
    place.qlan("down", "--force", "-f", str(lab))

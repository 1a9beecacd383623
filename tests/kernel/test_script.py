"""`qlan plan --script`: the script does what `up` does, without qlan's planner, and qlan knows its work."""

from __future__ import annotations

import json
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


def test_who_waits_for_a_restart_waits_and_who_lost_something_is_made_anew(place: Place, lab: Path) -> None:
    place.qlan("up", "--no-wait")

    def by_script(text: str) -> int:
        lab.write_text(text)
        script = place.folder / "edit.sh"
        script.write_text(place.qlan("plan", "--script").stdout)
        place.run("sh", str(script))
        status = json.loads(place.qlan("status", "--json").stdout)["labs"][0]
        return int(next(guest["pid"] for guest in status["guests"] if guest["name"] == "web"))

    text = lab.read_text()
    first = by_script(text)
    assert by_script(text.replace("web: {qemu_args: [-S], memory: 16M", "web: {qemu_args: [-S], memory: 24M")) == first
    assert "waits for `qlan up --restart`: web" in place.qlan("plan").stdout
    place.in_lab("ip", "link", "del", next(one for one in place.links() if one.startswith("web.0")))
    assert by_script(text) != first
    assert place.plan(lab) == []
    place.qlan("down", "--force")
    assert place.processes() == []

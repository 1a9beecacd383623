"""Records that were lost or damaged under a running lab: what runs is found all the same, and nothing is left."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from .place import IS_ROOT, Place

LAB_AT = Path(__file__).with_name("lab_at.py")
RECORDS = (
    "lab.json",
    "guest",
    "guest/web/guest.json",
    "guest/web/process",
    "dnsmasq",
    "dnsmasq/lan/resource.json",
    "dnsmasq/lan/pid",
    "namespace/back",
    *(() if IS_ROOT else ("namespace/realm",)),
)
GARBAGE = ("", '{"garbage":', "[]", '{"lab": 3, "realm": "x", "source": 5, "digest": 0, "wanted": 7}')


def damage(path: Path, how: str | None) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    elif how is None:
        path.unlink()
    else:
        path.write_text(how)


@pytest.mark.parametrize("how", [None, *GARBAGE])
def test_a_damaged_record_of_the_lab_is_no_reason_to_leave_anything(place: Place, lab: Path, how: str | None) -> None:
    empty = place.snapshot()
    place.qlan("up", "--no-wait")
    damage(place.run_dir / "demo" / "lab.json", how)
    if how is not None:
        assert "not readable" in place.qlan("status").stdout
        assert place.qlan("up", "--no-wait", "--restart").returncode == 0
        assert place.plan(lab) == []
        damage(place.run_dir / "demo" / "lab.json", how)
    place.qlan("down", "--force")
    assert place.snapshot() == empty


@pytest.mark.parametrize("how", [None, GARBAGE[1]])
def test_a_lab_without_its_record_has_its_own_ports(place: Place, lab: Path, how: str | None) -> None:
    """Its relay and its QEMU are not somebody else who has taken them."""
    text = lab.read_text().replace("nics: [lan, {", "nics: [{network: lan, forwards: ['28470:22']}, {")
    lab.write_text(text.replace("auto:22", "auto:22', '28471:23").replace('"', "'"))
    empty = place.snapshot()
    place.qlan("up", "--no-wait")
    ports = place.qlan("forward", "list").stdout
    assert "28470" in ports
    assert "28471" in ports
    damage(place.run_dir / "demo" / "lab.json", how)
    place.qlan("up", "--no-wait")
    assert (place.qlan("forward", "list").stdout, place.plan(lab)) == (ports, [])
    place.qlan("down", "--force")
    assert place.snapshot() == empty


@pytest.mark.parametrize("record", RECORDS[1:])
@pytest.mark.parametrize("verb", ["up", "down"])
def test_what_lost_its_record_is_found_and_ended(place: Place, lab: Path, record: str, verb: str) -> None:
    empty = place.snapshot()
    place.qlan("up", "--no-wait")
    running = len(place.processes())
    damage(place.run_dir / "demo" / record, GARBAGE[1])
    if verb == "up":
        place.run(sys.executable, str(LAB_AT), str(lab), "up", "count", "-1")  # it gives guests no grace
        assert place.plan(lab) == []
        assert len(place.processes()) == running
    place.qlan("down", "--force")
    assert place.snapshot() == empty


@pytest.mark.parametrize("verb", ["up", "down"])
@pytest.mark.parametrize("root", [True, False], ids=["all labs' folder", "the lab's folder"])
def test_a_lab_whose_folder_was_removed_is_found_and_ended(place: Place, lab: Path, verb: str, root: bool) -> None:
    """What cleans up /tmp does so: the processes go on, and say themselves whose they are."""
    empty = place.snapshot()
    place.qlan("up", "--no-wait")
    running = len(place.processes())
    shutil.rmtree(place.run_dir if root else place.run_dir / "demo")
    if verb == "up":
        place.run(sys.executable, str(LAB_AT), str(lab), "up", "count", "-1")  # it gives guests no grace
        assert len(place.processes()) == running, "nothing is there twice"
        guests = {line.split()[1].split("/")[1] for line in place.plan(lab)}
        assert guests == {"web", "box"}, "they run on, and nobody knows how they were started: that waits for --restart"
    place.qlan("down", "--force")
    assert place.snapshot() == empty

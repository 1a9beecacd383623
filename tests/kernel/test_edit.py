"""The file is edited while the lab is up: what cannot be done to a running guest is said, and nothing is cut off."""

from __future__ import annotations

import json
from pathlib import Path

from .place import Place

SWAPPED = """\
networks:
  one: {kind: host-only, subnet: 10.71.0.0/24}
  two: {kind: host-only, subnet: 10.72.0.0/24}
"""


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def test_a_network_of_another_kind_needs_a_restart(place: Place, lab: Path) -> None:
    place.qlan("up", "--no-wait")
    there = place.processes()
    edit(lab, "back: {kind: private", "back: {kind: host-only")
    done = place.qlan("up", "--no-wait", check=False)
    assert done.returncode == 4
    assert "guest `web` runs" in done.stderr
    assert "--restart" in done.stderr
    assert place.processes() == there
    assert json.loads(place.qlan("status", "--json").stdout)["labs"][0]["drift"] == []
    place.qlan("down", "--force")


def test_a_network_that_is_dropped_stays_for_who_runs_on_it(place: Place, lab: Path) -> None:
    place.qlan("up", "--no-wait")
    edit(lab, "  back: {kind: private, dhcp: true}\n", "")
    edit(lab, ", {network: back, model: e1000, link: down}", "")
    done = place.qlan("up", "--no-wait", check=False)
    assert done.returncode == 8
    assert "the guest does not let go of nic1 within 10 s" in done.stderr, "nobody is in this guest to do so"
    [status] = json.loads(place.qlan("status", "--json").stdout)["labs"]
    web = next(guest for guest in status["guests"] if guest["name"] == "web")
    assert [nic["network"] for nic in web["nics"]] == ["lan", "back"]
    assert status["drift"] == []
    place.qlan("restart", "web", "--force", "--no-wait")
    place.qlan("up", "--no-wait")
    assert place.plan(lab) == []
    place.qlan("down", "--force")
    assert place.processes() == []


def test_the_lab_s_name_cannot_change_while_it_is_up(place: Place, lab: Path) -> None:
    place.qlan("up", "--no-wait")
    edit(lab, "lab: demo", "lab: other")
    done = place.qlan("up", "--no-wait", check=False)
    assert done.returncode == 4
    assert "qlan down -l demo" in done.stderr
    place.qlan("down", "--force")
    assert place.processes() == []


def test_an_edit_is_seen_whatever_was_done_since(place: Place, lab: Path) -> None:
    place.qlan("up", "--no-wait")
    edit(lab, "16M", "24M")
    place.qlan("down", "box", "--force")
    assert "edited:" in place.qlan("status").stdout
    place.qlan("down", "--force")


def test_a_bridge_without_its_mark_is_marked_again_and_taken_back(place: Place, lab: Path) -> None:
    empty = place.snapshot()
    place.qlan("up", "--no-wait")
    [name] = [
        one.partition("@")[0] for one in place.qlan("exec", "--", "sh", "-c", LINKS).stdout.split() if "lan" in one
    ]
    for restored in (True, False):
        place.qlan("exec", "--", "ip", "link", "set", "dev", name, "alias", "")
        if restored:
            place.qlan("up", "--no-wait")
            assert place.plan(lab) == []
            assert "qlan:demo:bridge/lan" in place.qlan("exec", "--", "ip", "link", "show", "dev", name).stdout
    place.qlan("down", "--force")
    assert place.snapshot() == empty


LINKS = "ip -br link show type bridge | cut -d' ' -f1"


def test_a_lab_s_name_is_no_way_out_of_its_folder(place: Place, lab: Path) -> None:
    """`down` removes the lab's folder: of what is no name nothing is made into a path."""
    precious = place.folder / "precious"
    precious.mkdir()
    edit(lab, "lab: demo", "lab: ../precious")
    for words in (("up", "--no-wait"), ("down",), ("down", "--forget"), ("restart", "web"), ("status",), ("plan",)):
        done = place.qlan(*words, check=False)
        assert (done.returncode == 2) == (words[0] != "status"), words
    assert precious.is_dir()
    assert not place.run_dir.exists()


def test_a_qemu_that_finds_no_slot_for_its_last_nic_has_not_started(place: Place, lab: Path) -> None:
    """Its QMP greets before devices are made."""
    edit(lab, "nics: [lan, ", f"nics: [{'lan, ' * 31}")
    done = place.qlan("up", "--no-wait", check=False)
    assert done.returncode == 3
    assert "QEMU does not start: -device virtio-net-pci" in done.stderr
    assert place.processes() == []


def test_a_folder_is_no_disk(place: Place, lab: Path) -> None:
    edit(lab, "web: {", "web: {disk: /tmp, ")
    done = place.qlan("up", "--no-wait", check=False)
    assert done.returncode == 2
    assert "the disk `/tmp` is a folder" in done.stderr


def test_two_networks_change_places(place: Place, lab: Path) -> None:
    """Each server gets the address that the other one has."""
    lab.write_text(lab.read_text().split("networks:")[0] + SWAPPED)
    place.qlan("up")
    for number in ("1", "2", "1"):
        other = "2" if number == "1" else "1"
        edit(lab, f"one: {{kind: host-only, subnet: 10.7{number}.", f"one: {{kind: host-only, subnet: 10.7{other}.")
        edit(lab, f"two: {{kind: host-only, subnet: 10.7{other}.", f"two: {{kind: host-only, subnet: 10.7{number}.")
        place.qlan("up")
        assert place.plan(lab) == []
        assert f"served by 10.7{other}.0.1" in place.qlan("show", "one").stdout
    place.qlan("down", "--force")


def test_a_bridge_keeps_its_mtu_when_its_last_guest_goes(place: Place, lab: Path) -> None:
    """Of itself a bridge has what its ports have, and 1500 without one."""
    edit(lab, "back: {kind: private", "back: {kind: private, mtu: 9000")
    place.qlan("up", "--no-wait")
    place.qlan("down", "--force", "web")
    [status] = json.loads(place.qlan("status", "--json").stdout)["labs"]
    assert status["drift"] == []
    place.qlan("up", "--no-wait")
    assert place.plan(lab) == []
    place.qlan("down", "--force")

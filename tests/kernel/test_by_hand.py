"""What was changed by hand outlasts `up`, until it is taken back or the file changes that guest."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from .place import IS_ROOT, Place
from .test_edit import edit

LAB = """\
lab: demo
%s
networks:
  lan: {kind: host-only, subnet: 10.88.0.0/24}
  back: private
guests:
  web: {qemu_args: [-S], memory: 16M, accel: tcg, hotplug: 2, nics: [{network: lan, model: usb}]}
  box: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [lan]}
"""


@pytest.fixture
def lab(place: Place) -> Path:
    file = place.folder / "qlan.yaml"
    file.write_text(LAB % (f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}" if IS_ROOT else ""))
    place.qlan("up", "--no-wait")
    place.qlan("nic", "attach", "demo/web", "back", "--model", "usb")
    place.qlan("forward", "add", "web", "28461:22")
    place.qlan("forward", "add", "web", "5432:5432", "--reverse")
    place.qlan("nic", "down", "demo/box/0")
    return file


def state(place: Place) -> dict[str, Any]:
    """Of both guests: NICs with their cables; forwards; what is said to be by hand."""
    [one] = json.loads(place.qlan("status", "--json").stdout)["labs"]
    assert one["drift"] == []
    ways = json.loads(place.qlan("forward", "list", "--json").stdout)
    return {
        "nics": {guest["name"]: [(nic["network"], nic["link"]) for nic in guest["nics"]] for guest in one["guests"]},
        "ways": sorted(row["host_port"] for row in ways["forwards"]) + sorted(row["port"] for row in ways["reverse"]),
        "by hand": sorted(line.split()[0] for line in one["by_hand"]) + sorted(one["unsaved"]),
    }


BY_HAND = {
    "nics": {"web": [("lan", "up"), ("back", "up")], "box": [("lan", "down")]},
    "ways": [28461, 5432],
    "by hand": ["box/0", "web/1", "+ port/web/0/tcp:127.0.0.1:28461", "+ reverse/web/0/tcp:10.88.0.1:5432"],
}
AS_FILE = {"nics": {"web": [("lan", "up")], "box": [("lan", "up")]}, "ways": [], "by hand": []}


def test_it_outlasts_up_and_goes_with_discard(place: Place, lab: Path) -> None:
    assert state(place) == BY_HAND
    qemus = [one for one in place.processes() if "qemu-system" in one[1].split()[0]]
    assert place.plan(lab) == []
    said = place.qlan("up", "--no-wait").stdout
    assert "nothing to do" in said
    assert "by hand, not in the file: " in said
    assert "web/1 attached to back" in said
    assert state(place) == BY_HAND
    place.qlan("up", "--no-wait", "web")
    assert state(place) == BY_HAND
    assert "- nic/web/1" in place.qlan("plan", "--discard").stdout
    place.qlan("up", "--no-wait", "--discard")
    assert state(place) == AS_FILE
    assert qemus == [one for one in place.processes() if "qemu-system" in one[1].split()[0]], "nobody was restarted"
    assert place.plan(lab) == []
    place.qlan("down", "--force")
    assert place.processes() == []


def test_where_the_file_changes_the_guest_the_file_counts(place: Place, lab: Path) -> None:
    lab.write_text(lab.read_text() + "# a word\n")
    place.qlan("up", "--no-wait")
    assert state(place) == BY_HAND, "an edit that means nothing"
    edit(lab, "back: private", "back: private\n  more: private")
    place.qlan("up", "--no-wait")
    assert state(place) == BY_HAND, "an edit of something else"
    edit(lab, "nics: [lan]", "nics: [{network: lan, rate: 8mbit}]")
    place.qlan("up", "--no-wait")
    assert state(place)["nics"] == {"web": [("lan", "up"), ("back", "up")], "box": [("lan", "up")]}, "of this guest"
    edit(lab, "  back: private\n", "")
    place.qlan("up", "--no-wait")
    assert state(place) == AS_FILE, "its network is gone, and its guest is as the file says"
    place.qlan("down", "--force")
    assert place.processes() == []


def test_a_restart_keeps_it_and_a_new_start_does_not(place: Place, lab: Path) -> None:
    place.qlan("restart", "web", "--force", "--no-wait")
    assert state(place) == BY_HAND
    place.qlan("down", "web", "--force")
    place.qlan("up", "--no-wait")
    assert state(place)["nics"]["web"] == [("lan", "up")]
    assert state(place)["ways"] == []
    assert state(place)["by hand"] == ["box/0"]
    place.qlan("down", "--force")
    assert place.processes() == []


def fresh(place: Place, lab: Path, *edits: tuple[str, str]) -> None:
    """From the start, by another file."""
    place.qlan("down", "--force")
    lab.write_text(LAB % (f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}" if IS_ROOT else ""))
    for old, new in edits:
        edit(lab, old, new)
    place.qlan("up", "--no-wait")


def test_the_file_counts_also_where_the_change_would_hide_its_edit(place: Place, lab: Path) -> None:
    card = "{network: lan, model: usb}"
    fresh(place, lab)
    place.qlan("nic", "attach", "demo/web", "back", "--model", "usb")
    edit(lab, f"nics: [{card}]", f"nics: [{card}, {card}]")
    place.qlan("up", "--no-wait")
    assert state(place)["nics"]["web"] == [("lan", "up"), ("lan", "up")], "the place of the one by hand"
    assert state(place)["by hand"] == []
    place.qlan("nic", "detach", "demo/web/1")
    edit(lab, f"nics: [{card}, {card}]", f"nics: [{card}]")
    place.qlan("up", "--no-wait")
    assert state(place)["nics"]["web"] == [("lan", "up")], "the file catches up"
    assert state(place)["by hand"] == []
    place.qlan("nic", "move", "demo/web/0", "back")
    edit(lab, "network: lan, model", "network: more, model")
    edit(lab, "  back: private\n", "  back: private\n  more: private\n")
    place.qlan("up", "--no-wait")
    assert state(place)["nics"]["web"] == [("more", "up")]
    place.qlan("nic", "move", "demo/web/0", "back")
    edit(lab, card.replace("lan", "more"), "{network: lan, model: usb, forwards: ['28461:22']}")
    place.qlan("up", "--no-wait")
    assert (state(place)["nics"]["web"], state(place)["ways"]) == ([("lan", "up")], [28461])
    place.qlan("forward", "remove", "web", "28461")
    place.qlan("up", "--no-wait")
    assert state(place)["ways"] == [], "what was closed by hand stays closed"
    edit(lab, ", forwards: ['28461:22']", "")
    place.qlan("up", "--no-wait")
    edit(lab, card, "{network: lan, model: usb, forwards: ['28461:22']}")
    place.qlan("up", "--no-wait")
    assert state(place)["ways"] == [28461], "taken out of the file and written again"
    place.qlan("down", "--force")
    assert place.processes() == []


def test_an_edit_counts_whoever_is_served_first(place: Place, lab: Path) -> None:
    edit(lab, "nics: [lan]", "nics: [{network: lan, rate: 8mbit}]")
    place.qlan("up", "--no-wait", "web")
    assert state(place)["nics"]["box"] == [("lan", "down")], "it was not asked for"
    place.qlan("up", "--no-wait")
    assert state(place)["nics"]["box"] == [("lan", "up")]
    edit(lab, "model: usb}", "model: usb, rate: 8mbit}")
    place.qlan("nic", "down", "demo/box/0")
    place.qlan("up", "--no-wait")
    assert state(place)["nics"] == {"web": [("lan", "up")], "box": [("lan", "down")]}
    edit(
        lab,
        "memory: 16M, accel: tcg, nics: [{network: lan, rate",
        "memory: 24M, accel: tcg, nics: [{network: lan, rate",
    )
    assert "to restart it" in place.qlan("up", "--no-wait").stdout
    place.qlan("up", "--no-wait", "--restart")
    assert state(place)["nics"]["box"] == [("lan", "up")], "it was put off, not forgotten"
    place.qlan("down", "--force")
    assert place.processes() == []


def test_what_comes_to_nothing_is_nothing(place: Place, lab: Path) -> None:
    fresh(place, lab)
    for words in (
        ("down", "demo/box/0"),
        ("up", "demo/box/0"),
        ("move", "demo/web/0", "back"),
        ("move", "demo/web/0", "lan"),
    ):
        place.qlan("nic", *words)
    assert state(place) == AS_FILE
    place.qlan("forward", "add", "web", "28461:22")
    edit(lab, "network: lan, model: usb", "network: lan, model: usb, forwards: ['28461:22']")
    place.qlan("up", "--no-wait")
    assert state(place)["ways"] == [28461]
    assert state(place)["by hand"] == [], "the file has it now"
    place.qlan("nic", "move", "demo/web/0", "back", check=False)
    place.qlan("up", "--no-wait", "--discard")
    assert "by hand" not in place.qlan("up", "--no-wait", "--discard").stdout
    fresh(place, lab)
    place.qlan("forward", "add", "web", "28461:22")
    place.qlan("nic", "move", "demo/web/0", "back")
    place.qlan("nic", "move", "demo/web/0", "lan")
    assert state(place) == AS_FILE, "a forward goes with its NIC"
    place.qlan("down", "--force")
    assert place.processes() == []


def test_bad_links_are_no_edit(place: Place, lab: Path) -> None:
    place.qlan("impair", "demo/web/0", "--rate", "8mbit")
    lab.write_text(lab.read_text() + "# a word\n")
    place.qlan("up", "--no-wait")
    assert state(place) == BY_HAND
    place.qlan("down", "--force")


def test_a_port_that_was_closed_stays_closed_on_another_network(place: Place, lab: Path) -> None:
    fresh(place, lab, ("{network: lan, model: usb}", "{user: true, model: usb, forwards: ['28461:22']}"))
    assert state(place)["ways"] == [28461]
    closed = json.loads(place.qlan("forward", "remove", "web", "28461", "28461/tcp", "--json").stdout)["remove"]
    assert [one["host_port"] for one in closed] == [28461], "said twice, closed once"
    place.qlan("nic", "move", "demo/web/0", "lan")
    assert state(place)["ways"] == []
    place.qlan("down", "--force")


def test_a_port_of_the_file_that_leads_elsewhere(place: Place, lab: Path) -> None:
    """Closed, and opened again with another target: that is by hand, too, and outlasts `up`."""
    fresh(place, lab, ("{network: lan, model: usb}", "{network: lan, model: usb, forwards: ['28461:22']}"))
    port = "port/web/0/tcp:127.0.0.1:28461"

    def leads() -> tuple[list[int], list[str]]:
        rows = json.loads(place.qlan("forward", "list", "--json").stdout)["forwards"]
        return [row["guest_port"] for row in rows], state(place)["by hand"]

    place.qlan("forward", "remove", "web", "28461")
    place.qlan("forward", "add", "web", "28461:80")
    assert leads() == ([80], [f"~ {port}"])
    for _ in range(2):
        place.qlan("up", "--no-wait")
        assert leads() == ([80], [f"~ {port}"])
    place.qlan("forward", "remove", "web", "28461")
    assert leads() == ([], [f"- {port}"])
    place.qlan("up", "--no-wait")
    assert leads() == ([], [f"- {port}"])
    place.qlan("forward", "add", "web", "28461:22")
    assert leads() == ([22], []), "as the file has it"
    place.qlan("forward", "remove", "web", "28461")
    place.qlan("forward", "add", "web", "28461:80")
    place.qlan("up", "--no-wait", "--discard")
    assert leads() == ([22], [])
    place.qlan("down", "--force")


@pytest.mark.parametrize("words", [("detach", "demo/web/0"), ("move", "demo/web/0", "back")], ids=["detach", "move"])
def test_what_carried_the_last_forward_goes_with_its_nic(place: Place, lab: Path, words: tuple[str, ...]) -> None:
    fresh(place, lab)
    place.qlan("forward", "add", "web", "28461:22")
    place.qlan("forward", "add", "web", "5432:5432", "--reverse")
    place.qlan("nic", *words)
    assert place.plan(lab) == []
    assert [text for _, text in place.processes() if "qlan.relay" in text] == []
    place.qlan("down", "--force")


def test_a_port_that_the_file_gives_to_another_guest(place: Place, lab: Path) -> None:
    edit(lab, "nics: [lan]", "nics: [{network: lan, forwards: ['28461:22'], reverse: ['5432:5432']}]")
    place.qlan("up", "--no-wait")
    rows = json.loads(place.qlan("forward", "list", "--json").stdout)
    assert [(row["guest"], row["host_port"]) for row in (*rows["forwards"], *rows["reverse"])] == [
        ("box", 28461), ("box", 5432)]  # fmt: skip
    assert state(place)["by hand"] == ["web/1"]
    place.qlan("down", "--force")


def test_for_a_while_does_not_outlast_its_guest(place: Place, lab: Path) -> None:
    fresh(place, lab)
    place.qlan("nic", "attach", "demo/web", "back", "--model", "usb", "--for", "1h")
    place.qlan("up", "--no-wait")
    assert state(place)["nics"]["web"] == [("lan", "up"), ("back", "up")]
    [pid] = [pid for pid, words in place.processes() if "demo/guest/web" in words and "qemu-system" in words.split()[0]]
    os.kill(pid, signal.SIGKILL)
    place.qlan("up", "--no-wait")
    assert state(place)["nics"]["web"] == [("lan", "up")]
    place.qlan("down", "--force")


def test_what_is_saved_takes_nothing_else_back(place: Place, lab: Path) -> None:
    place.qlan("forward", "add", "web", "28462:23", "--save")
    place.qlan("up", "--no-wait")
    assert state(place) == {**BY_HAND, "ways": [28461, 28462, 5432]}
    place.qlan("forward", "add", "web", "5433:5432", "--reverse", "--save")
    place.qlan("up", "--no-wait")
    assert state(place) == {**BY_HAND, "ways": [28461, 28462, 5432, 5433]}
    place.qlan("down", "--force")


def test_a_save_that_would_spoil_the_file(place: Place, lab: Path) -> None:
    fresh(place, lab, ("nics: [lan]", "nics: [back]"))
    place.qlan("nic", "move", "demo/box/0", "lan")
    text = lab.read_text()
    done = place.qlan("forward", "add", "box", "28461:22", "--save", check=False)
    assert done.returncode == 2
    assert (
        "the file would not be right: NIC 0 of guest `box` has forwards, but on network `back` (private)" in done.stderr
    )
    assert lab.read_text() == text
    edit(lab, "nics: [{network: lan, model: usb}]", "nics: [{network: lan, model: usb, rate: 8mbit}]")
    place.qlan("forward", "add", "web", "28461:22", "--save")
    assert "edited: the file was changed since `up`" in place.qlan("status").stdout
    place.qlan("down", "--force")


@pytest.mark.skipif(not IS_ROOT, reason="a rootless lab's ports are the relay's")
def test_a_port_that_the_kernel_leads(place: Place, lab: Path) -> None:
    for line in ("link add up0 type veth peer name far", "link set up0 up", "link set far up",
                 "address add 198.51.100.2/24 dev up0", "route add default via 198.51.100.1"):  # fmt: skip
        place.run("ip", *line.split())
    fresh(place, lab, ("kind: host-only, subnet: 10.88.0.0/24", "kind: nat, subnet: 10.88.0.0/24"))
    place.qlan("forward", "add", "web", "0.0.0.0:28461:22")
    assert place.plan(lab) == []
    place.qlan("nic", "attach", "demo/web", "back", "--model", "usb")
    place.qlan("up", "--no-wait")
    assert state(place)["ways"] == [28461]
    assert "28461" in place.run("nft", "list", "ruleset").stdout
    place.qlan("up", "--no-wait", "--discard")
    assert state(place) == AS_FILE
    assert "28461" not in place.run("nft", "list", "ruleset").stdout
    place.qlan("down", "--force")


def test_a_move_that_comes_to_nothing_leaves_the_guest_its_address(place: Place, lab: Path) -> None:
    """These guests are stopped and let go of no card on a PCI bus."""
    fresh(place, lab)
    record = place.run_dir / "demo" / "guest" / "box" / "guest.json"
    before, picks = record.read_text(), (place.state_dir / "demo" / "picks.json").read_text()
    first = place.run(sys.executable, "-m", "qlan", "nic", "move", "box/0", "user", check=False)
    assert first.returncode == 8 and "does not let go of nic0" in first.stderr
    words = ["timeout", "-s", "INT", "2", sys.executable, "-m", "qlan", "nic", "move", "box/0", "user"]
    second = place.run(*words, check=False)
    assert "interrupted: the host was put back to what it was" in second.stderr
    assert record.read_text() == before
    assert (place.state_dir / "demo" / "picks.json").read_text() == picks
    assert place.plan(lab) == []


def test_what_another_guest_lost_is_no_reason(place: Place, lab: Path) -> None:
    fresh(place, lab)
    place.in_lab("ip", "link", "del", next(one for one in place.links() if one.startswith("box.0")))
    said = place.qlan("nic", "attach", "web/1", "back", check=False)
    assert "a new NIC takes the next number: qlan nic attach web back" in said.stderr
    place.qlan("nic", "attach", "web", "back", "--model", "usb")
    place.qlan("nic", "detach", "web/1")


@pytest.mark.parametrize("verb", [("restart", "--no-wait"), ("down",)])
def test_what_another_guest_lost_stays_lost(place: Place, lab: Path, verb: tuple[str, ...]) -> None:
    """To bring it back takes a restart of that guest, who is not named."""
    fresh(place, lab)
    place.in_lab("ip", "link", "del", next(one for one in place.links() if one.startswith("box.0")))
    done = place.qlan(*verb, "--force", "web")
    assert "tap/box/0" not in done.stdout + done.stderr
    assert "+ tap/box/0" in place.qlan("status").stdout
    place.qlan("down", "--force")


def test_a_file_that_cannot_be_changed_changes_nothing(place: Place, lab: Path) -> None:
    fresh(place, lab)
    text = lab.read_text()
    lab.write_text(text + "bad: [\n")
    done = place.qlan("forward", "add", "web", "28461:22", "--save", check=False)
    assert done.returncode == 2 and "this is not YAML" in done.stderr
    lab.rename(place.folder / "away")
    done = place.qlan("forward", "add", "-l", "demo", "web", "28461:22", "--save", check=False)
    assert done.returncode == 3 and "No such file" in done.stderr
    lab.write_text(text)
    if not IS_ROOT:
        place.folder.chmod(0o555)
        try:
            done = place.qlan("forward", "add", "web", "28461:22", "--save", check=False)
            assert done.returncode == 3 and "nothing can be written into this folder" in done.stderr
        finally:
            place.folder.chmod(0o755)
    assert "no forwards are open" in place.qlan("forward", "list").stdout

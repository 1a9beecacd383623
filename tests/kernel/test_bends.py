"""Bad links made by hand: what the kernel has of them, what is refused, and what stays through `up` and restarts."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .place import IS_ROOT, Place
from .test_edit import edit
from .test_faults import at, count
from .test_links import buckets, links

LAB = """\
lab: demo
%s
networks:
  lan: {kind: host-only, dhcp: false, dns: false}
  back: {kind: private}
guests:
  web: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [{network: lan, rate: {in: 20mbit}}, back, user]}
  db: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [lan]}
"""


def has_netem() -> bool:
    apart = ["unshare", "--net"] if IS_ROOT else ["unshare", "--user", "--map-root-user", "--net"]
    words = ["tc", "qdisc", "add", "dev", "lo", "root", "netem"]
    return subprocess.run([*apart, *words], capture_output=True, check=False).returncode == 0


@pytest.fixture
def lab(place: Place) -> Path:
    file = place.folder / "qlan.yaml"
    file.write_text(LAB % (f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}" if IS_ROOT else ""))
    return file


def bytes_per_s(place: Place) -> dict[str, int]:
    """Rates by what the link is for, `tap/web/0`, in the lab's own namespace."""
    names = {row["ifname"]: key for key, row in links(place).items()}
    return {names[link]: rate for link, (rate, _) in buckets(place).items()}


def status(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(place.qlan("status", "--json").stdout)["labs"][0]
    return found


def bends(place: Place) -> list[str]:
    found: list[str] = status(place)["bends"]
    return found


def test_a_rate_by_hand_stays_until_it_is_cleared(place: Place, lab: Path) -> None:
    empty = place.snapshot()
    place.qlan("up", "--no-wait")
    there, keys = place.processes(), links(place).keys()
    assert place.qlan("impair").stdout == "nothing is impaired\n"
    assert bytes_per_s(place) == {"tap/web/0": 2_500_000}

    place.qlan("impair", "web/0", "--rate", "8mbit")
    place.qlan("impair", "db/lan", "--rate", "4mbit", "--direction", "out")
    bent = {"tap/web/0": 1_000_000, "ifb/web/0": 1_000_000, "ifb/db/0": 500_000}
    assert bytes_per_s(place) == bent
    said = ["db/0 out: rate 4mbit", "web/0 in: rate 8mbit", "web/0 out: rate 8mbit"]
    assert bends(place) == place.qlan("impair").stdout.splitlines() == said
    assert (
        "bent by hand, until `qlan impair --clear` or `qlan heal`:\n  db/0 out: rate 4mbit\n"
        in place.qlan("status").stdout
    )
    assert place.plan(lab) == []
    place.qlan("impair", "db/0", "--rate", "4mbit", "--direction", "out")  # nothing more comes of it
    assert bytes_per_s(place) == bent

    # what somebody else takes away is drift, and comes back; the file changes what is below
    tap = links(place)["tap/web/0"]["ifname"]
    place.qlan("exec", "--", "tc", "qdisc", "del", "dev", tap, "root")
    assert bends(place) == said
    [drift] = status(place)["drift"]
    assert drift.startswith("+ shaping/web/0/in  direction=in, ")
    edit(lab, "{in: 20mbit}", "{in: 40mbit}")
    place.qlan("up", "--no-wait")
    assert bytes_per_s(place) == bent
    assert bends(place) == said
    assert place.processes() == there, "a guest was restarted for it"
    place.qlan("restart", "db", "--force")
    assert bytes_per_s(place) == bent

    place.qlan("impair", "web/0", "--rate", "none", "--direction", "in")
    assert bytes_per_s(place) == bent | {"tap/web/0": 5_000_000}
    assert place.qlan("impair", "--clear").stdout.splitlines() == [
        "db/0 out: as the file says", "web/0 out: as the file says"
    ]  # fmt: skip
    assert bytes_per_s(place) == {"tap/web/0": 5_000_000}
    assert bends(place) == status(place)["drift"] == place.plan(lab) == []
    assert links(place).keys() == keys
    place.qlan("impair", "web/back", "--rate", "1mbit")
    place.qlan("down", "--force")
    assert place.snapshot() == empty
    place.qlan("up", "--no-wait")
    assert bends(place) == []
    place.qlan("down", "--force")


def refusal(place: Place, *words: str) -> str:
    """What `qlan impair WORDS` says when it refuses."""
    done = place.qlan("impair", *words, check=False)
    assert done.returncode in (2, 3), done
    return done.stderr


REFUSALS = {
    "web --loss 1%": """\
qlan: error: `web` names no NIC
  hint:  web/0 is its first; `qlan nic list`
""",
    "web/7 --rate 1mbit": """\
qlan: error: guest `web` has no NIC `7`
  hint:  its NICs: 0 (lan), 1 (back), 2 (user)
""",
    "wbe/0 --rate 1mbit": """\
qlan: error: no guest `wbe` is up
  hint:  did you mean `demo/web`?
""",
    "db/0 --rate 1mbit": """\
qlan: error: guest `db` is not running
  hint:  qlan up db
""",
    "web/user --delay 50ms": """\
qlan: error: NIC web/2 is user-mode: its network is a program, the kernel has no queue for it
  hint:  put it on a network of kind nat, which reaches outside too: `qlan nic move web/2 NETWORK`
""",
    "web/0 --delay 50": """\
qlan: error: --delay: `50` has no unit
  hint:  write `50ms`, say; at most a minute
""",
    "web/0 --delay 2min": """\
qlan: error: --delay: `2min` is not a delay
  hint:  write it like `50ms`, `1.5s` or `200us`; at most a minute
""",
    "web/0 --loss 1": """\
qlan: error: --loss: `1` has no unit
  hint:  write `1%`
""",
    "web/0 --loss 101%": """\
qlan: error: --loss: `101%` is no share of the frames
  hint:  write it like `1%` or `0.1%`, at most `100%`
""",
    "web/0 --rate 10": """\
qlan: error: --rate: `10` is not a rate
  hint:  write `10mbit`, say; from 8kbit to 100gbit
""",
    "web/0 --jitter 5ms": """\
qlan: error: --jitter needs a --delay: it makes a delay vary
  hint:  qlan impair web/0 --delay 50ms --jitter 5ms
""",
    "web/0 --reorder 5%": """\
qlan: error: --reorder needs a --delay: a frame overtakes another only while that waits
  hint:  qlan impair web/0 --delay 50ms --reorder 25%
""",
    "--loss 1%": """\
qlan: error: `qlan impair` wants GUEST/NIC before what is to be done to it
  hint:  qlan impair --help
""",
    "web/0 --clear --loss 1%": """\
qlan: error: --clear ends all of it
  hint:  leave the other options out, or say `none` for one of them
""",
}


def test_what_cannot_be_impaired_is_refused_in_these_words(place: Place, lab: Path) -> None:
    place.qlan("up", "--no-wait")
    os.kill(next(one["pid"] for one in status(place)["guests"] if one["name"] == "db"), 9)
    assert {words: refusal(place, *words.split()) for words in REFUSALS} == REFUSALS
    assert (bytes_per_s(place), bends(place)) == ({"tap/web/0": 2_500_000}, [])
    place.qlan("impair", "web/0", "--rate", "8mbit")
    assert bytes_per_s(place) == {"tap/web/0": 1_000_000, "ifb/web/0": 1_000_000}
    assert [one["state"] for one in status(place)["guests"]] == ["running", "stopped"], "it started another guest"


def test_a_kernel_without_netem_refuses_what_takes_it_and_nothing_is_changed(place: Place, lab: Path) -> None:
    if has_netem():
        pytest.skip("this kernel has netem (tests/guest/test_bends.py uses it)")
    place.qlan("up", "--no-wait")
    place.qlan("impair", "web/0", "--rate", "8mbit")
    said = refusal(place, "web/0", "--delay", "50ms", "--loss", "1%", "--rate", "1mbit")
    assert said.splitlines()[0] == (
        "qlan: error: this kernel has no netem, and delay and loss cannot be done without: "
        "Error: Specified qdisc kind is unknown."
    )
    assert "hint:  `modprobe sch_netem` as root" in said
    assert "where: " in said and "netem limit 20000 delay 50000us loss 1%" in said
    assert bytes_per_s(place) == {"tap/web/0": 1_000_000, "ifb/web/0": 1_000_000}
    assert bends(place) == ["web/0 in: rate 8mbit", "web/0 out: rate 8mbit"]


def test_refused_or_killed_at_every_command_of_impair_and_clear(place: Place, lab: Path) -> None:
    """Refused: as before.  Killed: the next `up` completes it, and `down` leaves nothing."""
    empty = place.snapshot()
    place.qlan("up", "--no-wait")
    for verb, other in (("impair", "clear"), ("clear", "impair")):
        before = buckets(place)
        total = count(place, lab, verb)
        after = buckets(place)
        assert total >= 3
        assert before != after
        count(place, lab, other)
        for number in range(total):
            assert at(place, lab, verb, "fail", number)[0] == 3
            assert buckets(place) == before, f"refused at {number} of {verb}"
            if number % 2 == (verb == "impair"):  # every second one: the steps between are of the same sorts
                assert at(place, lab, verb, "kill", number)[0] == -9
                count(place, lab, "up")
                assert buckets(place) == after, f"killed at {number} of {verb}"
                count(place, lab, other)
        assert place.plan(lab) == []
        count(place, lab, verb)
    count(place, lab, "impair")
    assert at(place, lab, "clear", "kill", 1)[0] == -9
    count(place, lab, "down")
    assert place.snapshot() == empty


PARTS = """\
lab: demo
%s
networks:
  lan: {kind: host-only, dhcp: false, dns: false}
  back: {kind: private}
  w: wire
guests:
  web: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [lan, back, w]}
  db: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [lan]}
  cache: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [back, w]}
  lone: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [user]}
  off: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [lan]}
"""
PARTITION_REFUSALS = {
    "web": """\
qlan: error: a partition has two sides or more, with a guest or more on each
  hint:  qlan partition web,db / cache
""",
    "web / , / db": """\
qlan: error: a partition has two sides or more, with a guest or more on each
  hint:  qlan partition web,db / cache
""",
    "web,db / web": """\
qlan: error: guest `web` is on two sides
  hint:  name it once
""",
    "web / dbb": """\
qlan: error: no guest `dbb` in this lab
  hint:  did you mean `db`?
""",
    "web / off": """\
qlan: error: guest `off` is not running
  hint:  qlan up off
""",
    "db / lone": """\
qlan: error: guest `lone` hears no other guest
  hint:  leave it out: it has no NIC on a network
""",
}


def holder(place: Place, namespace: str) -> str:
    return (place.run_dir / "demo" / "namespace" / namespace).read_text().split()[0]


def rules_of_wire(place: Place) -> str:
    entered = ("nsenter", f"--net=/proc/{holder(place, 'w')}/ns/net")
    return place.qlan("exec", "--", *entered, "nft", "list", "ruleset").stdout


def table_of(place: Place, *namespace: str) -> list[str]:
    """The rules about TAPs that the kernel has, of the lab's own namespace."""
    done = place.qlan("exec", "--", *namespace, "nft", "list", "table", "bridge", "qlan.demo", check=False)
    assert done.returncode or 'comment "partition of lab demo, made by qlan"' in done.stdout
    return [line.strip() for line in done.stdout.splitlines() if "ifname" in line]


def test_a_partition_stays_until_it_is_healed(place: Place, lab: Path) -> None:
    lab.write_text(PARTS % (f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}" if IS_ROOT else ""))
    empty = place.snapshot()
    place.qlan("up", "--no-wait")
    os.kill(next(one["pid"] for one in status(place)["guests"] if one["name"] == "off"), 9)
    found = {}
    for words in PARTITION_REFUSALS:
        done = place.qlan("partition", *words.split(), check=False)
        assert done.returncode == 2
        found[words] = done.stderr
    assert found == PARTITION_REFUSALS
    assert place.qlan("partition").stdout == "nothing is partitioned\n"
    assert place.qlan("heal").stdout == "nothing was partitioned\n"
    assert table_of(place) == []

    assert place.qlan("partition", "db", "/", "web").stdout == "partition: db / web\n"
    names = {key: row["ifname"] for key, row in links(place).items()}
    rules = table_of(place)
    assert [any(f'"{names[tap]}"' in rule for rule in rules) for tap in ("tap/db/0", "tap/web/0")] == [True, True]
    assert len(rules) == 4
    assert bends(place) == ["partition: db / web"]
    place.qlan("partition", "db / web")
    assert table_of(place) == rules
    for damage in ("delete table bridge qlan.demo", "flush chain bridge qlan.demo leaving"):
        place.qlan("exec", "--", "nft", damage)
        assert any("partition/" in line for line in status(place)["drift"])
        place.qlan("up", "--no-wait", "web")
        assert table_of(place) == rules
    edit(lab, "lone: {", "# lone: {")
    place.qlan("up", "--no-wait")
    place.qlan("restart", "db", "--force")
    assert place.plan(lab) == []
    assert (table_of(place), bends(place)) == (rules, ["partition: db / web"])

    place.qlan("partition", "web/cache")
    assert table_of(place) == []  # each on a network of its own, and the wire
    assert "drop" in rules_of_wire(place)
    assert place.plan(lab) == []
    place.qlan("partition", "web,cache/off/db")
    assert len(table_of(place)) == 6
    healed = json.loads(place.qlan("heal", "--json").stdout)
    assert healed == {"lab": "demo", "healed": [["cache", "web"], ["off"], ["db"]]}
    assert table_of(place) == bends(place) == place.plan(lab) == []
    assert rules_of_wire(place) == ""
    place.qlan("partition", "web / db / cache")
    place.qlan("down", "--force")
    assert place.snapshot() == empty


def test_refused_or_killed_at_every_command_of_partition_and_heal(place: Place, lab: Path) -> None:
    empty = place.snapshot()
    place.qlan("up", "--no-wait")
    for number in range(2):
        assert at(place, lab, "partition", "fail", number)[0] == 3
        assert table_of(place) == bends(place) == []
        assert at(place, lab, "partition", "kill", number + 1)[0] == -9
        count(place, lab, "up")
        assert len(table_of(place)) == 4
        assert place.plan(lab) == []
        assert at(place, lab, "heal", "fail", number)[0] == 3
        assert len(table_of(place)) == 4
        assert place.plan(lab) == []
        count(place, lab, "heal")
    count(place, lab, "partition")
    place.qlan("down", "--force")
    assert place.snapshot() == empty

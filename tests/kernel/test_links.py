"""What networks ask of their bridges and NICs of their ports, in the kernel: made, changed in place, repaired."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from .place import IS_ROOT, Place
from .test_edit import edit

LAB = """\
lab: demo
%s
networks:
  lan: {kind: host-only, bridge_name: br-demo, isolated: true, multicast_snooping: true}
guests:
  web:
    {qemu_args: [-S], memory: 16M, accel: tcg,
     nics: [{network: lan, rate: {in: 20mbit, out: 5mbit}}, {network: lan, isolated: false}]}
"""


@pytest.fixture
def lab(place: Place) -> Path:
    file = place.folder / "qlan.yaml"
    file.write_text(LAB % (f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}" if IS_ROOT else ""))
    return file


def links(place: Place) -> dict[str, dict[str, Any]]:
    """The lab's links by what they are for (`bridge/lan`), as `ip` has them."""
    rows = json.loads(place.qlan("exec", "--", "ip", "-j", "-d", "link", "show").stdout)
    marks = {str(row.get("ifalias", "")).rpartition("demo:")[2]: row for row in rows}
    return {key: row for key, row in marks.items() if key}


def options(place: Place) -> dict[str, Any]:
    found: dict[str, Any] = links(place)["bridge/lan"]["linkinfo"]["info_data"]
    return found


def is_isolated(place: Place, tap: str) -> bool:
    return bool(links(place)[tap]["linkinfo"]["info_slave_data"]["isolated"])


def test_options_of_bridges_and_ports_are_made_changed_and_repaired(place: Place, lab: Path) -> None:
    empty = place.snapshot()
    place.qlan("up", "--no-wait")
    there = place.processes()
    assert links(place)["bridge/lan"]["ifname"] == "br-demo"
    found = options(place)
    assert (found["mcast_snooping"], found["mcast_querier"], found["stp_state"]) == (1, 1, 0)
    assert found["forward_delay"] == 0
    assert is_isolated(place, "tap/web/0")
    assert not is_isolated(place, "tap/web/1")

    tap = links(place)["tap/web/0"]["ifname"]
    place.qlan("exec", "--", "ip", "link", "set", "dev", tap, "type", "bridge_slave", "isolated", "off")
    assert place.plan(lab) == ["~ tap/web/0  isolated: False -> True"]
    place.qlan("exec", "--", "ip", "link", "set", "dev", tap, "nomaster")  # out of it, a port forgets what it was
    place.qlan("up", "--no-wait")
    assert is_isolated(place, "tap/web/0")
    assert links(place)["tap/web/0"]["master"] == "br-demo"
    assert "UP" in links(place)["tap/web/0"]["flags"]

    edit(lab, "isolated: true, multicast_snooping: true", "stp: true")
    place.qlan("up", "--no-wait")
    found = options(place)
    assert (found["mcast_snooping"], found["mcast_querier"], found["stp_state"]) == (0, 0, 1)
    assert (found["forward_delay"], found["hello_time"], found["max_age"]) == (400, 100, 600)
    assert not is_isolated(place, "tap/web/0")

    edit(lab, "stp: true", "dns: true")
    place.qlan("up", "--no-wait")
    found = options(place)
    assert (found["forward_delay"], found["stp_state"]) == (0, 0)
    assert place.plan(lab) == []
    assert place.processes() == there, "a guest was restarted for what the kernel changes in place"
    place.qlan("down", "--force")
    assert place.snapshot() == empty


def buckets(place: Place) -> dict[str, tuple[int, int]]:
    """Link -> (rate in bytes a second, burst) of every token bucket, as `tc` has them."""
    rows = json.loads(place.qlan("exec", "--", "tc", "-j", "qdisc", "show").stdout)
    return {row["dev"]: (row["options"]["rate"], row["options"]["burst"]) for row in rows if row["kind"] == "tbf"}


def test_rate_limits_are_made_changed_and_repaired(place: Place, lab: Path) -> None:
    empty = place.snapshot()
    place.qlan("up", "--no-wait")
    there = place.processes()
    tap, ifb = (str(links(place)[key]["ifname"]) for key in ("tap/web/0", "ifb/web/0"))
    assert buckets(place).keys() == {tap, ifb}
    assert (buckets(place)[tap][0], buckets(place)[ifb][0]) == (2_500_000, 625_000)
    for damage in (
        f"tc qdisc del dev {tap} root",
        f"tc qdisc del dev {tap} ingress",
        f"tc filter del dev {tap} ingress",
        f"tc qdisc del dev {ifb} root",
        f"tc qdisc replace dev {ifb} root handle 716c: tbf rate 1gbit burst 16k limit 64k",
        f"ip link del dev {ifb}",
        f"ip link set dev {ifb} down",
        f"ip link set dev {ifb} alias ''",
    ):
        place.qlan("exec", "--", "sh", "-c", damage)
        assert place.plan(lab), damage
        place.qlan("up", "--no-wait")
        assert place.plan(lab) == [], damage
        assert (buckets(place)[tap][0], buckets(place)[ifb][0]) == (2_500_000, 625_000), damage

    edit(lab, "{in: 20mbit, out: 5mbit}", "1gbit")
    place.qlan("up", "--no-wait")
    assert (buckets(place)[tap][0], buckets(place)[ifb][0]) == (125_000_000, 125_000_000)
    edit(lab, ", rate: 1gbit", "")
    place.qlan("up", "--no-wait")
    assert buckets(place) == {}
    assert "ifb/web/0" not in links(place)
    shown = place.qlan("exec", "--", "tc", "qdisc", "show", "dev", tap).stdout
    assert "ingress" not in shown
    edit(lab, "{network: lan}", "{network: lan, rate: {out: 8kbit}}")
    place.qlan("up", "--no-wait")
    assert {rate for rate, _ in buckets(place).values()} == {1000}
    assert place.processes() == there, "a guest was restarted for what the kernel changes in place"
    place.qlan("down", "--force")
    assert place.snapshot() == empty


def test_a_bridge_s_name_that_somebody_has_is_said_before_anything_is_touched(place: Place, lab: Path) -> None:
    if not IS_ROOT:
        pytest.skip("a rootless lab's links are in a namespace of their own: nobody else is there")
    place.run("ip", "link", "add", "name", "br-demo", "type", "bridge")
    before = place.snapshot()
    done = place.qlan("up", "--no-wait", check=False)
    assert done.returncode == 2
    assert "there is already an interface `br-demo` here" in done.stderr
    assert place.snapshot() == before


def test_a_kernel_that_cannot_keep_vlans_apart_is_told_before_anything_is_touched(place: Place, lab: Path) -> None:
    apart = ["unshare", "--net"] if IS_ROOT else ["unshare", "--user", "--map-root-user", "--net"]
    tried = place.run(*apart, "ip", "link", "add", "br0", "type", "bridge", "vlan_filtering", "1", check=False)
    if tried.returncode == 0:
        pytest.skip("this kernel can keep VLANs apart (tests/guest/test_vlans.py does)")
    before = place.snapshot()
    edit(lab, "isolated: true,", "vlan_filtering: true,")
    done = place.qlan("up", "--no-wait", check=False)
    assert done.returncode == 2
    assert "this kernel cannot keep VLANs apart" in done.stderr
    assert place.snapshot() == before

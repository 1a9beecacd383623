"""Bad links on a kernel that has netem: a guest with Debian's kernel is the host, as in test_vlans.py."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from qlan.host import link, shaping
from qlan.live import commands
from qlan.names import link_group
from qlan.networks.bending import bent
from qlan.planning.plan import plan
from qlan.render import partition
from qlan.render.command import Ip, Nft, OpenTap, Sysctl
from qlan.render.layout import Layout
from qlan.render.scene import Scene
from qlan.resources.model import HOST, Address, Bridge, Ifb, Partition, Resources, Shaping, Tap
from qlan.topology.bends import Bends, Impairment
from qlan.topology.model import Realm
from tests import samples

from .driver import GuestShell
from .machine import GuestImage, start_machine

pytestmark = pytest.mark.guest

LAB = """\
lab: bends
networks:
  lan: {kind: host-only, subnet: 10.81.0.0/24, dhcp: false, dns: false}
guests:
  a: {kernel: k, nics: [{network: lan, rate: {in: 80mbit}}]}
  b: {kernel: k, nics: [lan]}
"""
LAYOUT = Layout(Path("/r"), Path("/s"), "bends")
KINDS = Bridge | Tap | Address | Ifb | Shaping


def wanted(*impairments: Impairment) -> Resources:
    found = bent(samples.parsed(LAB, Realm.HOST), Bends(impairments), "bends")
    return {key: one for key, one in found.items() if isinstance(one, KINDS)}


def present(host: GuestShell) -> Resources:
    """What qlan reads from that kernel."""
    rows = json.loads(host.run("ip -j -d address show"))
    intents = link.Intents({}, str(link_group("bends")))
    found = {one.key: one for one in link.parse({HOST: [row for row in rows if row]}, "bends", intents)}
    taps = [one for one in found.values() if isinstance(one, Tap)]
    ifbs = {(one.guest, one.nic): one.name for one in found.values() if isinstance(one, Ifb)}
    queues = json.loads(host.run("tc -j qdisc show"))
    filtered = [tap for tap in taps if any((row["dev"], row["kind"]) == (tap.name, "ingress") for row in queues)]
    said = "".join(host.run(f"tc -j filter show dev {tap.name} ingress") for tap in filtered)
    leads = shaping.parse_redirects(said, filtered)
    return found | {one.key: one for one in shaping.parse(queues, leads, taps, ifbs)}


def apply(host: GuestShell, to: Resources) -> None:
    """Run the lines of the plan, and see that nothing is left to do."""
    for command in commands(plan(to, present(host)).steps, Scene(LAYOUT, to)):
        if isinstance(command, OpenTap):
            guest = command.name.partition(".")[0]
            host.run(f"ip netns add {guest} && ip link add {command.name} type veth peer name eth0 netns {guest}")
            host.run(f"ip -n {guest} link set eth0 up")
        elif isinstance(command, Sysctl):
            host.run(f"echo {command.value} >/proc/sys/{command.path}")
        elif isinstance(command, Ip):
            done = host.try_run(f"{command.program} {command.line}")
            assert done.status == 0 or command.gone_is_fine, (command, done)
    left = plan(to, present(host))
    assert left.steps == (), ([step.changes() for step in left.steps], host.run("tc -j qdisc show"))


def parted(host: GuestShell, sides: list[tuple[str, ...]]) -> tuple[int, int]:
    """Answers from guest to guest and from the host, with these sides by the rules that qlan writes."""
    found = bent(samples.parsed(LAB, Realm.HOST), Bends(sides=tuple(sides)), "bends").values()
    texts = [one.replacing for part in found if isinstance(part, Partition)
             for one in partition.create(part, Scene(LAYOUT, {})) if isinstance(one, Nft)]  # fmt: skip
    host.run("nft flush ruleset")
    for text in texts:
        host.run(f"nft -f - <<'END'\n{text}END")
    return pinged(host, "a", "10.81.0.12")[0], pinged(host, "a", "10.81.0.1")[0]


def pinged(host: GuestShell, guest: str, target: str, count: int = 5) -> tuple[int, float]:
    """(answers, the shortest round trip in ms)."""
    text = host.try_run(f"ip netns exec {guest} ping -A -c {count} -W 1 {target}").output
    got = re.search(r"(\d+) packets received", text)
    trip = re.search(r"min/avg/max = ([\d.]+)/", text)
    assert got, text
    return int(got[1]), float(trip[1]) if trip else 0.0


def test_bad_links_and_partitions_on_debian_s_kernel(guest_image: GuestImage, tmp_path: Path) -> None:
    words = ["-m", "192", "-nic", "none"]
    with start_machine(tmp_path, (guest_image.vmlinux, guest_image.initrd_full), words) as machine:
        host = machine.shell
        apply(host, wanted())
        for guest, number in (("a", 11), ("b", 12)):
            host.run(f"ip -n {guest} address add 10.81.0.{number}/24 dev eth0")
        assert pinged(host, "a", "10.81.0.12")[0] == 5

        # in both directions, and the other way round: who pings does not matter
        apply(host, wanted(*(Impairment("a", 0, way, delay_us=100_000) for way in ("in", "out"))))
        assert pinged(host, "a", "10.81.0.12")[1] >= 200
        assert pinged(host, "b", "10.81.0.11")[1] >= 200
        assert pinged(host, "b", "10.81.0.1")[1] < 100, "another guest suffers"
        apply(host, wanted(Impairment("a", 0, "in", delay_us=100_000)))
        assert 100 <= pinged(host, "a", "10.81.0.12")[1] < 200

        apply(host, wanted(Impairment("a", 0, "out", loss_ppm=1_000_000)))
        assert pinged(host, "a", "10.81.0.12", 2)[0] == 0
        apply(host, wanted(Impairment("b", 0, "out", duplicate_ppm=1_000_000)))
        assert "DUP!" in host.run("ip netns exec a ping -c 2 -W 1 10.81.0.12")

        # from everything to less, step by step: each time the kernel has just what is wanted (`apply` looks)
        all_of_it = Impairment("a", 0, "in", 8_000_000, 12_340, 1_230, 12_345, 10_000, 1_000, 250_000)
        steps = [
            all_of_it,
            Impairment("a", 0, "in", 8_000_000, 1_234_560, loss_ppm=1),
            Impairment("a", 0, "in", delay_us=20),
            Impairment("a", 0, "in", rate_bps=16_000_000),
            Impairment("a", 0, "in", loss_ppm=500_000),
            all_of_it,
        ]
        for one in steps:
            apply(host, wanted(one, Impairment("b", 0, "out", delay_us=1000)))
        apply(host, wanted(Impairment("b", 0, "out", rate_bps=8_000_000, delay_us=1000)))
        apply(host, wanted(Impairment("b", 0, "out", delay_us=1000)))
        apply(host, wanted())
        assert parted(host, [("a",), ("b",)]) == (0, 5)
        assert parted(host, []) == (5, 5)
        left = host.run("tc qdisc show")
        assert "netem" not in left and "ingress" not in left
        assert left.count("qdisc tbf") == 1  # the file's own
        assert pinged(host, "a", "10.81.0.12")[0] == 5

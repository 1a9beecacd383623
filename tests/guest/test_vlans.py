"""VLANs on a kernel that can keep them apart: a guest with Debian's kernel is the host.

The kernel of the machine that runs the tests may lack VLAN filtering, and in the guest there is no Python: there the
very lines are run that qlan renders, and what its kernel then says is read by qlan's own readers.  A TAP is the end of
a veth pair there, whose other end is in a namespace: that is the "guest" that sends and is reached.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qlan.host import link, vlan
from qlan.live import commands
from qlan.names import link_group
from qlan.planning.plan import plan
from qlan.render.command import Ip, OpenTap, Sysctl
from qlan.render.layout import Layout
from qlan.render.scene import Scene
from qlan.resources.model import HOST, Address, Bridge, Resources, Tap, Trunk
from qlan.topology import ports
from qlan.topology.model import Realm
from tests import samples

from .driver import GuestShell
from .machine import GuestImage, start_machine

pytestmark = pytest.mark.guest

LAB = """\
lab: vlans
networks:
  sw: {kind: host-only, subnet: 10.80.0.0/24, dhcp: false, dns: false, vlan_filtering: true, vlan: 10}
guests:
  a: {kernel: k, nics: [sw]}
  b: {kernel: k, nics: [{network: sw, vlan: 10}]}
  c: {kernel: k, nics: [{network: sw, vlan: 20}]}
  t: {kernel: k, nics: [{network: sw, vlan: 30, trunk: [10, 20-25]}]}
"""
LAYOUT = Layout(Path("/r"), Path("/s"), "vlans")


STAR = """\
lab: vlans
networks:
  sw: {kind: host-only, subnet: 10.80.0.0/24, dhcp: false, dns: false, vlan_filtering: true, vlan: 10}
guests:
  a: {kernel: k, nics: [sw]}
  c: {kernel: k, nics: [{network: sw, vlan: 20}]}
  b: {kernel: k, nics: [{network: sw, vlan: 10}]}
  d: {kernel: k, nics: [{network: sw, vlan: 20}]}
  t: {kernel: k, nics: [{network: sw, trunk: [10, 20-25]}]}
"""


def links(text: str) -> Resources:
    """The wanted links of the lab."""
    found = samples.parsed(text, Realm.HOST)
    return {key: one for key, one in found.items() if isinstance(one, Bridge | Trunk | Tap | Address)}


def present(host: GuestShell) -> Resources:
    """What qlan reads from that kernel."""
    rows = json.loads(host.run("ip -j -d address show"))
    intents = link.Intents({}, str(link_group("vlans")))
    found = {one.key: one for one in link.parse({HOST: [row for row in rows if row]}, "vlans", intents)}
    ports = vlan.parse(host.run("bridge -j vlan show"))
    return found | {one.key: one for one in vlan.fill(ports, found)}


def apply(host: GuestShell, wanted: Resources) -> None:
    """Run the lines of the plan, and see that nothing is left to do."""
    for command in commands(plan(wanted, present(host)).steps, Scene(LAYOUT, wanted)):
        if isinstance(command, OpenTap):
            guest = command.name.partition(".")[0]
            host.run(f"ip netns add {guest} && ip link add {command.name} type veth peer name eth0 netns {guest}")
            host.run(f"ip -n {guest} link set eth0 up")
        elif isinstance(command, Sysctl):
            host.run(f"echo {command.value} >/proc/sys/{command.path}")
        elif isinstance(command, Ip):
            line = f"{command.program} {command.line}"
            assert host.try_run(line).status == 0 or command.gone_is_fine, line
    assert plan(wanted, present(host)).steps == ()


def pings(host: GuestShell, guest: str, target: str) -> bool:
    inside = f"ip netns exec {guest} " if guest else ""
    return host.try_run(f"{inside}ping -c 1 -W 1 {target}").status == 0


def test_vlans_keep_guests_apart_and_pass_trunks(guest_image: GuestImage, tmp_path: Path) -> None:
    words = ["-m", "192", "-nic", "none"]
    with start_machine(tmp_path, (guest_image.vmlinux, guest_image.initrd_full), words) as machine:
        host = machine.shell
        apply(host, links(LAB))
        for guest, number in (("a", 11), ("b", 12), ("c", 13)):
            host.run(f"ip -n {guest} address add 10.80.0.{number}/24 dev eth0")
        for vid in (10, 20, 40):
            host.run(f"ip -n t link add link eth0 name v{vid} up type vlan id {vid}")
        host.run("ip -n t address add 10.80.0.14/24 dev v10")
        assert pings(host, "a", "10.80.0.12")  # the network's own VLAN and the same one said
        assert pings(host, "a", "10.80.0.1")  # and the host is in it
        assert not pings(host, "a", "10.80.0.13")
        assert not pings(host, "c", "10.80.0.1")
        assert pings(host, "t", "10.80.0.12")  # with the tag of VLAN 10
        host.run("ip -n t address flush dev v10; ip -n t address add 10.80.0.14/24 dev v20")
        assert pings(host, "t", "10.80.0.13")
        assert not pings(host, "t", "10.80.0.12")
        host.run("ip -n t address flush dev v20; ip -n t address add 10.80.0.14/24 dev eth0")
        assert not any(pings(host, "t", f"10.80.0.{number}") for number in (1, 11, 12, 13))  # its untagged is VLAN 30

        # somebody takes a port out of its VLAN and puts it into another: seen, and put right
        tap = next(one.name for one in present(host).values() if isinstance(one, Tap) and one.guest == "a")
        host.run(f"bridge vlan del dev {tap} vid 10 && bridge vlan add dev {tap} vid 20 pvid untagged")
        assert [step.changes().keys() for step in plan(links(LAB), present(host)).steps] == [{"vlan"}]
        assert pings(host, "a", "10.80.0.13")
        apply(host, links(LAB))
        assert not pings(host, "a", "10.80.0.13")

        # the file is edited: one guest moves, the trunk is another, the host follows
        text = LAB.replace("vlan: 20}", "vlan: 10}").replace("vlan: 30, trunk: [10, 20-25]", "trunk: [20-22, 24]")
        apply(host, links(text.replace("vlan: 10}\nguests", "vlan: 20}\nguests")))
        assert pings(host, "b", "10.80.0.13")
        assert not pings(host, "b", "10.80.0.1")
        assert pings(host, "a", "10.80.0.1")  # it says none, so it goes where the host goes
        plain = LAB.replace(", vlan_filtering: true, vlan: 10", "").replace(", vlan: 30, trunk: [10, 20-25]", "")
        apply(host, links(plain.replace(", vlan: 10", "").replace(", vlan: 20", "")))
        assert pings(host, "a", "10.80.0.13")


def test_vlans_hold_across_a_star_of_bridges(
    guest_image: GuestImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bridges with room for two: a and c are on the first, b and d on a second, t on a third."""
    monkeypatch.setattr(ports, "PORTS", 2)
    words = ["-m", "192", "-nic", "none"]
    with start_machine(tmp_path, (guest_image.vmlinux, guest_image.initrd_full), words) as machine:
        host = machine.shell
        apply(host, links(STAR))
        for number, guest in enumerate("abcd", 11):
            host.run(f"ip -n {guest} address add 10.80.0.{number}/24 dev eth0")
        for vid in (10, 20, 30):
            host.run(f"ip -n t link add link eth0 name v{vid} up type vlan id {vid}")
        host.run("ip -n t address add 10.80.0.15/24 dev v10")
        for guest, number in (("a", 12), ("b", 1), ("t", 1), ("t", 12), ("c", 14)):
            assert pings(host, guest, f"10.80.0.{number}"), f"{guest} does not reach {number}"
        for guest, number in (("a", 13), ("a", 14), ("b", 13), ("d", 1), ("t", 14)):
            assert not pings(host, guest, f"10.80.0.{number}"), f"{guest} reaches {number}"
        host.run("ip -n t address flush dev v10; ip -n t address add 10.80.0.15/24 dev v20")
        assert pings(host, "t", "10.80.0.13")
        assert pings(host, "t", "10.80.0.14")

        # a VLAN is taken off a trunk behind our back, then the file takes one off itself
        trunk = next(one for one in present(host).values() if isinstance(one, Trunk) and one.branch == 1)
        host.run(f"bridge vlan del dev {trunk.near} vid 20; bridge vlan del dev {trunk.far} vid 20")
        assert not pings(host, "c", "10.80.0.14")
        assert [step.changes().keys() for step in plan(links(STAR), present(host)).steps] == [{"vlans"}]
        apply(host, links(STAR))
        assert pings(host, "c", "10.80.0.14")
        host.run(f"bridge vlan add dev {trunk.far} vid 30")
        assert [step.key for step in plan(links(STAR), present(host)).steps] == ["trunk/sw/1"] * 2, "it is made anew"
        apply(host, links(STAR))
        apply(
            host,
            links(STAR.replace("trunk: [10, 20-25]", "trunk: [20]").replace("vlan: 10}\nguests", "vlan: 20}\nguests")),
        )
        assert {one.vlans for one in present(host).values() if isinstance(one, Trunk)} == {((10, 10), (20, 20))}
        assert pings(host, "d", "10.80.0.1")
        assert not pings(host, "b", "10.80.0.1")

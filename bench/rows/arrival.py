"""Row 9: from the command to the first answered ping of a guest that gets its address by DHCP, the whole way."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import ping
from bench.libvirt import Libvirt
from bench.measure import Failed, Run, took_s
from bench.namespaces import of_lab
from bench.place import Place
from bench.session import Session
from bench.wirings import APPEND, MEMORY, booting, define_guests, define_network, hand_bridge, mac, tap_words
from bench.world import World

ABOUT = "from `qlan up` to the first answered ping of a DHCP guest, beside QEMU by hand, the tutorials' way, libvirt"
BOOTS = 1
_LIMIT_S = 120
_LAB = """\
lab: arrive
networks:
  lan: {{kind: host-only, subnet: 10.83.0.0/24, bridge_name: arrive0}}
guests:
  a: {{{guest}, nics: [{{network: lan, address: 10.83.0.9, mac: "{mac}"}}]}}
"""
_TUTORIAL = """\
set -e
ip link add tut0 type bridge
ip addr add 10.84.0.1/24 dev tut0
ip link set tut0 up
ip tuntap add tut1 mode tap
ip link set tut1 master tut0 up
dnsmasq --conf-file=/dev/null --port=0 --interface=tut0 --bind-interfaces --dhcp-range=10.84.0.9,10.84.0.9 \\
    --pid-file={folder}/pid --dhcp-leasefile={folder}/leases --user=root
"""


@dataclass(frozen=True, slots=True)
class Target:
    """The guest that is waited for: on which link it is, seen by whom."""

    link: str
    mac: str
    address: str
    own: str

    def seen_s(self, start: float, inside: Sequence[str] = ()) -> float:
        """How long after `start` (time.monotonic) it answered."""
        words = [*inside, sys.executable, ping.__file__, self.link, self.mac, self.address, self.own]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_LIMIT_S + 30)
        if done.returncode:
            raise Failed(f"{self.address} never answered: {done.stderr[-200:]}")
        return float(done.stdout) - start


def run(session: Session) -> None:
    world = session.world()
    if isinstance(world, str):
        session.leave_out("arrival", world)
        return
    places = list(session.realms("arrival"))[: 1 if session.quick else None]
    runs: dict[str, Run] = {f"qlan {place.realm}": partial(_qlan, place, world) for place in places}
    ours = list(runs)
    with hand_bridge(world, "bare", "10.85.0", 1):
        runs |= {"bare QEMU": partial(_bare, world)}
        models = ("rtl8139",) if session.quick else ("rtl8139", "e1000")
        runs |= {f"tutorial, {model}": partial(_tutorial, world, model) for model in models}
        daemon = session.libvirt()
        if isinstance(daemon, str):
            session.leave_out("arrival beside libvirt", daemon)
        else:
            define_network(daemon, "arrive", "192.168.123", (9, 9))
            define_guests(world, daemon, "arrive", {"arrive": mac(3)}, world.initrd)
            runs["libvirt"] = partial(_libvirt, daemon)
        found = session.rounds(runs)
    limits = {"bare QEMU": 1.1, "libvirt": 0.8, **{name: 0.6 for name in runs if name.startswith("tutorial")}}
    for name in ours:
        for peer, limit in limits.items():
            session.pair(f"first ping, {name.removeprefix('qlan ')}", found, (name, peer), limit=limit)


def _qlan(place: Place, world: World) -> float:
    """`up` with all its waiting; somebody else pings meanwhile."""
    place.write(_LAB.format(guest=booting(world.kernel, world.initrd), mac=mac(1)))
    record = place.folder / "r" / "arrive" / "namespace" / "realm"
    target = Target("arrive0", mac(1), "10.83.0.9", "10.83.0.1")
    start = time.monotonic()
    with subprocess.Popen(
        place.words("up"), env=place.environment, cwd=place.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as command:
        try:
            _wait_for(record, command, place.realm)
            cost = target.seen_s(start, of_lab(place, "arrive") if place.realm == "rootless" else ())
            said = command.communicate()[1]
        finally:
            command.kill()
            place.qlan("down", "--force")
    if command.returncode:
        raise Failed(f"qlan up: {said.decode()[-300:]}")
    return cost


def _wait_for(record: Path, command: subprocess.Popen[bytes], realm: str) -> None:
    """The namespace of a rootless lab."""
    while realm == "rootless" and not (record.exists() and record.read_text()):
        if command.poll() is not None:
            return
        time.sleep(0.002)


def _bare(world: World) -> float:
    """All else is there already: the floor."""
    start = time.monotonic()
    return _booted(world, "bare", tap_words("bare", 0), Target("bare", mac(0), "10.85.0.10", "10.85.0.1"), start)


def _booted(world: World, name: str, words: Sequence[str], target: Target, start: float) -> float:
    folder = world.new_folder(f"{name}-qemu")
    argv = ["qemu-system-x86_64", "-accel", "tcg", "-display", "none", "-no-user-config", "-nodefaults", "-m", MEMORY,
            "-serial", f"file:{folder}/console", "-kernel", str(world.kernel), "-initrd", str(world.initrd),
            "-append", APPEND, *words]  # fmt: skip
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
        try:
            return target.seen_s(start)
        finally:
            process.kill()


def _tutorial(world: World, model: str) -> float:
    """A bridge, a TAP and dnsmasq as pages tell it, with every default: 3 s of asking, a boot ROM, an emulated NIC.

    The bridge's 15 s of learning are none where STP is off (Linux 6.x forwards at once).
    """
    folder = world.new_folder("tutorial")
    target = Target("tut0", mac(2), "10.84.0.9", "10.84.0.1")
    words = ["-net", f"nic,model={model},macaddr={mac(2)}", "-net", "tap,ifname=tut1,script=no,downscript=no"]
    with ExitStack() as stack:
        start = time.monotonic()
        for link in ("tut0", "tut1"):
            stack.callback(took_s, ["ip", "link", "del", link])
        took_s(["sh", "-c", _TUTORIAL.format(folder=folder)])
        stack.callback((folder / "leases").unlink)
        stack.callback(lambda: took_s(["kill", (folder / "pid").read_text().strip()]))
        return _booted(world, "tutorial", words, target, start)


def _libvirt(daemon: Libvirt) -> float:
    """Its network and its guest, as defined before."""
    enter = ("nsenter", f"--target={daemon.pid}", "--net", "--")
    start = time.monotonic()
    daemon.virsh("net-start", "arrive")
    try:
        daemon.virsh("start", "arrive")
        try:
            return Target("arrive", mac(3), "192.168.123.9", "192.168.123.1").seen_s(start, enter)
        finally:
            daemon.virsh("destroy", "arrive")
    finally:
        daemon.virsh("net-destroy", "arrive")

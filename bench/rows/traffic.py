"""Row 10: what guests' packets get: TCP both ways and a request's latency, by each way of wiring."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import partial

from bench import exchange
from bench.measure import Failed, Run
from bench.session import Session
from bench.wirings import HAND, LIBVIRT, PASST, USER, VDE, Wired, asked
from bench.world import OUTSIDE, World

ABOUT = "guests' TCP both ways and request latency, beside TAPs tuned by hand, -nic user, passt, VDE, libvirt"
BOOTS = 2
_PORT = 5201
Measurement = tuple[str, str, bool, dict[str, Run]]  # what, unit, is_rate, a run by wiring
# What is measured between whom: (between, direction) with the unit; more Mbit/s are better, fewer seconds.
_RATES = {"from the guest": "", "to the guest": "-R"}
# Limits of qlan's cost by realm ("" both), what, and peer.
_NEAR, _UP, _DOWN, _EGRESS = 1 / 0.97, 1 / 2.2, 1 / 1.7, 1 / 0.95
_LIMITS = {
    ("", "guest-host, from the guest", HAND): _NEAR,
    ("", "guest-host, to the guest", HAND): _NEAR,
    ("", "guest-guest", HAND): _NEAR,
    ("", "guest-host, from the guest", USER): _UP,
    ("", "guest-host, to the guest", USER): _DOWN,
    ("host", "guest-outside, from the guest", HAND): _NEAR,
    ("host", "guest-outside, to the guest", HAND): _NEAR,
    ("rootless", "guest-outside, from the guest", USER): _EGRESS,
    ("rootless", "guest-outside, from the guest", PASST): _EGRESS,
}


def run(session: Session) -> None:
    world, wired = session.world(), session.wired()
    if isinstance(world, str) or isinstance(wired, str):
        session.leave_out("traffic", str(world))
        return
    for what, unit, is_rate, runs in _measurements(session, world, list(wired.values())):
        found = session.rounds(runs)
        for realm in session.places:
            for peer in (HAND, USER, PASST, VDE, LIBVIRT):
                limit = _LIMITS.get((realm, what, peer)) or _LIMITS.get(("", what, peer))
                session.pair(f"{what}, {realm}", found, (f"qlan {realm}", peer), unit=unit, limit=limit,
                             is_rate=is_rate)  # fmt: skip


def _measurements(session: Session, world: World, wired: Sequence[Wired]) -> list[Measurement]:
    amount = "-n 1M" if session.quick else "-t 1"
    count = 20 if session.quick else 200
    found: list[Measurement] = []
    for way, options in list(_RATES.items())[: 1 if session.quick else None]:
        words = f"{amount} {options}"
        found.append(
            (
                f"guest-host, {way}",
                "Mbit/s",
                True,
                {one.name: partial(to_server, one, world, one.at_host, one.host, words) for one in wired},
            )
        )
        found.append(
            (
                f"guest-outside, {way}",
                "Mbit/s",
                True,
                {one.name: partial(to_server, one, world, world.outside, OUTSIDE, words) for one in wired},
            )
        )
    pairs = [one for one in wired if one.peer]
    found.append(("guest-guest", "Mbit/s", True, {one.name: partial(_between, one, amount) for one in pairs}))
    found.append(
        (
            "a request, guest-host",
            "s",
            False,
            {one.name: partial(_request, one, one.at_host, one.host, count) for one in wired},
        )
    )
    found.append(
        (
            "a request, guest-outside",
            "s",
            False,
            {one.name: partial(_request, one, world.outside, OUTSIDE, count) for one in wired},
        )
    )
    found.append(("a ping, guest-guest", "s", False, {one.name: partial(_ping, one, count) for one in pairs}))
    return found  # fmt: skip


def to_server(one: Wired, world: World, there: Sequence[str], address: str, words: str) -> float:
    """Mbit/s from the guest to a server there (with -R the other way)."""
    argv = [*there, world.program("iperf3"), "-s", "-1", "--forceflush"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=world.environment) as server:
        try:
            assert server.stdout
            for line in server.stdout:
                if "listening" in line:
                    break
            return _rate(one, f"iperf3 -c {address} -p {_PORT} -J -i 0 {words}")
        finally:
            server.kill()


def _between(one: Wired, amount: str) -> float:
    """Mbit/s from the first guest to the second."""
    with asked(one):
        one.shells[1].run("pidof iperf3 >/dev/null || iperf3 -s -D")
    return _rate(one, f"iperf3 -c {one.peer} -p {_PORT} -J -i 0 {amount}")


def _rate(one: Wired, command: str) -> float:
    with asked(one):
        said = json.loads(one.shells[0].try_run(command, timeout_s=60).output)
    if "error" in said:
        raise Failed(f"{one.name}: {said['error']}")
    return float(said["end"]["sum_received"]["bits_per_second"]) / 1e6


def _request(one: Wired, there: Sequence[str], address: str, count: int) -> float:
    argv = [*there, sys.executable, exchange.__file__, str(count)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as caller:
        try:
            assert caller.stdout
            port = caller.stdout.readline().strip()
            with asked(one):
                one.shells[0].run(f"nc {address} {port} -e /bin/cat", timeout_s=60)
            said, wrong = caller.communicate(timeout=10)
        finally:
            caller.kill()
    if caller.returncode:
        raise Failed(wrong.strip()[-300:])
    return float(said)


def _ping(one: Wired, count: int) -> float:
    """The mean of the round trips of pings, each sent when the one before was answered."""
    with asked(one):
        said = one.shells[0].run(f"ping -A -q -c {count} {one.peer}", timeout_s=60)
    found = re.search(r"min/avg/max = [\d.]+/([\d.]+)/", said)
    if found is None:
        raise Failed(said[-300:])
    return float(found[1]) / 1000

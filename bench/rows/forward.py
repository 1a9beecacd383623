"""Row 12: a port of this machine that leads into a guest: throughput, connections, the caller's address."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from bench import connect
from bench.measure import Failed, Run, took_s
from bench.session import Session
from bench.wirings import FORWARDED, GUEST_PORTS, HAND, PASST, USER, Wired, asked
from bench.world import GATEWAY, HERE, UPLINK, World

ABOUT = "a forward into a guest, called from outside, beside slirp's, passt's, socat and nft DNAT by hand"
BOOTS = 2
SOCAT, DNAT = "socat", "nft DNAT by hand"
_NEAR = 1 / 0.95
# What a realm's forwards must not be slower than.
_PEERS = {"host": (DNAT, SOCAT, PASST, USER), "rootless": (SOCAT, PASST, USER, DNAT)}
_REACHABLE = {"host": (DNAT, SOCAT), "rootless": (SOCAT, PASST, USER)}


def run(session: Session) -> None:
    world, wired = session.world(), session.wired()
    if isinstance(world, str) or isinstance(wired, str):
        session.leave_out("forward", str(world))
        return
    amount = "-n 1M" if session.quick else "-t 1"
    with ExitStack() as stack:
        ports = dict(_open(session, stack, world, wired))
        measured = (
            ("to the guest", "Mbit/s", True, partial(_rate, world, amount)),
            ("from the guest", "Mbit/s", True, partial(_rate, world, f"{amount} -R")),
            ("a connection, a byte and back", "s", False, partial(_connection, world, 3 if session.quick else 50)),
            ("the guest sees the caller's address", "", True, partial(_keeps_source, world)),
        )
        for what, unit, is_rate, measure in measured[1:] if session.quick else measured:
            runs: dict[str, Run] = {name: partial(measure, port) for name, port in ports.items()}
            found = session.rounds(runs)
            for realm in session.places:
                for peer in _PEERS[realm]:
                    limit = _NEAR if peer in _REACHABLE[realm] else None
                    session.pair(f"forward, {realm}: {what}", found, (f"qlan {realm}", peer), unit=unit, limit=limit,
                                 is_rate=is_rate)  # fmt: skip


def _open(session: Session, stack: ExitStack, world: World, wired: Mapping[str, Wired]) -> Iterator[tuple[str, int]]:
    """Each way's first port: to the guest's iperf3; the next leads to its echo, the one after to its web server."""
    for one in wired.values():
        with session.no_time_for_failures(one.name), asked(one):
            one.shells[0].run("pidof iperf3 >/dev/null || iperf3 -s -D")
    for name in (USER, PASST):
        if name in wired:
            yield name, FORWARDED[name]
    for name, first in (("qlan host", 7500), ("qlan rootless", 7600)):
        with session.no_time_for_failures(f"forwards of {name}"):
            if name in wired:
                stack.enter_context(_by_qlan(wired[name], first))
                yield name, first
    if HAND in wired:
        with session.no_time_for_failures(SOCAT):
            stack.enter_context(_by_socat(world, wired[HAND], 7300))
            yield SOCAT, 7300
        stack.enter_context(_by_nft(wired[HAND], 7400))
        yield DNAT, 7400


@contextmanager
def _by_qlan(one: Wired, first: int) -> Iterator[None]:
    assert one.place
    one.place.qlan("forward", "add", "a", *(f"0.0.0.0:{first + n}:{port}" for n, port in enumerate(GUEST_PORTS)))
    try:
        yield
    finally:
        one.place.qlan("forward", "remove", "a", *(str(first + n) for n in range(len(GUEST_PORTS))))


@contextmanager
def _by_socat(world: World, one: Wired, first: int) -> Iterator[None]:
    with ExitStack() as stack:
        for number, port in enumerate(GUEST_PORTS):
            words = [
                world.program("socat"),
                f"TCP-LISTEN:{first + number},fork,reuseaddr,nodelay",
                f"TCP:{one.address}:{port},nodelay",
            ]
            stack.callback(stack.enter_context(subprocess.Popen(words, env=world.environment)).kill)
        yield


@contextmanager
def _by_nft(one: Wired, first: int) -> Iterator[None]:
    ports = ", ".join(f"{first + number} : {one.address} . {port}" for number, port in enumerate(GUEST_PORTS))
    took_s(["nft", "add table ip ported\n"
            "add chain ip ported in { type nat hook prerouting priority dstnat; }\n"
            f"add rule ip ported in iifname {UPLINK} dnat ip to tcp dport map {{ {ports} }}\n"])  # fmt: skip
    try:
        yield
    finally:
        took_s(["nft", "delete table ip ported"])


def _rate(world: World, words: str, port: int) -> float:
    argv = [*world.outside, world.program("iperf3"), "-c", HERE, "-p", str(port), "-J", "-i", "0", *words.split()]
    for _ in range(5):
        said = json.loads(_said(argv, world))
        if "error" not in said:
            return float(said["end"]["sum_received"]["bits_per_second"]) / 1e6
        time.sleep(0.3)  # the guest's server has one client at a time, and has the one before still
    raise Failed(said["error"])


def _connection(world: World, count: int, port: int) -> float:
    return float(_said([*world.outside, sys.executable, connect.__file__, HERE, str(port + 1), str(count)], world))


def _keeps_source(world: World, port: int) -> float:
    seen = _said([*world.outside, "curl", "-s", "-m", "10", f"http://{HERE}:{port + 2}/cgi-bin/peer"], world)
    if not seen.strip():
        raise Failed(f"no page behind {port + 2}")
    return float(GATEWAY in seen)


def _said(argv: Sequence[str], world: World) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=world.environment)
    if not done.stdout:
        raise Failed(f"{argv[-5:]}: {done.stderr[-300:]}")
    return done.stdout

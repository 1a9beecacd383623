"""Row 11: the way outside that qlan takes by itself, beside every other one that could run, in each sort of place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from bench.place import Place
from bench.rows.traffic import to_server
from bench.session import Session
from bench.wirings import Wired, booting
from bench.world import OUTSIDE, World
from tests.guest.driver import GuestShell

ABOUT = "the way outside that qlan takes by itself, beside those that it could take"
BOOTS = 1
_LIMIT = 1.05
_NETWORKS = {"nat": "", "narrow": "mtu: 1500, "}
_BACKENDS = ("slirp", "passt", "auto")
# Sort of place: what is taken by itself, and whatever else could be.  All guests run under TCG.
_PROFILES = {
    "root": ("host, nat", ("rootless, nat", "rootless, slirp", "rootless, passt")),
    "rootless": ("rootless, nat", ("rootless, narrow", "rootless, slirp", "rootless, passt")),
    "no /dev/net/tun": ("rootless, auto", ("rootless, slirp", "rootless, passt")),
}


def run(session: Session) -> None:
    world = session.world()
    if isinstance(world, str):
        session.leave_out("ways outside", world)
        return
    found: dict[str, Wired] = {}
    with _labs(session, world) as labs:
        for one in labs:
            with session.no_time_for_failures(one.name):
                one.settle()
                found[one.name] = one
        amount = "-n 1M" if session.quick else "-t 1"
        for way, option in (("from", ""), ("to", "-R"))[: 1 if session.quick else 2]:
            runs = {name: partial(to_server, one, world, world.outside, OUTSIDE, f"{amount} {option}")
                    for name, one in found.items()}  # fmt: skip
            rates = session.rounds(runs)
            for profile, (chosen, others) in _PROFILES.items():
                for other in others:
                    session.pair(f"{profile}: {way} the guest, by {chosen}", rates, (chosen, other), unit="Mbit/s",
                                 limit=_LIMIT, is_rate=True)  # fmt: skip
    session.leave_out("no passt", "slirp is all that there is then")


@contextmanager
def _labs(session: Session, world: World) -> Iterator[list[Wired]]:
    """A guest a way, booting side by side."""
    found: list[Wired] = []
    started: list[Place] = []
    try:
        for place in session.realms("ways outside"):
            ways = [*_NETWORKS, *_BACKENDS] if place.realm == "rootless" else ["nat"]
            below = place.below("paths")
            below.write(_text(ways, world, place.realm))
            started.append(below)
            below.qlan("up", "--no-wait")
            found += [_wired(below, way) for way in ways]
        yield found
    finally:
        for one in found:
            for shell in one.shells:
                shell.close()
        for below in started:
            below.qlan("down", "--force")


def _text(ways: Sequence[str], world: World, realm: str) -> str:
    guests = [f"  {way}: {{{booting(world.kernel, world.measuring)}, nics: [{_nic(way)}]}}" for way in ways]
    networks = [
        f"  {name}: {{kind: nat, {mtu}subnet: 10.{90 + 2 * number + int(realm == 'host')}.0.0/24}}"
        for number, (name, mtu) in enumerate(_NETWORKS.items())
    ]
    return "\n".join([f"lab: paths-{realm[0]}", "networks:", *networks, "guests:", *guests, ""])


def _nic(way: str) -> str:
    return way if way in _NETWORKS else f"user: {{backend: {way}}}"


def _wired(place: Place, way: str) -> Wired:
    serial = place.folder / "r" / f"paths-{place.realm[0]}" / "guest" / way / "serial"
    return Wired(f"{place.realm}, {way}", (GuestShell(serial),), (), place=place)

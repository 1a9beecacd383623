"""Row 1: how soon the command answers."""

from __future__ import annotations

import sys
from functools import partial

from bench.labs import SMALL, many_nics
from bench.measure import took_s
from bench.namespaces import of_lab
from bench.place import Place
from bench.session import Session

ABOUT = "cold start of --version, --help and status"
_BARE = (sys.executable, "-I", "-c", "pass")


def run(session: Session) -> None:
    place = session.place("start")
    if place is None:
        return
    bare = ("python3 -I -c pass", partial(place.own, *_BARE))
    session.compare("--version", partial(place.qlan, "--version"), bare, 2.0)
    session.compare("--help", partial(place.qlan, "--help"), bare, 4.0)
    place.write(SMALL)
    place.qlan("up", "--no-wait")
    try:
        place.must_be_up(1)
        status = partial(place.qlan, "status")
        session.against_libvirt("status of one lab", status, lambda libvirt: libvirt.virsh("list"), 3.0)
    finally:
        place.qlan("down", "--force")
    for realm in session.realms("status of a lab with many NICs"):
        with session.no_time_for_failures("status of a lab with many NICs"):
            _status_of_many(session, realm)


def _status_of_many(session: Session, place: Place) -> None:
    nics = 30 if session.quick else 1000
    place.write(many_nics(nics))
    place.qlan("up", "--no-wait")
    try:
        place.must_be_up(nics)
        peer = ("ip -j link + bare python", partial(_links, place))
        session.compare(f"status with {nics} NICs, {place.realm}", partial(place.qlan, "status"), peer, 3.0)
    finally:
        place.qlan("down", "--force")


def _links(place: Place) -> float:
    """What reading the kernel's links costs at least: `ip` where the lab's links are, and an interpreter."""
    inside = of_lab(place, "big") if place.realm == "rootless" else ()
    return took_s([*inside, "ip", "-j", "link"]) + place.own(*_BARE)

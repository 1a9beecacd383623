"""Row 8: from DISCOVER to ACK of a guest never seen before, and of 200 at once."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from itertools import count
from statistics import median

from bench.dhcp import Guests
from bench.measure import Failed, took_s
from bench.place import Place
from bench.session import GUEST_PAIRS, Session

ABOUT = "DISCOVER to ACK of a new guest, and a storm of 200, beside dnsmasq as libvirt configures it"
_LAB = """\
lab: lease{number}
networks:
  lan: {{kind: host-only, subnet: 10.70.0.0/20, dhcp: true}}
"""
# What libvirt's bridge_driver.c writes for a network with a range of addresses.
_LIBVIRT = """\
strict-order
except-interface=lo
bind-dynamic
interface=vbr
dhcp-range=10.71.0.2,10.71.15.254,255.255.240.0
dhcp-no-override
dhcp-authoritative
dhcp-lease-max=4093
"""
_STORM, _QUICK_STORM = 200, 3
_NUMBERS = count(1)


def run(session: Session) -> None:
    place = session.places.get("host")
    if place is None:
        session.leave_out("lease", session.missing["host"])
        return
    name = "dnsmasq as libvirt's"
    with _own(place) as ours, _as_libvirt(place) as theirs:
        one = partial(_lease, count=1, wanted=1)
        session.compare("a new guest's lease", partial(one, ours), (name, partial(one, theirs)), 0.005, GUEST_PAIRS)
    guests = _QUICK_STORM if session.quick else _STORM
    storm = partial(_storm, count=guests, wanted=-(-guests * 95 // 100))
    session.compare(f"{guests} new guests at once, until 95 % have leases", partial(storm, partial(_own, place)),
                    (name, partial(storm, partial(_as_libvirt, place))), 0.35, 3)  # fmt: skip
    late = median([_late(place, guests) for _ in range(1 if session.quick else 5)])
    session.figure("who has no lease at the first try", f"of {guests}", "guests", (late, guests), 0.05)


def _storm(server: Callable[[], AbstractContextManager[str]], count: int, wanted: int) -> float:
    """At a server that has given nothing yet: dnsmasq asks by ICMP before it gives, until it has asked six times."""
    with server() as link:
        return _lease(link, count, wanted)


def _lease(link: str, count: int, wanted: int) -> float:
    try:
        return Guests(link, count).lease(wanted, time_limit_s=60.0)
    except TimeoutError as error:
        raise Failed(str(error)) from error


def _late(place: Place, count: int) -> int:
    """How many of them have to ask again, as clients do after 4 s."""
    with _own(place) as link:
        guests = Guests(link, count)
        with suppress(TimeoutError):
            guests.lease(count, time_limit_s=3.0, again_s=60.0)
    return count - len(guests.leased)


@contextmanager
def _own(place: Place) -> Iterator[str]:
    """A network of qlan's, of a lab that never was: leases outlive `down`.  The name of a link on it."""
    place.write(_LAB.format(number=next(_NUMBERS)))
    place.qlan("up", "--no-wait")
    try:
        links = subprocess.run(
            ["ip", "-o", "link", "show", "type", "bridge"], capture_output=True, text=True, check=True
        )
        bridge = links.stdout.split(": ")[1]
        with _plugged("q", bridge) as link:
            yield link
    finally:
        place.qlan("down", "--force")


@contextmanager
def _as_libvirt(place: Place) -> Iterator[str]:
    took_s(["ip", "link", "add", "vbr", "type", "bridge", "forward_delay", "0"])
    took_s(["ip", "addr", "add", "10.71.0.1/20", "dev", "vbr"])
    took_s(["ip", "link", "set", "vbr", "up"])
    files = [f"--pid-file={place.folder}/vbr.pid", f"--dhcp-leasefile={place.folder}/vbr.leases", "--user=root"]
    (place.folder / "vbr.conf").write_text(_LIBVIRT)
    took_s(["dnsmasq", f"--conf-file={place.folder}/vbr.conf", *files])
    try:
        with _plugged("v", "vbr") as link:
            yield link
    finally:
        took_s(["kill", (place.folder / "vbr.pid").read_text().strip()])
        took_s(["ip", "link", "del", "vbr"])


@contextmanager
def _plugged(stem: str, bridge: str) -> Iterator[str]:
    """A cable into the bridge; the name of its other end."""
    ours, end = f"{stem}cable", f"{stem}guests"
    took_s(["ip", "link", "add", ours, "type", "veth", "peer", "name", end])
    took_s(["ip", "link", "set", ours, "master", bridge, "up"])
    took_s(["ip", "link", "set", end, "promisc", "on", "up"])
    try:
        yield end
    finally:
        took_s(["ip", "link", "del", ours])

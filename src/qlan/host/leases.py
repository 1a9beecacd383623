"""dnsmasq's leases: `expiry mac address name client-id`, one a line (dnsmasq(8), --dhcp-leasefile)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from pathlib import Path

from qlan.errors import GuestFailed, NotInTime
from qlan.host import files
from qlan.host.present import find_machine
from qlan.render.layout import Layout
from qlan.resources.model import Dnsmasq, ForeignBackend, Nic, Resource, Tap, TapBackend, UserBackend
from qlan.values import Value


class Lease(Value):
    """One lease.  expires_s: seconds since the epoch, 0 = never.  name: what the guest calls itself, or ""."""

    expires_s: int
    mac: str
    address: IPv4Address | IPv6Address
    name: str


def parse(text: str) -> list[Lease]:
    """The IPv4 leases of a lease file; a line that is being written just now is left out."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 5 or not words[0].isdecimal():
            continue
        try:
            address = IPv4Address(words[2])
        except AddressValueError:
            continue
        found.append(Lease(int(words[0]), words[1].lower(), address, "" if words[3] == "*" else words[3]))
    return found


def parse6(text: str) -> list[Lease]:
    """The IPv6 ones, `expiry iaid address name duid`.  mac: "" where the DUID does not say it (RFC 8415, 11)."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) != 5 or not words[0].isdecimal() or not words[1].removeprefix("T").isdecimal():
            continue
        try:
            address = IPv6Address(words[2])
        except AddressValueError:
            continue
        found.append(Lease(int(words[0]), _mac_of(words[4].lower()), address, "" if words[3] == "*" else words[3]))
    return found


def _mac_of(duid: str) -> str:
    """Of a DUID-LLT or a DUID-LL of Ethernet."""
    for head, length in (("00:01:00:01:", 14), ("00:03:00:01:", 10)):
        if duid.startswith(head) and duid.count(":") == length - 1:
            return duid[-17:]
    return ""


def read(path: Path) -> list[Lease]:
    """The IPv4 leases in a file; none if there is no such file yet."""
    return parse(files.read_text(path))


def read6(path: Path) -> list[Lease]:
    """The IPv6 ones."""
    return parse6(files.read_text(path))


class Arrival(Value):
    """A NIC that has its network.  address: its lease, or "" where there is no DHCP to see.  after_s: since the start
    of waiting."""

    guest: str
    nic: int
    network: str
    address: str
    after_s: float


class Waiting:
    """Which NICs of some guests have no lease yet.  A lease counts if it was given after the guest's process began."""

    def __init__(self, layout: Layout, resources: Mapping[str, Resource], guests: Iterable[str]) -> None:
        self._layout = layout
        self._guests = set(guests)
        self._servers = {one.network: one for one in resources.values() if isinstance(one, Dnsmasq)}
        taps = {one.key: one for one in resources.values() if isinstance(one, Tap)}
        self._nics = [
            (one, _network_of(one, taps))
            for one in resources.values()
            if isinstance(one, Nic) and one.guest in self._guests
        ]

    def wait(self, time_limit_s: float, seen: Callable[[Arrival], None]) -> list[Arrival]:
        """Until all are there; each is reported to `seen` as it comes.  GuestFailed, NotInTime."""
        start = time.monotonic()
        arrived: list[Arrival] = []
        left = list(self._nics)
        while True:
            for nic, network in list(left):
                address = self._address(nic, network)
                if address is not None:
                    left.remove((nic, network))
                    arrived.append(Arrival(nic.guest, nic.index, network, address, time.monotonic() - start))
                    seen(arrived[-1])
            if not left:
                return arrived
            self._check_alive({nic.guest for nic, _ in left})
            if time.monotonic() - start > time_limit_s:
                raise _not_in_time(left, time_limit_s)
            time.sleep(_POLL_S)

    def _address(self, nic: Nic, network: str) -> str | None:
        """The NIC's address, "" if it has its network but nobody can see an address, None if it is to be waited for."""
        server = self._servers.get(network)
        if server is None or server.first is None or not nic.link_up:
            return ""
        begun_s = _mtime(self._layout.guest(nic.guest) / "process")
        for lease in read(self._layout.leases(network)):
            fresh = lease.expires_s == 0 or lease.expires_s - server.lease_time_s >= int(begun_s)
            if lease.mac == nic.mac and fresh:
                return str(lease.address)
        return None

    def _check_alive(self, guests: set[str]) -> None:
        for guest in sorted(guests):
            if find_machine(self._layout, guest) is None:
                raise GuestFailed(
                    "it ended before it had its network", where=f"guest {guest}", hint=f"qlan log {guest}"
                )


_POLL_S = 0.02


def _network_of(nic: Nic, taps: Mapping[str, Tap]) -> str:
    if isinstance(nic.backend, UserBackend):
        return "user"
    if isinstance(nic.backend, ForeignBackend):
        return nic.backend.kind
    return taps[nic.backend.tap].network if isinstance(nic.backend, TapBackend) else nic.backend.network


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _not_in_time(left: list[tuple[Nic, str]], time_limit_s: float) -> NotInTime:
    words = ", ".join(f"{nic.guest}'s NIC {nic.index} on {network}" for nic, network in left)
    return NotInTime(
        f"no lease within {time_limit_s:.0f} s: {words}",
        hint="the lab stays up: see `qlan console GUEST`, `qlan log GUEST`, or give --timeout SECONDS",
    )

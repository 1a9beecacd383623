"""dnsmasq's leases, as in its lease file: `expiry mac address name client-id`, one a line (dnsmasq(8), --dhcp-leasefile)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Lease:
    """One lease.  expires_s: seconds since the epoch, 0 = never.  name: what the guest calls itself, "" if it did not."""

    expires_s: int
    mac: str
    address: IPv4Address
    name: str


def parse(text: str) -> list[Lease]:
    """The IPv4 leases of a lease file; a line that is being written just now is left out."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 5 or not words[0].isdigit():
            continue
        try:
            address = IPv4Address(words[2])
        except AddressValueError:
            continue
        found.append(Lease(int(words[0]), words[1].lower(), address, "" if words[3] == "*" else words[3]))
    return found


def read(path: Path) -> list[Lease]:
    """The leases in a file; none if there is no such file yet."""
    try:
        return parse(path.read_text(encoding="utf-8", errors="replace"))
    except (FileNotFoundError, NotADirectoryError):
        return []

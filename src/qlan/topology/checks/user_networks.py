"""The options of user-mode networking, by the rules of QEMU's net_slirp_init (net/slirp.c).

QEMU's defaults inside a subnet are .2 for the host, .3 for DNS and .15 for the guest, cut to the subnet's size: in a
small one the guest would get the broadcast address, which QEMU does not notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from qlan.facts.machine import Facts
from qlan.problems import Problem
from qlan.topology import backends
from qlan.topology.checks.titles import nics, of_nic
from qlan.topology.model import Nic, Topology, UserNetwork, mark_of
from qlan.topology.scalars import (
    Unreadable,
    parse_bootfile,
    parse_domain,
    parse_guestfwd,
    parse_hostname,
    subnet_fault,
)

SUBNET = IPv4Network("10.0.2.0/24")

_DEFAULTS = {"host": 0x0202, "dns": 0x0203, "dhcp_start": 0x020F}
_TEXTS: dict[str, Callable[[str], str]] = {
    "domain": parse_domain,
    "search": parse_domain,
    "hostname": parse_hostname,
    "bootfile": parse_bootfile,
    "guestfwd": parse_guestfwd,
}


def check(topology: Topology) -> Iterator[Problem]:
    """What the file alone tells."""
    for guest, index, nic in nics(topology):
        if nic.user is not None:
            title = of_nic(guest, index)
            yield from _check_families(nic, nic.user, title)
            yield from _check_texts(nic, nic.user, title)
            if nic.user.ipv4:
                yield from _check_addresses(nic, nic.user, title)


def check_here(topology: Topology, facts: Facts, exists: Callable[[Path], bool]) -> Iterator[Problem]:
    """Folders that are missing or files, and samba."""
    for guest, index, nic in nics(topology):
        if nic.user is None:
            continue
        title = of_nic(guest, index)
        if nic.user.backend == "passt":
            for key, what, hint in backends.faults(nic, facts.passt, facts.qemu.get(guest.arch or facts.arch)):
                yield Problem(mark_of(nic, f"user.{key}"), f"{title}: {what}", hint)
        for key, path in (("tftp", nic.user.tftp), ("smb", nic.user.smb)):
            if path and not exists(path):
                yield Problem(mark_of(nic, f"user.{key}"), f"{title}: there is no folder {path} for `{key}`")
            elif path in facts.misplaced:
                what = f"{title}: {path} is a file, and `{key}` wants a folder"
                yield Problem(mark_of(nic, f"user.{key}"), what, "name one that holds what the guest is to see")
        if nic.user.smb and facts.smbd is False:
            what = f"{title}: `smb` needs samba's smbd, which is not installed"
            yield Problem(mark_of(nic, "user.smb"), what, "install the package `samba`")


def _check_families(nic: Nic, user: UserNetwork, title: str) -> Iterator[Problem]:
    if not user.ipv4:
        given = [key for key in ("subnet", *_DEFAULTS) if getattr(user, key) is not None]
        for key in given:
            yield Problem(mark_of(nic, f"user.{key}"), f"{title}: `{key}` with `ipv4: false`", "leave one of them out")
        if user.ipv6 is False:
            yield Problem(mark_of(nic, "user.ipv6"), f"{title}: neither IPv4 nor IPv6 is left", "leave one of them on")
        for forward in nic.forwards:
            yield Problem(forward.mark, f"{title}: a forward needs IPv4, which is off", "leave `ipv4: false` out")
    if user.ipv6 is False and user.ipv6_prefix:
        what = f"{title}: `ipv6_prefix` with `ipv6: false`"
        yield Problem(mark_of(nic, "user.ipv6_prefix"), what, "leave one of them out")


def _check_texts(nic: Nic, user: UserNetwork, title: str) -> Iterator[Problem]:
    """What the reader has refused already, for topologies made in Python."""
    for key, parse in _TEXTS.items():
        value = getattr(user, key)
        for text in (value,) if isinstance(value, str) else value or ():
            try:
                parse(text)
            except Unreadable as error:
                yield Problem(mark_of(nic, f"user.{key}"), f"`{key}` of {title}: {error.what}", error.hint)


def _check_addresses(nic: Nic, user: UserNetwork, title: str) -> Iterator[Problem]:
    subnet = user.subnet or SUBNET
    fault = subnet_fault(subnet)
    if fault:
        yield Problem(mark_of(nic, "user.subnet"), f"`subnet` of {title}: {fault.what}", fault.hint)
        return
    owners: dict[IPv4Address, str] = {}
    for key, default in _DEFAULTS.items():
        written: IPv4Address | None = getattr(user, key)
        address = written or subnet.network_address + (default & int(subnet.hostmask))
        mark = mark_of(nic, f"user.{key}" if written else "user.subnet")
        said = f"{title}: `{key}`, {address}" + ("" if written else " unless written")
        hint = f"write `{key}:`, from {subnet.network_address + 1} to {subnet.broadcast_address - 1}"
        if address not in subnet:
            yield Problem(mark, f"{said}, is outside of {subnet}", hint)
        elif address in (subnet.network_address, subnet.broadcast_address):
            which = "network" if address == subnet.network_address else "broadcast"
            yield Problem(mark, f"{said}, is the {which} address of {subnet}", hint)
        elif address in owners:
            yield Problem(mark, f"{said}, is `{owners[address]}` already", hint)
        owners.setdefault(address, key)
    for forward in nic.forwards:
        if isinstance(forward.guest_address, IPv4Address) and forward.guest_address not in subnet:
            what = f"{title}: a forward to {forward.guest_address}, outside of the NIC's {subnet}"
            yield Problem(forward.mark, what, "leave the guest's address out, and it follows the guest")
    for word in user.guestfwd:
        yield from _check_guestfwd(nic, word, subnet, owners, title)


def _check_guestfwd(
    nic: Nic, word: str, subnet: IPv4Network, owners: dict[IPv4Address, str], title: str
) -> Iterator[Problem]:
    """QEMU: `Conflicting/invalid host:port in guest forwarding rule`."""
    mark = mark_of(nic, "user.guestfwd")
    try:
        address = IPv4Address(parse_guestfwd(word).split(":")[1])
    except ValueError:
        return  # told by _check_texts
    hint = f"use a free address of {subnet}"
    if address not in subnet:
        yield Problem(mark, f"{title}: `guestfwd` from {address}, outside of {subnet}", hint)
    elif owners.get(address) in ("host", "dns"):
        yield Problem(mark, f"{title}: `guestfwd` from {address}, which is `{owners[address]}`", hint)

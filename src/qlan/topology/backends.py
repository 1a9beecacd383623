"""Who is the network of a user-mode NIC: QEMU's own TCP/IP (slirp), or passt where it is asked for and can do it.

passt reaches the outside by sockets of this machine's, one to one: no NAT, the caller's address is kept, IPv6 as this
machine has it, about twice slirp's speed.  It has no TFTP, no samba and no way to shut the guest in.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from qlan.facts.machine import PasstFacts, QemuFacts
from qlan.topology.model import Nic, UserNetwork

STREAM = (7, 2)  # the QEMU that has `-netdev stream` with a socket of a path
GOOD = "--map-host-loopback"  # of passt 2024_08_21: its flow table made it fast and steady; `auto` waits for that

_LACKS = ("restrict", "tftp", "bootfile", "smb", "guestfwd", "ipv6_prefix", "domain", "dns")


def faults(nic: Nic, passt: PasstFacts | None, qemu: QemuFacts | None) -> Iterator[tuple[str, str, str]]:
    """Why passt cannot be the NIC's network: (key, what, hint).  passt None: it is not installed."""
    user = nic.user or UserNetwork()
    if passt is None:
        yield "backend", "passt is not installed", "install the package `passt`, or write `backend: slirp`"
    if qemu is not None and qemu.version[:2] < STREAM:
        version = ".".join(map(str, qemu.version))
        yield "backend", f"QEMU {version} cannot be plugged into passt (7.2 can)", "write `backend: slirp`"
    for key in _LACKS:
        if getattr(user, key):
            yield key, f"passt has no `{key}`", "leave it out, or write `backend: slirp`"
    for forward in nic.forwards:
        own = user.dhcp_start or (user.subnet or IPv4Network("10.0.2.0/24"))[15]
        if forward.guest_address not in (None, own):
            yield (
                "backend",
                f"passt forwards to the guest's own address, not to {forward.guest_address}",
                "leave it out",
            )
    if user.hostname and passt is not None and "--hostname" not in passt.options:
        yield "hostname", "the passt of this machine cannot tell a `hostname`", "leave it out, or install a newer one"


def chosen(nic: Nic, passt: PasstFacts | None, qemu: QemuFacts | None) -> str:
    """`slirp` or `passt`."""
    backend = nic.user.backend if nic.user else "slirp"
    if backend != "auto":
        return backend
    can = passt is not None and GOOD in passt.options and not list(faults(nic, passt, qemu))
    return "passt" if can else "slirp"

"""A reverse forward: a service of this machine for a guest.

    [tcp:|udp:]PORT:[HOST-ADDRESS:]HOST-PORT[/tcp|/udp]     5432:5432  8080:192.168.1.5:80  udp:53:5353

As with `ssh -R` and `passt -T`, what listens is said first: PORT of the host's address on the guest's network.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from qlan.names import user_gateway
from qlan.problems import Mark
from qlan.topology.forwards import LOOPBACK, parse_forwards
from qlan.topology.model import Forward, Reverse
from qlan.topology.scalars import Unreadable, quoted

_EXAMPLE = 'write it like "5432:5432" or "8080:192.168.1.5:80"'


def parse_reverses(text: str, mark: Mark | None = None) -> tuple[Reverse, ...]:
    """One, or as many as its ranges have ports.  Unreadable says what is wrong and what to write."""
    return tuple(_reverse(one, text, mark) for one in parse_forwards(text, mark))


def instead_of(one: Reverse, *, restrict: bool, host: IPv4Address | None, subnet: IPv4Network | None) -> str:
    """How a guest on user-mode networking gets there without one: in the words of a hint."""
    if restrict:
        line = f"tcp:10.0.2.100:{one.port}-cmd:nc 127.0.0.1 {one.host_port}"
        return f'write `guestfwd: ["{line}"]` under `user:` in the file'
    return f"{user_gateway(host, subnet)}:{one.host_port} is this machine's 127.0.0.1 in the guest"


def reverse_text(one: Reverse) -> str:
    """In the file's words."""
    protocol = "udp:" if one.protocol == "udp" else ""
    target = "" if one.host_address == LOOPBACK else f"{one.host_address}:"
    return f"{protocol}{one.port}:{target}{one.host_port}"


def _reverse(said: Forward, text: str, mark: Mark | None) -> Reverse:
    """The language is that of forwards, with the sides changed."""
    if said.host_port is None:
        raise Unreadable("a reverse forward has no `auto` port: the guest must know it", "8080:80")
    if said.host_address != LOOPBACK:
        raise Unreadable(
            f"{quoted(text)} names an address on the guest's side: that is the host's on the network",
            f"{said.host_port}:{said.guest_port}",
        )
    target = said.guest_address or LOOPBACK
    if not isinstance(target, IPv4Address):
        raise Unreadable(f"{quoted(text)}: a reverse forward leads to an IPv4 address", _EXAMPLE)
    return Reverse(said.protocol, said.host_port, target, said.guest_port, mark)

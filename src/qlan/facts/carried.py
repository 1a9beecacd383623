"""What one interface of this machine carries.  A file of its own: `qlan status` needs no more of the facts."""

from __future__ import annotations

from ipaddress import IPv4Interface

from qlan.values import Value


class Carried(Value):
    """What an interface carries, as words of `ip` in which `%` stands for the interface's own name.

    addresses, routes, rules, rules6: what follows `addr add`, `route add`, `rule add`, `-6 rule add`.  prefixes6: IPv6
    routes of the kernel's own that outlive their addresses.  ipv6: whether it is on at all; gen_mode: how its
    link-local address is made.  settings: (path with `%`, value) below /proc/sys, of the interface's own.
    """

    addresses: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    rules6: tuple[str, ...] = ()
    prefixes6: tuple[str, ...] = ()
    ipv6: bool = False
    gen_mode: str = "eui64"
    up: bool = True
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def interfaces(self) -> tuple[IPv4Interface, ...]:
        """Its IPv4 addresses, with their subnets."""
        words = [one.split()[0] for one in self.addresses if "peer" not in one.split() and ":" not in one.split()[0]]
        return tuple(map(IPv4Interface, words))

    @property
    def gateways(self) -> tuple[str, ...]:
        """The neighbours of its default routes, each once."""
        found = [words.split() for words in self.routes]
        via = [one[one.index("via") + 1] for one in found if one[1] in ("0.0.0.0/0", "::/0") and "via" in one]
        return tuple(dict.fromkeys(word for word in via if word != "inet6"))

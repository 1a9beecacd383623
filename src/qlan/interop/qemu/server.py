"""A dnsmasq of somebody's script: what its words say of a network (dnsmasq(8))."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv6Address
from pathlib import Path

from qlan.interop.told import Records, read_record, with_dhcp_options
from qlan.topology.model import Dhcp, Network
from qlan.topology.scalars import SECONDS_OF, Unreadable, parse_bootfile
from qlan.values import Struct, field, replace

_LEASE = re.compile(r"([0-9]+)([smhdw]?)")
_UNITS = {"": 1, **SECONDS_OF}
_SHORT = {"-i": "interface", "-F": "dhcp-range", "-G": "dhcp-host", "-p": "port", "-C": "conf-file",
          "-z": "bind-interfaces"}  # fmt: skip
_TAKE_A_WORD = ("interface", "dhcp-range", "dhcp-host", "port", "conf-file", "domain", "listen-address")
_OURS = frozenset({  # options of dnsmasq that qlan's own server has too
    "except-interface", "bind-interfaces", "bind-dynamic", "no-resolv", "no-hosts", "pid-file", "dhcp-authoritative",
    "dhcp-leasefile", "domain", "local", "domain-needed", "bogus-priv", "no-daemon", "user", "group",
    "keep-in-foreground", "log-facility", "expand-hosts", "no-ping", "listen-address", "log-dhcp", "strict-order",
    "no-poll", "enable-ra", "ra-param", "enable-tftp",
})  # fmt: skip


class Server(Struct):
    """What it was told.  given, given6: MAC -> address; modes6: the words of its IPv6 range."""

    interface: str = ""
    space: str = ""
    ends: tuple[IPv4Address, IPv4Address] | None = None
    lease_time_s: int = 3600
    dns: bool = True
    domain: str = ""
    tftp: str = ""
    bootfile: str = ""
    given: dict[str, IPv4Address] = field(default_factory=dict)
    given6: dict[str, IPv6Address] = field(default_factory=dict)
    modes6: tuple[str, ...] = ()
    options: list[str] = field(default_factory=list)
    records: Records = ()
    unsaid: list[str] = field(default_factory=list)

    def serve(self, network: Network, interface: IPv4Interface | None) -> Network:
        """The network with what the server does for it."""
        dhcp, left = None, self.options
        if self.ends and interface and all(end in interface.network for end in self.ends):
            dhcp, left = with_dhcp_options(Dhcp(*self.ends, lease_time_s=self.lease_time_s), self.options)
        self.unsaid += [f"--dhcp-option={value}" for value in left]
        ipv6 = network.ipv6
        if ipv6 and self.modes6:
            slaac = any(word in ("ra-stateless", "slaac", "ra-only") for word in self.modes6)
            ipv6 = replace(ipv6, slaac=slaac, dhcp=len(self.modes6) > 1 and ":" in self.modes6[1])
        records = tuple(
            (name, address)
            for name, address in self.records
            if address not in self.given.values() and address not in self.given6.values()
        )
        network = replace(network, dhcp=dhcp, ipv6=ipv6, dns=self.dns, records=records if self.dns else ())
        return self._boot(network)

    def _boot(self, network: Network) -> Network:
        """What its NICs boot from: a folder of this machine that goes with DHCP."""
        try:
            bootfile = parse_bootfile(self.bootfile) if self.bootfile else None
        except Unreadable:
            bootfile = None
        if not (network.dhcp and self.tftp):
            self.unsaid += [f"--tftp-root={self.tftp}"] if self.tftp else []
            bootfile = None
        self.unsaid += [f"--dhcp-boot={self.bootfile}"] if self.bootfile and not bootfile else []
        return replace(network, tftp=Path(self.tftp), bootfile=bootfile) if network.dhcp and self.tftp else network


def read_server(words: Sequence[str], space: str) -> Server:
    """The words of a dnsmasq that runs in a namespace."""
    server = Server(space=space)
    at = 0
    while at < len(words):
        key, equals, value = words[at].lstrip("-").partition("=")
        if not words[at].startswith("--"):
            key = _SHORT.get(words[at][:2], words[at])
            value = words[at][2:]
        if key in _TAKE_A_WORD and not equals and not value and at + 1 < len(words):
            at += 1
            value = words[at]
        _option(server, key, value)
        at += 1
    return server


def _option(server: Server, key: str, value: str) -> None:
    if key == "interface":
        server.interface = value
    elif key == "port" and value == "0":
        server.dns = False
    elif key == "dhcp-option":
        server.options.append(value)
    elif key in ("tftp-root", "dhcp-boot") and value and "," not in value:
        server.tftp, server.bootfile = (value, server.bootfile) if key == "tftp-root" else (server.tftp, value)
    elif key in _READERS:
        _READERS[key](server, value)
    elif key not in _OURS:
        server.unsaid.append(f"--{key}" + (f"={value}" if value else ""))
    if key == "domain":
        server.domain = value


def _range(server: Server, text: str) -> None:
    """`[set:tag,]first,last[,mask[,broadcast]][,lease]`, or of IPv6 `first[,last][,modes][,prefix][,lease]`."""
    parts = [part for part in text.split(",") if not part.startswith(("set:", "tag:", "interface:"))]
    if ":" in parts[0]:
        server.modes6 = tuple(parts)
        return
    try:
        server.ends = IPv4Address(parts[0]), IPv4Address(parts[1])
    except (AddressValueError, IndexError):
        server.unsaid.append(f"--dhcp-range={text}")
        return
    hit = _LEASE.fullmatch(parts[-1])
    if hit:
        server.lease_time_s = int(hit[1]) * _UNITS[hit[2]]
    elif parts[-1] == "infinite":
        server.unsaid.append("a lease without end")


def _given(server: Server, text: str) -> None:
    """`mac,address[,[address6]][,name][,lease]` in any order."""
    parts = text.split(",")
    macs = [part.lower() for part in parts if part.count(":") == 5 and not part.startswith("[")]
    addresses = [part for part in parts if re.fullmatch(r"[0-9]+(?:\.[0-9]+){3}", part)]
    addresses6 = [part.strip("[]") for part in parts if part.startswith("[")]
    if len(macs) != 1 or len(addresses) > 1 or len(addresses6) > 1 or not addresses + addresses6:
        server.unsaid.append(f"--dhcp-host={text}")
        return
    [mac] = macs
    if addresses:
        server.given[mac] = IPv4Address(addresses[0])
    if addresses6:
        server.given6[mac] = IPv6Address(addresses6[0])


def _record(server: Server, text: str) -> None:
    """`name[,name...],address[,address6]`."""
    parts = text.split(",")
    names = [part for part in parts if part and not _is_address(part)]
    found = [read_record(name, part) for name in names for part in parts if _is_address(part)]
    if not found or not all(found):
        server.unsaid.append(f"--host-record={text}")
    server.records += tuple(record for some in found for record in some)


def _is_address(text: str) -> bool:
    return ":" in text or text.replace(".", "").isdecimal()


_READERS = {"dhcp-range": _range, "dhcp-host": _given, "host-record": _record}

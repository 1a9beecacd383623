"""What a script does to the host before it starts QEMU: bridges, their ports and addresses, dnsmasq.

Understood are ip(8), brctl(8), tunctl and dnsmasq(8) as tutorials use them; every other command is kept as text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv4Interface

_LEADS = ("sudo", "doas", "env", "exec", "do", "then", "else", "time", "nohup")
_SILENT = ("set", "exit", "done", "fi", "true", ":", "wait", "shopt", "trap", "umask", "export")
_OUTSIDE = ("iptables", "nft", "sysctl", "firewall-cmd", "ufw")
_LEASE = re.compile(r"([0-9]+)([smhdw]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_OF_SERVER = frozenset({  # options of dnsmasq that qlan's own server has too
    "except-interface", "bind-interfaces", "bind-dynamic", "no-resolv", "no-hosts", "pid-file", "dhcp-authoritative",
    "dhcp-leasefile", "domain", "local", "domain-needed", "bogus-priv", "host-record", "no-daemon", "user", "group",
    "keep-in-foreground", "log-facility", "expand-hosts", "no-ping", "listen-address", "log-dhcp", "strict-order",
    "no-poll",
})  # fmt: skip


@dataclass(slots=True)
class Server:
    """A dnsmasq.  given: MAC -> address."""

    interface: str = ""
    space: str = ""
    ends: tuple[IPv4Address, IPv4Address] | None = None
    lease_time_s: int = 3600
    dns: bool = True
    domain: str = ""
    given: dict[str, IPv4Address] = field(default_factory=dict)
    unsaid: list[str] = field(default_factory=list)


@dataclass(slots=True)
class HostSide:
    """What is known about the host's links.  Addresses are by (namespace, link); masters: port -> bridge."""

    bridges: list[str] = field(default_factory=list)
    taps: list[str] = field(default_factory=list)
    masters: dict[str, str] = field(default_factory=dict)
    mtus: dict[str, int] = field(default_factory=dict)
    peers: dict[str, tuple[str, str]] = field(default_factory=dict)  # veth -> (namespace, far end)
    addresses: dict[tuple[str, str], IPv4Interface] = field(default_factory=dict)
    servers: list[Server] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def server_of(self, bridge: str) -> tuple[Server | None, IPv4Interface | None]:
        """The bridge's server, and its address if it is not the bridge's own."""
        for server in self.servers:
            if not server.space and server.interface == bridge:
                return server, None
            for veth, far in self.peers.items():
                if far == (server.space, server.interface) and self.masters.get(veth) == bridge:
                    return server, self.addresses.get(far)
        return None, None


def read_command(words: Sequence[str], host: HostSide, space: str = "") -> None:
    """One command of the script."""
    rest = list(words)
    while rest and rest[0] in _LEADS:
        rest.pop(0)
    if not rest or rest[0] in _SILENT:
        return
    shown = " ".join(words)
    name = rest[0].rpartition("/")[2]
    try:
        known = _TOOLS[name](rest[1:], host, space) if name in _TOOLS else False
    except (ValueError, IndexError):
        known = False
    if not known:
        (host.outside if name in _OUTSIDE or "ip_forward" in shown else host.others).append(shown)


def _ip(words: list[str], host: HostSide, space: str) -> bool:
    while words and words[0].startswith("-"):
        space = words[1] if words[0] in ("-n", "-netns") else space
        words = words[2 if words[0] in ("-n", "-netns", "-f", "-family") else 1 :]
    what, verb, rest = words[0], words[1] if len(words) > 1 else "show", words[2:]
    if "link".startswith(what) and "add".startswith(verb):
        return _link_add(rest, host)
    if "link".startswith(what) and "set".startswith(verb):
        return _link_set(rest, host, space)
    if "address".startswith(what) and verb in ("a", "add", "replace"):
        return _address(rest, host, space)
    if what in ("tuntap", "tun", "tap"):
        host.taps.append(_after(rest, "dev", "name") or next(word for word in rest if word not in ("mode", "tap")))
        return verb in ("add", "a")
    if what == "netns" and verb == "exec":
        read_command(rest[1:], host, rest[0])
        return True
    return what == "netns" and verb == "add"


def _link_add(words: list[str], host: HostSide) -> bool:
    kind = _after(words, "type")
    own = words[: words.index("type")] if "type" in words else words  # a veth's peer has words of its own behind
    name = _after(own, "name", "dev") or own[0]
    if mtu := _after(own, "mtu"):
        host.mtus[name] = int(mtu)
    if kind == "bridge":
        host.bridges.append(name)
        return True
    if kind == "veth" and "peer" in words:
        peer = words[words.index("peer") + 1 :]
        host.peers[name] = (_after(peer, "netns") or "", _after(peer, "name") or "")
        return True
    return False


def _link_set(words: list[str], host: HostSide, space: str) -> bool:
    name = _after(words, "dev") or words[0]
    rest = [word for word in words if word not in ("dev", name, "up", "down", "promisc", "on")]
    if space:
        return not rest
    while rest:
        key = rest.pop(0)
        if key == "master":
            host.masters[name] = rest.pop(0)
        elif key == "mtu":
            host.mtus[name] = int(rest.pop(0))
        elif key == "netns" and name in host.peers:
            host.peers[name] = (rest.pop(0), host.peers[name][1])
        elif key == "netns":
            _moved(name, rest.pop(0), host)
        else:
            return False
    return True


def _moved(name: str, space: str, host: HostSide) -> None:
    """The far end of a veth goes into a namespace."""
    for veth, (_, far) in host.peers.items():
        if far == name:
            host.peers[veth] = (space, far)


def _address(words: list[str], host: HostSide, space: str) -> bool:
    text = _after(words, "local") or words[0]
    if ":" in text:
        return False
    host.addresses[space, _after(words, "dev") or ""] = IPv4Interface(text)
    return True


def _ifconfig(words: list[str], host: HostSide, space: str) -> bool:
    if len(words) > 1 and words[1][:1].isdigit():
        mask = _after(words, "netmask")
        host.addresses[space, words[0]] = IPv4Interface(f"{words[1]}/{mask}" if mask else words[1])
        return True
    return words[1:] in (["up"], ["0.0.0.0", "up"], ["promisc", "up"])


def _brctl(words: list[str], host: HostSide, _: str) -> bool:
    if words[0] == "addbr":
        host.bridges.append(words[1])
    elif words[0] == "addif":
        host.masters.update(dict.fromkeys(words[2:], words[1]))
    return words[0] in ("addbr", "addif", "stp", "setfd")


def _tunctl(words: list[str], host: HostSide, _: str) -> bool:
    host.taps.append(_after(words, "-t") or "tap0")
    return True


def _dnsmasq(words: list[str], host: HostSide, space: str) -> bool:
    server = Server(space=space)
    short = {
        "-i": "interface",
        "-F": "dhcp-range",
        "-G": "dhcp-host",
        "-p": "port",
        "-C": "conf-file",
        "-z": "bind-interfaces",
    }
    at = 0
    while at < len(words):
        key, equals, value = words[at].lstrip("-").partition("=")
        if not words[at].startswith("--"):
            key = short.get(words[at][:2], words[at])
            value = words[at][2:]
        takes = key in ("interface", "dhcp-range", "dhcp-host", "port", "conf-file", "domain", "listen-address")
        if takes and not equals and not value and at + 1 < len(words):
            at += 1
            value = words[at]
        _server_option(server, key, value)
        at += 1
    host.servers.append(server)
    return True


def _server_option(server: Server, key: str, value: str) -> None:
    if key == "interface":
        server.interface = value
    elif key == "port" and value == "0":
        server.dns = False
    elif key == "dhcp-range":
        _range(server, value)
    elif key == "dhcp-host":
        _given(server, value)
    elif key == "dhcp-option" and (value == "option:router" or value.startswith("option:mtu,")):
        pass
    elif key not in _OF_SERVER:
        server.unsaid.append(f"--{key}" + (f"={value}" if value else ""))
    if key == "domain":
        server.domain = value


def _range(server: Server, text: str) -> None:
    """`[set:tag,]first,last[,mask[,broadcast]][,lease]`."""
    parts = [part for part in text.split(",") if not part.startswith(("set:", "tag:", "interface:"))]
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
    """`mac,address[,name][,lease]` in any order."""
    parts = text.split(",")
    macs = [part.lower() for part in parts if part.count(":") == 5]
    addresses = [part for part in parts if re.fullmatch(r"[0-9]+(?:\.[0-9]+){3}", part)]
    if len(macs) != 1 or len(addresses) != 1:
        server.unsaid.append(f"--dhcp-host={text}")
        return
    server.given[macs[0]] = IPv4Address(addresses[0])


def _after(words: Sequence[str], *keys: str) -> str | None:
    """The word behind the first of the keys that is there."""
    for key in keys:
        if key in words and words.index(key) + 1 < len(words):
            return words[words.index(key) + 1]
    return None


_TOOLS = {
    "ip": _ip, "ifconfig": _ifconfig, "brctl": _brctl, "tunctl": _tunctl, "dnsmasq": _dnsmasq,
}  # fmt: skip

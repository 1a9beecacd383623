"""What a script does to the host before it starts QEMU: bridges, their ports and addresses, dnsmasq.

Understood are ip(8), bridge(8), tc(8), brctl(8), tunctl and dnsmasq(8) as tutorials use them; every other command is
kept as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Interface, IPv6Interface

from qlan.interop.qemu.server import Server, read_server
from qlan.topology.scalars import parse_rate
from qlan.values import Struct, field

_LEADS = ("sudo", "doas", "env", "exec", "do", "then", "else", "time", "nohup")
_SILENT = ("set", "exit", "done", "fi", "true", ":", "wait", "shopt", "trap", "umask", "export")
_OUTSIDE = ("iptables", "nft", "sysctl", "firewall-cmd", "ufw")


class HostSide(Struct):
    """What is known about the host's links.  Addresses are by (namespace, link); masters: port -> bridge."""

    bridges: list[str] = field(default_factory=list)
    taps: list[str] = field(default_factory=list)
    masters: dict[str, str] = field(default_factory=dict)
    mtus: dict[str, int] = field(default_factory=dict)
    peers: dict[str, tuple[str, str]] = field(default_factory=dict)  # veth -> (namespace, far end)
    addresses: dict[tuple[str, str], IPv4Interface] = field(default_factory=dict)
    addresses6: dict[tuple[str, str], IPv6Interface] = field(default_factory=dict)
    options: dict[str, dict[str, str]] = field(default_factory=dict)  # of bridges, as ip(8) calls them
    isolated: set[str] = field(default_factory=set)  # ports
    untagged: dict[str, int] = field(default_factory=dict)  # link -> its own VLAN
    tagged: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    rates_bps: dict[str, int] = field(default_factory=dict)  # link -> what may leave it
    shapers: dict[str, str] = field(default_factory=dict)  # link -> the one through which goes what enters it
    servers: list[Server] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    macvtaps: dict[str, tuple[str, str]] = field(default_factory=dict)  # MAC -> (the NIC below, mode)
    done: set[str] = field(default_factory=set)  # of outside: what a network of ours does by itself

    def is_nic(self, link: str) -> bool:
        """Whether it may be one of the machine's own: the script did not make it."""
        return link not in self.taps and link not in self.peers and not link.startswith("tap")

    def server_of(self, bridge: str) -> tuple[Server | None, IPv4Interface | None]:
        """The bridge's server, and its address if it is not the bridge's own."""
        for server in self.servers:
            if not server.space and server.interface == bridge:
                return server, None
            for veth, far in self.peers.items():
                if far == (server.space, server.interface) and self.masters.get(veth) == bridge:
                    return server, self.addresses.get(far)
        return None, None


def read_command(words: Sequence[str], host: HostSide, space: str = "", into: str = "") -> None:
    """One command of the script.  into: its redirections."""
    rest = list(words)
    while rest and rest[0] in _LEADS:
        rest.pop(0)
    if not rest or rest[0] in _SILENT:
        return
    shown = " ".join([*words, into] if "/proc/" in into else words)
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
        host.taps.append(
            _after(rest, "dev", "name") or next((word for word in rest if word not in ("mode", "tap")), "")
        )
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
        return _bridge_options(name, words[words.index("type") + 2 :], host)
    if kind == "ifb":
        return True
    link, mac = _after(own, "link"), _after(own, "address")
    if kind == "macvtap" and link and mac:
        host.macvtaps[mac.lower()] = (link, _after(words, "mode") or "vepa")
        return True
    if kind == "veth" and "peer" in words:
        peer = words[words.index("peer") + 1 :]
        host.peers[name] = (_after(peer, "netns") or "", _after(peer, "name") or "")
        return True
    return False


def _link_set(words: list[str], host: HostSide, space: str) -> bool:
    name = _after(words, "dev") or words[0]
    if "type" in words:
        at = words.index("type")
        return words[at + 1] == "bridge" and _bridge_options(name, words[at + 2 :], host)
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


def _bridge_options(name: str, words: list[str], host: HostSide) -> bool:
    host.options.setdefault(name, {}).update(zip(words[::2], words[1::2], strict=False))
    return True


def _bridge(words: list[str], host: HostSide, space: str) -> bool:
    """bridge(8): isolated ports, VLANs."""
    link = _after(words, "dev") or ""
    if words[:2] == ["link", "set"] and _after(words, "isolated") == "on":
        host.isolated.add(link)
        return True
    vid = _after(words, "vid")
    if words[:2] != ["vlan", "add"] or vid is None:
        return False
    first, _, last = vid.partition("-")
    if "untagged" in words:
        host.untagged[link] = int(first)
    else:
        host.tagged.setdefault(link, []).append((int(first), int(last or first)))
    return True


def _tc(words: list[str], host: HostSide, space: str) -> bool:
    """tc(8): a token bucket for all that leaves a link, and an ifb for what enters it."""
    link, rate = _after(words, "dev") or "", _after(words, "rate")
    if words[0] == "qdisc" and "tbf" in words and "root" in words and rate:
        host.rates_bps[link] = parse_rate(rate)
        return True
    way = _after(words, "redirect")
    if words[0] == "filter" and way == "dev":
        host.shapers[link] = words[words.index("redirect") + 2]
        return True
    return words[0] == "qdisc" and "ingress" in words


def _moved(name: str, space: str, host: HostSide) -> None:
    """The far end of a veth goes into a namespace."""
    for veth, (_, far) in host.peers.items():
        if far == name:
            host.peers[veth] = (space, far)


def _address(words: list[str], host: HostSide, space: str) -> bool:
    text = _after(words, "local") or words[0]
    if ":" in text:
        host.addresses6[space, _after(words, "dev") or ""] = IPv6Interface(text)
        return True
    host.addresses[space, _after(words, "dev") or ""] = IPv4Interface(text)
    return True


def _ifconfig(words: list[str], host: HostSide, space: str) -> bool:
    if len(words) > 1 and words[1][:1].isdecimal():
        mask = _after(words, "netmask")
        host.addresses[space, words[0]] = IPv4Interface(f"{words[1]}/{mask}" if mask else words[1])
        return True
    return words[1:] in (["up"], ["0.0.0.0", "up"], ["promisc", "up"])


def _brctl(words: list[str], host: HostSide, _: str) -> bool:
    if words[0] == "addbr":
        host.bridges.append(words[1])
    elif words[0] == "addif":
        host.masters.update(dict.fromkeys(words[2:], words[1]))
    elif words[0] == "stp":
        host.options.setdefault(words[1], {})["stp_state"] = "1" if words[2] in ("on", "yes") else "0"
    return words[0] in ("addbr", "addif", "stp", "setfd")


def _dnsmasq(words: list[str], host: HostSide, space: str) -> bool:
    host.servers.append(read_server(words, space))
    return True


def _sysctl(words: list[str], host: HostSide, space: str) -> bool:
    """What qlan does for each of its bridges by itself."""
    return words[-1].endswith(".accept_ra=0")


def _tunctl(words: list[str], host: HostSide, _: str) -> bool:
    host.taps.append(_after(words, "-t") or "tap0")
    return True


def _after(words: Sequence[str], *keys: str) -> str | None:
    """The word behind the first of the keys that is there."""
    for key in keys:
        if key in words and words.index(key) + 1 < len(words):
            return words[words.index(key) + 1]
    return None


_TOOLS = {
    "ip": _ip, "ifconfig": _ifconfig, "brctl": _brctl, "tunctl": _tunctl, "dnsmasq": _dnsmasq,
    "bridge": _bridge, "tc": _tc, "sysctl": _sysctl,
}  # fmt: skip

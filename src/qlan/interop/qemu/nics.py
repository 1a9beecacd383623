"""The NICs of a command line, with what they are plugged into: networks of the lab, or user-mode networking."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, ip_address
from pathlib import Path

from qlan.cmdline import BadRule, Card, Clause, Kind, Plug, Rules, Wiring, parse_host_forward, read_user_mode
from qlan.interop.imported import Notes, Place
from qlan.interop.qemu.host import HostSide
from qlan.interop.qemu.machine import is_nic
from qlan.interop.shared import Shared
from qlan.names import MODEL_ALIASES, bracketed
from qlan.topology.forwards import parse_forwards
from qlan.topology.model import Forward, Network, Nic, Protocol, Rate, UserNetwork
from qlan.topology.scalars import (
    parse_address,
    parse_bootfile,
    parse_domain,
    parse_guestfwd,
    parse_hostname,
    parse_ipv6_prefix,
    parse_mac,
)
from qlan.values import Value, replace

_ALIASES = {name: alias for alias, name in MODEL_ALIASES.items()}
_ANY = IPv4Address(0)
_OF_QLAN = re.compile(r"([^/]+)/([^/]+)/\d+")  # what `qlan args` calls a NIC's place; no interface's name has a slash
_SAID_OF_CARD = frozenset({"driver", "model", "mac", "macaddr", "netdev", "id", "type", "name", "host_mtu", "bootindex",
                           "romfile"})  # fmt: skip
_SAID_OF_TAP = frozenset({"type", "id", "name", "ifname", "script", "br", "fd", "vhost"})
_NOTHING_OF_TAP = (("downscript", "no"),)
_SAID_OF_PASST = frozenset({"type", "id", "name"})
_PASST_PORTS = re.compile(r"(tcp|udp)-ports")
_PASST_SPEC = re.compile(r"(?:(?P<address>[0-9a-fA-F.:]+)/)?(?P<host>\d+(?:-\d+)?)(?::(?P<guest>\d+(?:-\d+)?))?")
_SAID_OF_USER = frozenset({
    "type", "id", "net", "ip", "host", "dhcpstart", "dns", "domainname", "dnssearch", "hostname", "ipv4", "ipv6",
    "ipv6-net", "ipv6-prefix", "ipv6-prefixlen", "restrict", "tftp", "bootfile", "smb", "hostfwd", "guestfwd", "name",
})  # fmt: skip


class Context(Value):
    """What NICs are read with.  place: the guest's."""

    wiring: Wiring
    rules: Rules
    host: HostSide
    shared: Shared
    notes: Notes
    guest: str

    @property
    def cards(self) -> list[Card]:
        """The NICs; a -device that nobody knows is none."""
        return [one for one in self.wiring.cards if self._is_known(one.clause)]

    def _is_known(self, clause: Clause | None) -> bool:
        return clause is None or clause.kind is not Kind.DEVICE or is_nic(clause, self.rules)

    def place(self, index: int) -> Place:
        return ("guests", self.guest, index)


def read_nics(context: Context) -> list[Nic]:
    """All NICs, in their order; netdevs that no NIC is plugged into become notes."""
    nics = [_nic(card, index, context) for index, card in enumerate(context.cards)]
    used = {plug.id for card in context.wiring.cards for plug in context.wiring.reached(card)}
    used |= {card.netdev for card in context.wiring.cards}
    for plug in context.wiring.plugs:
        if plug.id not in used and plug.clause:
            text = f"no NIC is plugged into -{plug.clause.kind} {plug.clause.argument.text}"
            context.notes.add(("guests", context.guest), text)
    return nics


def _nic(card: Card, index: int, context: Context) -> Nic:
    place, notes = context.place(index), context.notes
    values = {"model": _ALIASES.get(card.model, card.model) or "virtio"}
    mac = notes.value(place, "mac", card.mac, parse_mac) if card.own_mac else None
    said = card.clause.value if card.clause else lambda key: None
    boot = said("bootindex") is not None
    mtu = said("host_mtu")
    rom = said("romfile")
    if rom:
        notes.add(place, f"romfile={rom} of the NIC is not carried over")
    _note_rest(card.clause, _SAID_OF_CARD, place, context)
    base = Nic(model=values["model"], mac=mac, boot=boot, mtu_bytes=int(mtu) if mtu and mtu.isdecimal() else None)
    return _plugged(base, card, index, context)


def _note_rest(clause: Clause | None, said: frozenset[str], place: Place, context: Context) -> None:
    """Properties of a NIC that our words don't have.  -nic holds both ends: those of the netdev are noted there."""
    if clause is None or clause.kind is Kind.NIC:
        return
    for setting in clause.settings:
        if setting.key not in said:
            context.notes.add(place, f"{setting.key}={setting.value} of the NIC is not carried over")


def _plugged(nic: Nic, card: Card, index: int, context: Context) -> Nic:
    """The NIC with its network."""
    reached = context.wiring.reached(card)
    if card.hub is not None or any(plug.hub is not None for plug in reached) or _on_hubport(card, context):
        alone = len(reached) == 1 and sum(plug in context.wiring.reached(one) for one in context.wiring.cards
                                          for plug in reached) == 1  # fmt: skip
        if not alone:
            name = context.shared.nearest(
                "hub", f"{context.guest}/{card.hub}",
                f"a hub inside QEMU, with {', '.join(plug.type for plug in reached) or 'nothing else'} on it",
                stem=f"hub-{context.guest}",
            )  # fmt: skip
            return _on(nic, name)
    if not reached:
        why = f"NIC {index} of {context.guest} is plugged into nothing"
        return _on(nic, context.shared.nearest("nothing", f"{context.guest}/{index}", why, "unplugged"), link_up=False)
    plug = reached[0]
    return _BACKENDS.get(plug.type, _foreign)(nic, plug, index, context)


def _on_hubport(card: Card, context: Context) -> bool:
    plug = context.wiring.plug(card.netdev)
    return plug is not None and plug.type == "hubport"


def _on(nic: Nic, network: str, *, link_up: bool = True, address: IPv4Address | None = None) -> Nic:
    return replace(nic, network=network, address=address, link_up=link_up)


def _user(nic: Nic, plug: Plug, index: int, context: Context) -> Nic:
    place, notes = context.place(index), context.notes
    clause = plug.clause
    if clause is None:
        return Nic(None, UserNetwork(), nic.model, nic.mac, boot=nic.boot, mtu_bytes=nic.mtu_bytes)
    card_keys = _SAID_OF_CARD if clause.kind is Kind.NIC else frozenset()
    for setting in clause.settings:
        if setting.key not in _SAID_OF_USER | card_keys:
            notes.add(place, f"{setting.key}={setting.value} of user-mode networking is not carried over")
    forwards = tuple(one for one in (_forward(rule, place, context) for rule in clause.values("hostfwd")) if one)
    user = _user_network(clause, place, context)
    return Nic(None, user, nic.model, nic.mac, None, forwards, nic.boot, nic.link_up, nic.mtu_bytes)


def _user_network(clause: Clause, place: Place, context: Context) -> UserNetwork:
    notes, said = context.notes, clause.value
    try:
        mode = read_user_mode(clause, context.rules.version)
    except ValueError as error:
        notes.add(place, f"QEMU would refuse -{clause.kind} {clause.argument.text}: {error}")
        return UserNetwork()
    tftp, smb, families = said("tftp"), said("smb"), said("ipv4") is not None or said("ipv6") is not None
    prefix = next((key for key in ("ipv6-net", "ipv6-prefix", "ipv6-prefixlen") if said(key) is not None), None)
    names = [notes.value(place, "dnssearch", one, parse_domain) for one in clause.values("dnssearch")]
    return UserNetwork(
        subnet=mode.network if said("net") is not None or said("ip") is not None else None,
        host=notes.value(place, "host", said("host"), parse_address),
        dhcp_start=notes.value(place, "dhcpstart", said("dhcpstart"), parse_address),
        dns=notes.value(place, "dns", said("dns"), parse_address),
        domain=notes.value(place, "domainname", said("domainname"), parse_domain),
        search=tuple(name for name in names if name),
        hostname=notes.value(place, "hostname", said("hostname"), parse_hostname),
        ipv4=mode.ipv4 if families else True,
        ipv6=mode.ipv6 if families else None,
        ipv6_prefix=notes.value(place, "prefix", str(mode.network6), parse_ipv6_prefix) if prefix else None,
        restrict=mode.restrict,
        tftp=Path(tftp) if tftp else None,
        bootfile=notes.value(place, "bootfile", said("bootfile"), parse_bootfile),
        smb=Path(smb) if smb else None,
        guestfwd=tuple(
            one for rule in clause.values("guestfwd") if (one := notes.value(place, "guestfwd", rule, parse_guestfwd))
        ),
    )


def _forward(rule: str, place: Place, context: Context) -> Forward | None:
    try:
        one = parse_host_forward(rule, context.rules.version)
    except BadRule as error:
        context.notes.add(place, f"hostfwd={rule}: {error}")
        return None
    if one.path:
        context.notes.add(place, f"hostfwd={rule}: forwards from sockets are not in this version")
        return None
    protocol: Protocol = "udp" if one.protocol == "udp" else "tcp"
    return Forward(protocol, one.host_address or _ANY, one.host_port or None, one.guest_address, one.guest_port)


def _passt(nic: Nic, plug: Plug, index: int, context: Context) -> Nic:
    """QEMU's own passt (10.1 and newer): ours starts one, too."""
    forwards: list[Forward] = []
    known = _SAID_OF_PASST | (_SAID_OF_CARD if plug.clause and plug.clause.kind is Kind.NIC else frozenset())
    for setting in plug.clause.settings if plug.clause else ():
        ports = _PASST_PORTS.fullmatch(setting.key)
        led = [_passt_forwards(ports[1], one) for one in setting.value.split(",")] if ports else []
        if led and all(led):
            forwards += [one for some in led for one in some]
        elif setting.key not in known:
            text = f"{setting.key}={setting.value} of passt is not carried over"
            context.notes.add(context.place(index), text)
    user = UserNetwork(backend="passt")
    return Nic(None, user, nic.model, nic.mac, None, tuple(forwards), nic.boot, nic.link_up, nic.mtu_bytes)


def _passt_forwards(protocol: str, spec: str) -> Sequence[Forward]:
    """Of one SPEC of passt(1)'s -t and -u; none of those that only passt has (`all`, `auto`, `~22`, an interface)."""
    found = _PASST_SPEC.fullmatch(spec)
    if found is None:
        return ()
    address, host, guest = found["address"] or str(_ANY), found["host"], found["guest"] or found["host"]
    try:
        return parse_forwards(f"{protocol}:{bracketed(ip_address(address))}:{host}:{guest}")
    except ValueError:  # Unreadable is one
        return ()


def _tap(nic: Nic, plug: Plug, index: int, context: Context) -> Nic:
    said = plug.clause.value if plug.clause else lambda key: None
    _note_tap(plug, context.place(index), context)
    vhost = {"on": True, "off": False}.get(said("vhost") or "")
    nic = replace(nic, vhost=vhost if nic.model.startswith("virtio") else None)
    name = said("ifname") or ""
    bridge = context.host.masters.get(name) or said("br")
    if bridge is None and name and ("", name) in context.host.addresses:
        return _bridged(nic, name, context)
    if bridge is None and said("script") != "no" and said("fd") is None and said("fds") is None:
        script = said("script") or "/etc/qemu-ifup"
        own = f"{name}: " if name else ""
        why = f"{own}the bridge of {script} (a script of this machine's): which one is not said"
        return _on(nic, context.shared.nearest("script", script, why, "lan"))
    if bridge is None and nic.mac in context.host.macvtaps:
        return _on(nic, context.shared.macvtap(*context.host.macvtaps[nic.mac]))
    if bridge is None:
        what = f"TAP {name}" if name else "an open descriptor"
        why = f"{what}: what it is plugged into is not said"
        return _on(nic, context.shared.nearest("tap", name or f"{context.guest}/{index}", why, name or "tap"))
    return _ported(_bridged(nic, bridge, context), name, context)


def _ported(nic: Nic, tap: str, context: Context) -> Nic:
    """What the script asks of the NIC's port."""
    host = context.host
    rate = Rate(host.rates_bps.get(tap), host.rates_bps.get(host.shapers.get(tap, "")))
    filters = any(network.name == nic.network and network.vlan_filtering for network in context.shared.all)
    if filters:
        untagged = host.untagged.get(tap)
        nic = replace(nic, vlan=untagged if untagged != 1 else None, trunk=tuple(host.tagged.get(tap, ())))
    return replace(
        nic, isolated=True if tap in host.isolated else None, rate=rate if rate.in_bps or rate.out_bps else None
    )


def _note_tap(plug: Plug, place: Place, context: Context) -> None:
    """What of a TAP our words don't have; -nic holds the NIC's own words too."""
    card = _SAID_OF_CARD if plug.clause and plug.clause.kind is Kind.NIC else frozenset()
    for setting in plug.clause.settings if plug.clause else ():
        if setting.key not in _SAID_OF_TAP | card and (setting.key, setting.value) not in _NOTHING_OF_TAP:
            context.notes.add(place, f"{setting.key}={setting.value} of the TAP is not carried over")


def _bridge(nic: Nic, plug: Plug, index: int, context: Context) -> Nic:
    bridge = (plug.clause.value("br") if plug.clause else None) or "br0"
    if hit := _OF_QLAN.fullmatch(bridge):
        why = f"network {hit[2]} of lab {hit[1]}, by qlan's own helper: what it is, that lab's file says"
        return _on(nic, context.shared.nearest("qlan", f"{hit[1]}/{hit[2]}", why, hit[2]))
    _note_tap(plug, context.place(index), context)
    return _bridged(nic, bridge, context)


def _bridged(nic: Nic, bridge: str, context: Context) -> Nic:
    """On a bridge of the host, of which the script may have said more."""
    key = ("bridge", bridge)
    context.shared.existing(bridge)
    network: Network = context.shared.by_key[key]
    server, _ = context.host.server_of(bridge)
    address = server.given.get(nic.mac) if server and nic.mac else None
    address6 = server.given6.get(nic.mac) if server and nic.mac else None
    if nic.mtu_bytes == network.mtu_bytes:
        nic = replace(nic, mtu_bytes=None)
    return replace(_on(nic, network.name, address=address), address6=address6)


def _socket(nic: Nic, plug: Plug, index: int, context: Context) -> Nic:
    """Two ends of a socket, or all of a multicast group, are one network; ends are matched by their port or path."""
    said = plug.clause.value if plug.clause else lambda key: None
    if plug.clause:
        context.notes.add(context.place(index), f"it was plugged into {plug.clause.argument.text}")
    group = said("mcast") or (f"{said('remote.host')}:{said('remote.port')}" if _is_group(plug) else None)
    if group:
        return _on(nic, context.shared.nearest("multicast", group, f"a multicast group, {group}", "multicast"))
    keys = ("addr.path", "addr.port", "remote.path", "listen", "connect", "udp", "remote.port")
    place = next((value for key in keys if (value := said(key)) is not None), "?")
    port = place if "/" in place else place.rpartition(":")[2]
    own = said("localaddr") or said("local.path") or said("local.port")
    if own:
        port = "-".join(sorted((port, own.rpartition(":")[2] if "/" not in own else own)))
    return _on(nic, context.shared.nearest("socket", port, f"a socket between two QEMUs, {port}", "cable"))


def _is_group(plug: Plug) -> bool:
    said = plug.clause.value if plug.clause else lambda key: None
    try:
        return plug.type == "dgram" and IPv4Address(said("remote.host") or "").is_multicast
    except ValueError:
        return False


def _foreign(nic: Nic, plug: Plug, index: int, context: Context) -> Nic:
    """Anything else: the switch, tunnel or device at the other end stands as a private network."""
    said = plug.clause.value if plug.clause else lambda key: None
    keys = ("sock", "chardev", "vhostdev", "ifname", "dst")
    place = next((value for key in keys if (value := said(key)) is not None), f"{context.guest}/{index}")
    text = plug.clause.argument.text if plug.clause else plug.type
    return _on(nic, context.shared.nearest(plug.type, place, f"{plug.type} is not in this version: {text}", plug.type))


_BACKENDS: dict[str, Callable[[Nic, Plug, int, Context], Nic]] = {
    "user": _user, "passt": _passt, "tap": _tap, "bridge": _bridge, "socket": _socket, "stream": _socket,
    "dgram": _socket,
}  # fmt: skip

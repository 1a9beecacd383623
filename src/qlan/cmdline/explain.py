"""A command line in plain words: what each NIC is plugged into, who reaches whom, what is probably not meant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from qlan.cmdline.check import asks_help
from qlan.cmdline.convert import to_netdev, to_nic
from qlan.cmdline.forwards import HostForward
from qlan.cmdline.model import Clause, Fault, Kind, Reading
from qlan.cmdline.reach import Reach, reach_of
from qlan.cmdline.schema import Rules
from qlan.cmdline.shell import Word
from qlan.cmdline.usermode import UserMode, read_user_mode
from qlan.cmdline.warn import warnings_of
from qlan.cmdline.wiring import Card, Plug, Wiring, wire
from qlan.facts import Facts

_EMPTY = Word("")


@dataclass(frozen=True, slots=True)
class NetdevView:
    """A netdev in words.  subnet, guest: of a user-mode network, else "".  nics: the names of those plugged into it."""

    id: str
    type: str
    subnet: str
    guest: str
    reach: Reach
    nics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NicView:
    """A NIC in words.  netdevs: the ids of all it hears.  mac_is_default: QEMU counts it up from 52:54:00:12:34:56."""

    name: str
    model: str
    mac: str
    mac_is_default: bool
    netdevs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForwardView:
    """A host port that leads into the guest.  listens: address or socket; who: who can connect, in words."""

    netdev: str
    protocol: str
    listens: str
    port: int
    guest: str
    guest_port: int
    who: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """ok: QEMU would take the words.  errors, warnings: with their places.  convertible: to `nic`, to `netdev`."""

    ok: bool
    version: str
    errors: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    netdevs: tuple[NetdevView, ...]
    nics: tuple[NicView, ...]
    forwards: tuple[ForwardView, ...]
    convertible: tuple[str, ...]
    text: str
    prints_help: bool = False


def explain(reading: Reading, rules: Rules, facts: Facts | None = None) -> Explanation:
    """What the command line means.  facts: this machine's, for what only it can say (taken ports, who may listen)."""
    wiring = wire(reading.line, rules)
    modes = _user_modes(reading, wiring, rules)
    forwards = tuple(_forwards(modes))
    return Explanation(
        ok=reading.accepted,
        version=rules.name,
        errors=reading.faults,
        warnings=tuple(warnings_of(reading, wiring, rules, modes, facts)),
        netdevs=tuple(_netdev(plug, wiring, modes) for plug in wiring.plugs),
        nics=tuple(_nic(card, wiring) for card in wiring.cards),
        forwards=forwards,
        convertible=_convertible(reading, rules),
        text=reading.line.text,
        prints_help=any(asks_help(clause) for clause in reading.line.clauses),
    )


def _user_modes(reading: Reading, wiring: Wiring, rules: Rules) -> dict[str, UserMode]:
    """By netdev id; those with faults are left out."""
    found = {}
    empty = Clause(Kind.NIC, _EMPTY, _EMPTY, ())
    for plug in wiring.plugs:
        if plug.type == "user" and wiring.plug(plug.id) is plug:  # of two with one id the first
            try:
                found[plug.id] = read_user_mode(plug.clause or empty, rules.version)
            except ValueError:
                continue  # said among the errors already, or open to the shell
    return found


def _netdev(plug: Plug, wiring: Wiring, modes: dict[str, UserMode]) -> NetdevView:
    mode = modes.get(plug.id)
    nics = tuple(card.name for card in wiring.cards if plug in wiring.reached(card) or card.netdev == plug.id)
    subnet = str(mode.network) if mode and mode.ipv4 else str(mode.network6) if mode else ""
    guest = str(mode.dhcp_start) if mode and mode.ipv4 else ""
    return NetdevView(plug.id, plug.type, subnet, guest, reach_of(plug, mode), nics)


def _nic(card: Card, wiring: Wiring) -> NicView:
    netdevs = tuple(plug.id for plug in wiring.reached(card))
    return NicView(card.name, card.model, card.mac, not card.own_mac, netdevs)


def _forwards(modes: dict[str, UserMode]) -> Iterator[ForwardView]:
    for netdev, mode in modes.items():
        for forward in mode.forwards:
            guest = str(forward.guest_address or mode.dhcp_start)
            listens = forward.path or str(forward.host_address or "0.0.0.0")
            yield ForwardView(
                netdev, forward.protocol, listens, forward.host_port, guest, forward.guest_port, who_connects(forward)
            )


def who_connects(forward: HostForward) -> str:
    """Who can use a forward."""
    if forward.path:
        return "whoever may open the socket"
    if forward.host_address is None or forward.host_address == IPv4Address(0):
        return "everybody who reaches this machine"
    if forward.host_address.is_loopback:
        return "this machine only"
    return f"whoever reaches {forward.host_address}"


def _convertible(reading: Reading, rules: Rules) -> tuple[str, ...]:
    if not reading.accepted:
        return ()
    ways = (("nic", to_nic), ("netdev", to_netdev))
    return tuple(name for name, convert in ways if not convert(reading.line, rules).notes)

"""A command line in plain words: what each NIC is plugged into, who reaches whom, what is probably not meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address

from qlan.cmdline.check import asks_help
from qlan.cmdline.convert import to_netdev, to_nic
from qlan.cmdline.forwards import HostForward
from qlan.cmdline.model import Clause, Fault, Kind, Reading
from qlan.cmdline.reach import Reach, reach_of
from qlan.cmdline.schema import Rules
from qlan.cmdline.shell import Word
from qlan.cmdline.usermode import UserMode, read_user_mode
from qlan.cmdline.warn import SHARED, HelperRefusal, warnings_of
from qlan.cmdline.wiring import Card, Wiring, wire
from qlan.facts.machine import Facts
from qlan.values import Value

_EMPTY = Word("")


class NetdevView(Value):
    """A netdev in words.  subnet, guest: of a user-mode network, else "".  nics: the names of those plugged into it."""

    id: str
    type: str
    subnet: str
    guest: str
    reach: Reach
    nics: tuple[str, ...]


class NicView(Value):
    """A NIC in words.  netdevs: the ids of all it hears.  mac_is_default: QEMU counts it up from 52:54:00:12:34:56.

    offset: of its option in the text.  is_shared: other guests may be on what it hears.
    """

    name: str
    model: str
    mac: str
    mac_is_default: bool
    netdevs: tuple[str, ...]
    offset: int = 0
    is_shared: bool = False


class ForwardView(Value):
    """A host port that leads into the guest.  listens: address or socket; who: who can connect, in words.

    offset: of its netdev's option in the text.
    """

    netdev: str
    protocol: str
    listens: str
    port: int
    guest: str
    guest_port: int
    who: str
    offset: int = 0


class Explanation(Value):
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


def explain(
    reading: Reading, rules: Rules, facts: Facts | None = None, refusal: HelperRefusal | None = None
) -> Explanation:
    """What the command line means.

    facts: this machine's, for what only it can say (taken ports, who may listen).  refusal: what its bridge helpers
    would not open.
    """
    wiring = wire(reading.line, rules)
    modes = _user_modes(reading, wiring, rules)
    forwards = tuple(_forwards(wiring, modes))
    return Explanation(
        ok=reading.accepted,
        version=rules.name,
        errors=reading.faults,
        warnings=tuple(warnings_of(reading, wiring, rules, modes, facts, refusal)),
        netdevs=tuple(_netdevs(wiring, modes)),
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


def _netdevs(wiring: Wiring, modes: dict[str, UserMode]) -> Iterator[NetdevView]:
    """Each netdev with the NICs that hear it; those of one hub share one list."""
    own: dict[str, list[str]] = {}
    hubs: dict[int, list[str]] = {}
    for card in wiring.cards:
        plug = wiring.plug(card.netdev)
        hub = plug.hub if plug and plug.type == "hubport" else card.hub
        if hub is not None:
            hubs.setdefault(hub, []).append(card.name)
        if card.netdev:
            own.setdefault(card.netdev, []).append(card.name)
    shared = {hub: tuple(names) for hub, names in hubs.items()}
    for plug in wiring.plugs:
        mode = modes.get(plug.id)
        on_hub = plug.hub is not None and plug.type != "hubport"
        nics = shared.get(plug.hub or 0, ()) if on_hub else tuple(own.get(plug.id, ()))
        subnet = str(mode.network) if mode and mode.ipv4 else str(mode.network6) if mode else ""
        guest = str(mode.dhcp_start) if mode and mode.ipv4 else ""
        yield NetdevView(plug.id, plug.type, subnet, guest, reach_of(plug, mode), nics)


def _nic(card: Card, wiring: Wiring) -> NicView:
    plugs = wiring.reached(card)
    netdevs = tuple(plug.id for plug in plugs)
    shared = any(plug.type in SHARED for plug in plugs)
    return NicView(card.name, card.model, card.mac, not card.own_mac, netdevs, _offset(card.clause), shared)


def _offset(clause: Clause | None) -> int:
    return clause.offset() if clause else 0


def _forwards(wiring: Wiring, modes: dict[str, UserMode]) -> Iterator[ForwardView]:
    for netdev, mode in modes.items():
        plug = wiring.plug(netdev)
        offset = _offset(plug.clause if plug else None)
        for forward in mode.forwards:
            guest = str(forward.guest_address or mode.dhcp_start)
            listens = forward.path or str(forward.host_address or "0.0.0.0")
            yield ForwardView(
                netdev, forward.protocol, listens, forward.host_port, guest, forward.guest_port,
                who_connects(forward), offset,
            )  # fmt: skip


def clashes_of(explanations: Sequence[Explanation]) -> Iterator[Fault]:
    """What goes wrong when all of these guests run at once: one address or one port for two of them."""
    macs: dict[str, tuple[int, NicView]] = {}
    ports: list[tuple[int, ForwardView]] = []
    for number, explanation in enumerate(explanations):
        for nic in explanation.nics:
            first = macs.setdefault(nic.mac, (number, nic))
            if first[0] != number and first[1].is_shared and nic.is_shared:
                what = f"two guests have the address {nic.mac}: on one network neither can be reached"
                yield Fault(nic.offset, what, "mac= of its own in each", code="same-mac-guests")
        for forward in explanation.forwards:
            if any(_same_port(forward, other) for other_number, other in ports if other_number != number):
                what = f"two guests forward {forward.protocol} port {forward.port}: the second does not start"
                yield Fault(forward.offset, what, "another port", code="port-twice")
            ports.append((number, forward))


def _same_port(one: ForwardView, other: ForwardView) -> bool:
    if (one.protocol, one.port) != (other.protocol, other.port):
        return False
    if not one.port:
        return one.listens == other.listens and one.listens.startswith("/")
    return one.listens == other.listens or "0.0.0.0" in (one.listens, other.listens)


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

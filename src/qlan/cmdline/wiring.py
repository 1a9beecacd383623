"""Which NIC is plugged into what: the meaning of all clauses together, and what QEMU refuses of it.

Three ways lead to the same wiring.  `-netdev` + `-device` name each other by id.  `-nic` makes both ends.  `-net` puts
backends and NICs on hub 0, where all of them hear each other; so do `hubport`s of the same number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import ClassVar

from qlan.cmdline.check import HELP, backend_name, check_value, fault_at, is_open
from qlan.cmdline.forwards import parse_host_forward
from qlan.cmdline.model import Clause, CommandLine, Fault, Kind, Other
from qlan.cmdline.schema import Rules
from qlan.cmdline.tokens import last_value, split_settings
from qlan.cmdline.values import parse_device_mac, parse_nic_mac
from qlan.names import nearest
from qlan.values import Partly, Value, field, fill_in, replace

MAX_NICS = 8  # net/net.h: those of -nic and -net nic together
_ONE_SPACE_SINCE = (6, 0)  # before it -netdev and -nic could share an id
_STRICT_GLOBALS_SINCE = (9, 0)  # since then a wrong property of any model stops QEMU, not only of a model in use
FIRST_MAC = 0x525400123456  # the first NIC without mac=; the next ones count up


class Plug(Value):
    """A netdev.  id: its own, or one of ours (`nic1`, `net0`) where none was said.  hub: the hub it is on, or None.

    clause None: the user-mode network that QEMU makes where nothing was said.
    """

    id: str
    type: str
    clause: Clause | None
    hub: int | None = None


class Card(Value):
    """A NIC.  netdev: the id of what it is plugged into, or "".  mac: as the guest sees it.  own_mac: it was said."""

    name: str
    model: str
    mac: str
    own_mac: bool
    netdev: str
    clause: Clause | None
    hub: int | None = None


class Wiring(Partly):
    """All of one command line's network."""

    plugs: tuple[Plug, ...]
    cards: tuple[Card, ...]
    _by_id: dict[str, Plug] = field(default_factory=dict)
    _by_hub: dict[int, tuple[Plug, ...]] = field(default_factory=dict)
    UNCOMPARED: ClassVar[frozenset[str]] = frozenset({"_by_id", "_by_hub"})

    def __post_init__(self) -> None:
        """Index: a line of 100 kB can have thousands of both."""
        by_hub: dict[int, list[Plug]] = {}
        for plug in self.plugs:
            if plug.hub is not None and plug.type != "hubport":
                by_hub.setdefault(plug.hub, []).append(plug)
        fill_in(self, "_by_id", {plug.id: plug for plug in reversed(self.plugs)})
        fill_in(self, "_by_hub", {hub: tuple(plugs) for hub, plugs in by_hub.items()})

    def plug(self, name: str) -> Plug | None:
        """The netdev of that id; of two the first."""
        return self._by_id.get(name)

    def reached(self, card: Card) -> tuple[Plug, ...]:
        """What the NIC hears: its netdev, or everything on its hub."""
        own = self.plug(card.netdev) if card.netdev else None
        hub = own.hub if own and own.type == "hubport" else card.hub
        if hub is not None:
            return self._by_hub.get(hub, ())
        return (own,) if own else ()


def wire(line: CommandLine, rules: Rules) -> Wiring:
    """The wiring of a command line, as far as it can be understood."""
    plugs = tuple(_plugs(line))
    cards = list(_cards(line, rules, plugs))
    if _has_default(line):
        plugs += (Plug("default", "user", None),)
        cards.append(Card("default", default_model(line, rules), "", False, "default", None))
    macs = _given_macs(cards)
    return Wiring(plugs, tuple(replace(card, mac=mac) for card, mac in zip(cards, macs, strict=True)))


def processor_of(line: CommandLine) -> str:
    """The processor that the program plays; "" for x86."""
    hit = re.search(r"qemu-system-(\w+)", line.program.text) if line.program else None
    return hit[1] if hit and hit[1] not in ("x86_64", "i386") else ""


def rules_for(line: CommandLine, rules: Rules) -> Rules:
    """The rules as they are for the line's program."""
    processor = processor_of(line)
    return rules.of_processor(processor) if processor and not rules.processor else rules


def default_model(line: CommandLine, rules: Rules) -> str:
    """The NIC that the machine gets where none is named (hw/i386, hw/arm; "" where we don't know)."""
    machine = (line.option("machine", "M") or "").split(",")[0].removeprefix("type=")
    program = line.program.text.rsplit("/", 1)[-1] if line.program else "qemu-system-x86_64"
    if not program.endswith(("x86_64", "i386", "kvm", "qemu")):
        return "virtio-net-pci" if machine.startswith("virt") else ""
    if machine in ("isapc", "microvm", "none"):
        return {"isapc": "ne2k_isa"}.get(machine, "")
    return "e1000e" if "q35" in machine else "e1000"


def check_wiring(line: CommandLine, wiring: Wiring, rules: Rules) -> Iterator[Fault]:
    """What QEMU refuses of clauses that are right by themselves."""
    yield from _duplicate_ids(line, rules)
    yield from _unplugged(line, wiring)
    yield from _too_many(line)
    yield from _hubports(line, wiring)
    yield from _wrong_peers(wiring)
    yield from _unmade_models(line, wiring, rules)
    yield from _old_slots(line, wiring, rules)
    yield from _ports_twice(line, rules)
    yield from _character_devices(line)
    yield from check_globals(line, wiring, rules)


def check_globals(line: CommandLine, wiring: Wiring, rules: Rules) -> Iterator[Fault]:
    """A wrong property stops QEMU as soon as it makes such a NIC.

    Before 9.0 a PC that makes a NIC of its own (-nic, -net nic, the default one) looked at all PCI NICs' classes first.
    """
    models = {card.model for card in wiring.cards}
    onboard = any(card.clause is None or card.clause.kind is not Kind.DEVICE for card in wiring.cards)
    for clause in line.of_kind(Kind.GLOBAL):
        first = clause.settings[0] if clause.settings else None
        if first is None or "." not in first.key:
            driver, name, first = clause.value("driver") or "", clause.value("property") or "", clause.setting("value")
        else:
            driver, name = first.key.split(".", 1)
        device = rules.device(driver)
        in_use = device is not None and (
            device.name in models or (onboard and device.bus == "PCI") or rules.version >= _STRICT_GLOBALS_SINCE
        )
        if device and in_use and driver == device.name and name not in device.options:
            yield fault_at(clause, first, f"{driver} has no {name!r}", "", nearest(name, device.options))
        elif device and in_use and driver == device.name and first is not None and name != "addr":
            yield from check_value(clause, first, "mac" if name == "mac" else device.options[name])


def _plugs(line: CommandLine) -> Iterator[Plug]:
    said = {clause.value("id") for clause in line.of_kind(Kind.NETDEV, Kind.NIC, Kind.NET)}
    for index, clause in enumerate(line.of_kind(Kind.NETDEV, Kind.NIC, Kind.NET)):
        name = backend_name(clause) or "?"
        if name in HELP or name == "none" or (clause.kind is Kind.NET and name == "nic"):
            continue
        hub = 0 if clause.kind is Kind.NET else None
        number = clause.value("hubid")
        if name == "hubport" and number and number.lstrip("-").isdecimal():
            hub = int(number)
        own = f"{clause.kind}{index}"
        # What nobody can say: an id begins with a letter (QEMU's util/id.c makes its own ones so, too).
        yield Plug(clause.value("id") or (f"#{own}" if own in said else own), name, clause, hub)


def _cards(line: CommandLine, rules: Rules, plugs: tuple[Plug, ...]) -> Iterator[Card]:
    """The NICs that were asked for, in order; without mac= their address is "" yet."""
    onboard = default_model(line, rules)
    made = {id(plug.clause): plug for plug in plugs}
    number = 0
    for clause in line.of_kind(Kind.NIC, Kind.NET, Kind.DEVICE):
        plug = made.get(id(clause))
        is_card = clause.kind is Kind.DEVICE or (clause.kind is Kind.NIC and plug) or backend_name(clause) == "nic"
        if not is_card or clause.value("driver") in HELP:
            continue
        said = clause.value("mac") if clause.kind is not Kind.NET else clause.value("macaddr")
        hub = 0 if clause.kind is Kind.NET and clause.value("netdev") is None else None
        netdev = plug.id if plug else clause.value("netdev") or ""
        model = clause.value("driver") or clause.value("model") or onboard
        name = (clause.value("id") if clause.kind is Kind.DEVICE else "") or f"nic{number}"
        number += 1
        yield Card(name, _full_name(model, rules), _own_mac(clause, said), bool(said), netdev, clause, hub)


def _given_macs(cards: list[Card]) -> list[str]:
    """Those without a MAC get 52:54:00:12:34:56 and up; -nic is served first, then -net, then -device."""
    macs = [card.mac for card in cards]
    used: set[str] = set()
    free = FIRST_MAC
    for kind in (None, Kind.NIC, Kind.NET, Kind.DEVICE):
        for index, card in enumerate(cards):
            if (card.clause.kind if card.clause else None) is not kind:
                continue
            if not macs[index]:
                while (mac := _shown_mac(free)) in used:
                    free += 1
                macs[index] = mac
            used.add(macs[index])
    return macs


def _full_name(model: str, rules: Rules) -> str:
    if model == "virtio":
        return "virtio-net-pci"
    device = rules.device(model)
    return device.name if device else model


def _own_mac(clause: Clause, said: str | None) -> str:
    try:
        if said is None:
            return ""
        return parse_device_mac(said) if clause.kind is Kind.DEVICE else parse_nic_mac(said)
    except ValueError:
        return said or ""


def _shown_mac(number: int) -> str:
    return ":".join(f"{number >> shift & 255:02x}" for shift in range(40, -1, -8))


def _has_default(line: CommandLine) -> bool:
    """default_net in QEMU's main: any of these options switches it off."""
    if line.of_kind(Kind.NETDEV, Kind.NIC, Kind.NET):
        return False
    machine = (line.option("machine", "M") or "").split(",")[0]
    return machine != "none" and not any(isinstance(part, Other) and part.name == "nodefaults" for part in line.parts)


def _duplicate_ids(line: CommandLine, rules: Rules) -> Iterator[Fault]:
    """netdevs share one space of names, devices another, -net nic a third."""
    seen: dict[tuple[str, str], Clause] = {}
    for part in line.parts:
        if not isinstance(part, Clause) or part.kind is Kind.GLOBAL or part.value("id") is None:
            continue
        space: str = "netdev" if part.kind in (Kind.NETDEV, Kind.NIC, Kind.NET) else part.kind
        if rules.version < _ONE_SPACE_SINCE:
            space = part.kind
        space = "net nic" if part.kind is Kind.NET and backend_name(part) == "nic" else space
        name = part.value("id") or ""
        if backend_name(part) == "none" or is_open(part, name):
            continue
        if (space, name) in seen:
            setting = next(setting for setting in part.settings if setting.key == "id")
            yield fault_at(part, setting, f"id={name} is taken by another {space}", "an id of its own")
        seen[space, name] = part


def _unplugged(line: CommandLine, wiring: Wiring) -> Iterator[Fault]:
    """netdev= of devices and filters must lead somewhere, and to one NIC only."""
    taken = {card.netdev for card in wiring.cards if card.clause and card.clause.kind is Kind.NIC}
    taken |= {clause.value("netdev") or "" for clause in line.of_kind(Kind.NETDEV) if clause.value("hubid")}
    taken |= {plug.id for plug in wiring.plugs if plug.clause and plug.clause.kind is Kind.NET}
    known = [plug.id for plug in wiring.plugs]
    for clause in line.of_kind(Kind.NET, Kind.DEVICE, Kind.OBJECT):
        setting = clause.setting("netdev")
        if setting is None or is_open(clause, setting.value) or not _means_netdev(clause):
            continue
        if setting.value not in known:
            near = nearest(setting.value, known)
            expected = "the id of a -netdev" + (f" ({', '.join(known)})" if known else "; there is none")
            yield fault_at(clause, setting, f"netdev={setting.value} is nowhere", expected, near)
        elif clause.kind is not Kind.OBJECT:
            if setting.value in taken:
                yield fault_at(clause, setting, f"netdev={setting.value} has a NIC already", "one netdev for each NIC")
            taken.add(setting.value)


def _means_netdev(clause: Clause) -> bool:
    return clause.kind is not Kind.NET or backend_name(clause) == "nic"


def _too_many(line: CommandLine) -> Iterator[Fault]:
    count = 0
    for clause in line.of_kind(Kind.NIC, Kind.NET):
        name = backend_name(clause)
        count += name == "nic" if clause.kind is Kind.NET else name != "none"
        if count > MAX_NICS:
            yield fault_at(clause, None, f"more than {MAX_NICS} NICs by -nic and -net nic", "-netdev and -device")
            return


def _hubports(line: CommandLine, wiring: Wiring) -> Iterator[Fault]:
    """A hub port's own netdev must be there: stream and dgram are made first, then each -netdev, then each -nic."""
    seen = {plug.id for plug in wiring.plugs if plug.type in ("stream", "dgram")}
    for plug in sorted(wiring.plugs, key=lambda plug: plug.clause is None or plug.clause.kind is not Kind.NETDEV):
        clause = plug.clause
        if clause and clause.kind in (Kind.NETDEV, Kind.NIC) and plug.type == "hubport":
            wanted = clause.setting("netdev")
            if wanted and wanted.value not in seen:
                yield fault_at(
                    clause, wanted, f"netdev={wanted.value} is not there yet", "the id of an earlier -netdev"
                )
        seen.add(plug.id)


def _wrong_peers(wiring: Wiring) -> Iterator[Fault]:
    """A vhost backend has no data path of its own: only a virtio NIC will do."""
    for card in wiring.cards:
        plug = wiring.plug(card.netdev)
        if plug is None or card.clause is None or plug.type not in ("vhost-user", "vhost-vdpa"):
            continue
        if card.model and not card.model.startswith("virtio-net"):
            setting = card.clause.setting("driver") or card.clause.setting("model")
            what = f"{plug.type} serves virtio NICs only, not {card.model}"
            yield fault_at(card.clause, setting, what, "virtio-net-pci", "virtio-net-pci")


def _unmade_models(line: CommandLine, wiring: Wiring, rules: Rules) -> Iterator[Fault]:
    """A PC's `-nic model=`: up to 8.x an unknown one stops QEMU, later it only warns and makes no NIC."""
    machine = (line.option("machine", "M") or "pc").split(",")[0]
    is_pc = machine.startswith(("pc", "q35")) and bool(default_model(line, rules))
    if rules.version >= _STRICT_GLOBALS_SINCE or not is_pc:
        return
    known = rules.models | {"virtio", "ne2k_isa", "virtio-net-pci"}
    for card in wiring.cards:
        clause = card.clause
        model = clause.value("model") if clause and clause.kind is not Kind.DEVICE else None
        if clause and model is not None and model not in known and not is_open(clause, model):
            yield fault_at(clause, clause.setting("model"), f"no NIC model {model}", "", nearest(model, known))


def pci_slot(text: str) -> int | None:
    """`addr=` of -net nic: [[domain:]bus:]slot in hex, domain and bus 0 (hw/pci/pci.c); None: it is none."""
    hit = re.fullmatch(r"(?:(?:0+:)?0+:)?\+?(?:0[xX])?([0-9a-fA-F]{1,8})", text, re.ASCII)
    return int(hit[1], 16) if hit and int(hit[1], 16) <= 0x1F else None


def _old_slots(line: CommandLine, wiring: Wiring, rules: Rules) -> Iterator[Fault]:
    """Up to 8.x a wrong one stopped QEMU, later it is passed over."""
    if rules.version >= _STRICT_GLOBALS_SINCE or not default_model(line, rules):
        return
    for card in wiring.cards:
        setting = card.clause.setting("addr") if card.clause and card.clause.kind is Kind.NET else None
        if card.clause is None or setting is None or is_open(card.clause, setting.value) or card.model == "ne2k_isa":
            continue
        if pci_slot(setting.value) is None:
            yield fault_at(card.clause, setting, f"{setting.value!r} is no PCI slot", "a slot in hex, like 05")


def _ports_twice(line: CommandLine, rules: Rules) -> Iterator[Fault]:
    """Two forwards cannot listen on the same port; a whole machine's (no address) clashes with any address."""
    seen: dict[tuple[str, int], list[IPv4Address]] = {}
    for clause in line.of_kind(Kind.NETDEV, Kind.NIC, Kind.NET):
        for setting in clause.settings if backend_name(clause) == "user" else ():
            if setting.key != "hostfwd":
                continue
            try:
                forward = parse_host_forward(setting.value, rules.version)
            except ValueError:
                continue  # said already
            if not forward.host_port:
                continue
            others = seen.setdefault((forward.protocol, forward.host_port), [])
            address = forward.host_address or IPv4Address(0)
            if any(address == other or IPv4Address(0) in (address, other) for other in others):
                yield fault_at(clause, setting, f"port {forward.host_port} is forwarded twice", "another port")
            others.append(address)


def _character_devices(line: CommandLine) -> Iterator[Fault]:
    """vhost-user's chardev= and the mirrors' and redirectors' indev= and outdev=."""
    known = {
        last_value(split_settings(part.words[1].text, "backend"), "id")
        for part in line.parts
        if isinstance(part, Other) and part.name == "chardev" and len(part.words) > 1
    }
    for clause in line.of_kind(Kind.NETDEV, Kind.NIC, Kind.NET, Kind.OBJECT):
        keys: tuple[str, ...] = ("chardev",) if backend_name(clause) == "vhost-user" else ()
        if clause.kind is Kind.OBJECT and clause.value("qom-type") in ("filter-mirror", "filter-redirector"):
            keys = ("indev", "outdev")
        for key in keys:
            setting = clause.setting(key)
            if setting and setting.value not in known and not is_open(clause, setting.value):
                near = nearest(setting.value, [name for name in known if name])
                yield fault_at(clause, setting, f"{key}={setting.value} is nowhere", "the id of a -chardev", near)

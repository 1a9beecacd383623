"""The same network in the other form: `-nic` (one option a NIC) or `-netdev` with `-device` (two, and nothing unsaid).

Both directions also read the old `-net` and the options that QEMU 3.1 took away (`-redir`, `-tftp`, `-bootp`, `-smb`).
What the other form cannot say stays as it was, with a note.  NICs keep the addresses that QEMU would have given them.
"""

from __future__ import annotations

from collections.abc import Iterator

from qlan.cmdline.check import HELP, NESTED, backend_name
from qlan.cmdline.model import Clause, CommandLine, Form, Kind, Other
from qlan.cmdline.schema import Rules
from qlan.cmdline.shell import Word
from qlan.cmdline.tokens import Setting, Spelling
from qlan.cmdline.values import is_multicast_mac
from qlan.cmdline.wiring import MAX_NICS, Card, Plug, Wiring, check_globals, pci_slot, rules_for, wire
from qlan.values import Struct, Value, field, replace

Part = Clause | Other

_OWN_TO_DEVICE = frozenset({"driver", "netdev", "mac", "id"})


_STANDS_IN = "virtio-net-pci"  # for a NIC whose model the machine chooses, and nobody here knows


class Note(Value):
    """Something that stayed as it was, or changed beside the form.  offset: of its option in the text."""

    offset: int
    what: str


class Converted(Value):
    """line: the new command line.  notes: what could not be said; empty where all was."""

    line: CommandLine
    notes: tuple[Note, ...]


class _Edit(Struct):
    """What becomes of the parts: those not named stay."""

    line: CommandLine
    rules: Rules
    wiring: Wiring
    instead: dict[int, list[Part]]
    notes: list[Note]
    names: frozenset[str]
    numbers: dict[str, int] = field(default_factory=dict)

    def put(self, clause: Clause, *parts: Part) -> None:
        self.instead[id(clause)] = list(parts)

    def note(self, clause: Clause, what: str) -> None:
        self.notes.append(Note(clause.flag.start, what))

    def fresh(self, stem: str) -> str:
        """An id that nothing has yet."""
        number = self.numbers.get(stem, 0)
        while f"{stem}{number}" in self.names:
            number += 1
        self.numbers[stem] = number + 1
        return f"{stem}{number}"

    def result(self) -> Converted:
        parts: list[Part] = []
        for part in self.line.parts:
            parts += self.instead.get(id(part), [part])
        line = _with_same_macs(self.wiring, replace(self.line, parts=tuple(parts)), self.rules)
        said = {note.what: note for note in reversed(self.notes)}
        return Converted(line, tuple(sorted(said.values(), key=lambda note: note.offset)))


def to_netdev(line: CommandLine, rules: Rules) -> Converted:
    """`-nic` and `-net` become `-netdev` and `-device`.  The line must have no faults other than removed options."""
    edit = _edit(line, rules)
    _old_options(edit)
    for card in edit.wiring.cards:
        if card.clause and card.clause.kind is Kind.NIC:
            _nic_to_pair(edit, card, card.clause)
    _hub_to_netdevs(edit)
    return edit.result()


def to_nic(line: CommandLine, rules: Rules) -> Converted:
    """`-netdev` + `-device` and `-net` become `-nic` where it can say as much."""
    edit = _edit(line, rules)
    _old_options(edit)
    count = len(line.of_kind(Kind.NIC))
    plugged: dict[str, list[Card]] = {}
    for card in edit.wiring.cards:
        if card.clause:
            plugged.setdefault(card.netdev, []).append(card)
    for plug in edit.wiring.plugs:
        if plug.clause and plug.clause.kind is Kind.NETDEV and _pair_to_nic(edit, plug, plugged, count):
            count += 1
    _hub_to_nic(edit)
    return _unless_globals_hinder(edit.result(), line, rules)


def _unless_globals_hinder(converted: Converted, line: CommandLine, rules: Rules) -> Converted:
    """The line as it was, where its -global is judged only once there is a -nic (before QEMU 9.0)."""
    fault = next(check_globals(converted.line, wire(converted.line, rules), rules), None)
    if fault is None or any(check_globals(line, wire(line, rules), rules)):
        return converted
    note = Note(fault.offset, f"-nic makes QEMU {rules.name} refuse the -global: {fault.what}")
    return Converted(line, (*converted.notes, note))


def _edit(line: CommandLine, rules: Rules) -> _Edit:
    names = frozenset(part.value("id") or "" for part in line.parts if isinstance(part, Clause))
    own = rules_for(line, rules)
    return _Edit(line, own, wire(line, own), {}, [], names)


def make_clause(kind: Kind, settings: tuple[Setting, ...], *like: Clause) -> Clause:
    """A clause of ours.  like: those that it stands for; it has the place of the first and the variables of all."""
    expands = any(clause.argument.expands for clause in like)
    argument, flag = Word("", expands=expands, start=like[0].argument.start), Word(f"-{kind}", start=like[0].flag.start)
    return Clause(kind, flag, argument, settings, Form.OPTS, changed=True)


def plain_settings(clause: Clause, without: frozenset[str]) -> tuple[Setting, ...]:
    """The settings in key=value form, from whatever form they had."""
    kept = (setting for setting in clause.settings if setting.key not in without)
    return tuple(
        replace(setting, spelling=Spelling.EQUALS, exact=None)
        if setting.spelling in (Spelling.IMPLIED, Spelling.MEMBER) or clause.form is Form.JSON
        else setting
        for setting in kept
    )


def _backend(clause: Clause, name: str, own_id: str, without: frozenset[str]) -> tuple[Setting, ...]:
    kind = Setting("type", name, Spelling.IMPLIED)
    identity = (Setting("id", own_id),) if own_id else ()
    return (kind, *identity, *plain_settings(clause, without | {"type", "id"}))


def _nic_to_pair(edit: _Edit, card: Card, clause: Clause) -> None:
    name = backend_name(clause) or "user"
    if why := _why_no_device(edit, card):
        edit.note(clause, why)
        return
    own_id = _own_id(edit, clause)
    netdev = make_clause(Kind.NETDEV, _backend(clause, name, own_id, frozenset({"model", "mac"})), clause)
    edit.put(clause, netdev, _device(edit, card, own_id, clause))


def _own_id(edit: _Edit, clause: Clause) -> str:
    """The netdev's id: what was said, unless another has it too (before QEMU 6.0 one of each option could)."""
    own_id = clause.value("id") or ""
    others = (one for one in edit.line.of_kind(Kind.NETDEV, Kind.NIC, Kind.NET) if one is not clause)
    if not own_id or any(one.value("id") == own_id for one in others):
        return edit.fresh("net")
    return own_id


def _why_no_device(edit: _Edit, card: Card) -> str:
    """Why -device would not take the card's model, or ""; -nic and -net only warn of it."""
    model, rules = card.model or _STANDS_IN, edit.rules
    if model.startswith("{"):
        return f"-device takes {model} for JSON"
    if rules.device(model) or (rules.processor and model not in rules.lacking):
        return ""
    whose = f"qemu-system-{rules.processor}" if rules.processor else f"QEMU {rules.name}"
    if not card.model:
        return f"the machine's own NIC model is not known here, and {whose} has no {_STANDS_IN} to stand in"
    return f"{whose} has no device {model}"


def _device(edit: _Edit, card: Card, netdev: str, clause: Clause) -> Clause:
    settings = [Setting("driver", card.model or _STANDS_IN, Spelling.IMPLIED)]
    if not card.model:
        edit.note(clause, f"the machine's own NIC model is not known here: {_STANDS_IN} stands in")
    if netdev:
        settings.append(Setting("netdev", netdev))
    if card.own_mac:
        settings.append(Setting("mac", card.mac))
    if clause.kind is Kind.NET:
        settings += _old_properties(edit, card, clause)
    return make_clause(Kind.DEVICE, tuple(settings), clause)


def _old_properties(edit: _Edit, card: Card, clause: Clause) -> Iterator[Setting]:
    """addr= and vectors= of -net nic, where the model has them; QEMU passes over them elsewhere."""
    model = edit.rules.device(card.model)
    for key in ("addr", "vectors"):
        value = clause.value(key)
        if value is None:
            continue
        slot = pci_slot(value) if key == "addr" else None
        if (model is not None and key not in model.options) or (key == "addr" and slot is None):
            edit.note(clause, f"{key}={value} means nothing to {card.model}: left out")
        else:
            yield Setting(key, value if slot is None else f"{slot:x}")


def _hub(edit: _Edit) -> tuple[list[Plug], list[Card]]:
    plugs = [plug for plug in edit.wiring.plugs if plug.clause and plug.clause.kind is Kind.NET]
    cards = [card for card in edit.wiring.cards if card.clause and card.clause.kind is Kind.NET]
    return plugs, cards


def _hub_to_netdevs(edit: _Edit) -> None:
    """One backend and one NIC need no hub; more of them get hub ports."""
    plugs, cards = _hub(edit)
    for card in cards:
        if why := _why_no_device(edit, card):
            edit.note(_clause_of(card), why)
            return
    on_hub = [card for card in cards if card.hub is not None]
    direct = len(plugs) == 1 and len(on_hub) == 1
    for plug in plugs:
        clause = _clause_of(plug)
        own_id = _own_id(edit, clause)
        parts = [make_clause(Kind.NETDEV, _backend(clause, plug.type, own_id, frozenset()), clause)]
        if not direct and on_hub:
            parts.append(_hubport(edit, clause, own_id)[1])
            edit.note(clause, "-net is one hub for all of its NICs and networks: said by hub ports")
        edit.put(clause, *parts)
        if direct:
            card = on_hub[0]
            edit.put(_clause_of(card), _device(edit, card, own_id, _clause_of(card)))
    for card in cards:
        clause = _clause_of(card)
        if card.hub is None:
            edit.put(clause, _device(edit, card, card.netdev, clause))
        elif not direct:
            port, netdev = _hubport(edit, clause, "")
            edit.put(clause, netdev, _device(edit, card, port, clause))
    _nothing(edit)


def _clause_of(thing: Plug | Card) -> Clause:
    assert thing.clause is not None
    return thing.clause


def _hubport(edit: _Edit, clause: Clause, netdev: str) -> tuple[str, Clause]:
    own_id = edit.fresh("hub")
    settings = [Setting("type", "hubport", Spelling.IMPLIED), Setting("id", own_id), Setting("hubid", "0")]
    if netdev:
        settings.append(Setting("netdev", netdev))
    return own_id, make_clause(Kind.NETDEV, tuple(settings), clause)


def _nothing(edit: _Edit) -> None:
    for clause in edit.line.of_kind(Kind.NET):
        if backend_name(clause) == "none":
            edit.put(clause, make_clause(Kind.NIC, (Setting("type", "none", Spelling.IMPLIED),), clause))


def _pair_to_nic(edit: _Edit, plug: Plug, plugged: dict[str, list[Card]], count: int) -> bool:
    """Whether the netdev and its device became one -nic."""
    clause = _clause_of(plug)
    if plug.type in HELP:
        return False
    cards = plugged.get(plug.id, [])
    reason = _hindrance(edit, plug, cards, count)
    if reason:
        edit.note(clause, f"-netdev {plug.id}: {reason}")
        return False
    card = cards[0]
    own_id = plug.id if _is_named_elsewhere(edit, plug.id, card) else ""
    settings = list(_backend(clause, plug.type, own_id, frozenset()))
    settings.insert(1, Setting("model", _nic_model(card.model)))
    if card.own_mac:
        settings.insert(2, Setting("mac", card.mac))
    edit.put(clause)
    edit.put(_clause_of(card), make_clause(Kind.NIC, tuple(settings), _clause_of(card), clause))
    return True


def _nic_model(model: str) -> str:
    return "virtio" if model == "virtio-net-pci" else model


def _hindrance(edit: _Edit, plug: Plug, cards: list[Card], count: int) -> str:
    """Why -nic cannot say it, or ""."""
    if plug.type in NESTED:
        return f"-nic has no {plug.type}"
    if not cards:
        return "no NIC is plugged into it"
    card = cards[0]
    clause = _clause_of(card)
    if clause.kind is not Kind.DEVICE:
        return f"its NIC is a -{clause.kind}"
    if is_multicast_mac(card.mac):
        return "-nic takes no multicast MAC address"
    more = sorted({setting.key for setting in clause.settings} - _OWN_TO_DEVICE)
    if more:
        return f"-nic cannot say {', '.join(more)}"
    if card.model not in edit.rules.models | {"virtio-net-pci"}:
        return f"-nic has no model {card.model}"
    if count >= MAX_NICS:
        return f"-nic makes {MAX_NICS} NICs at most"
    if clause.value("id"):
        edit.note(clause, f"the device's id {clause.value('id')} is gone: -nic cannot name its device")
    return ""


def _is_named_elsewhere(edit: _Edit, name: str, card: Card) -> bool:
    """Whether a filter or a hub port asks for the netdev by its id."""
    return any(
        clause.value("netdev") == name and clause is not card.clause
        for clause in edit.line.clauses
        if clause.kind is Kind.OBJECT or backend_name(clause) == "hubport"
    )


def _hub_to_nic(edit: _Edit) -> None:
    plugs, cards = _hub(edit)
    on_hub = [card for card in cards if card.hub is not None]
    _nothing(edit)
    if not plugs and not on_hub:
        return
    first = _clause_of((plugs or on_hub)[0])
    if len(plugs) != 1 or len(on_hub) != 1:
        edit.note(first, "-net with other than one NIC and one network is a hub, which -nic cannot say")
        return
    nic, card = _clause_of(on_hub[0]), on_hub[0]
    more = sorted({setting.key for setting in nic.settings} - {"type", "model", "macaddr", "id"})
    if more:
        edit.note(nic, f"-nic cannot say {', '.join(more)}")
        return
    settings = list(_backend(_clause_of(plugs[0]), plugs[0].type, "", frozenset()))
    if nic.value("model"):
        settings.insert(1, Setting("model", _nic_model(card.model)))
    if card.own_mac:
        settings.insert(1, Setting("mac", card.mac))
    edit.put(_clause_of(plugs[0]))
    edit.put(nic, make_clause(Kind.NIC, tuple(settings), nic, _clause_of(plugs[0])))


def _old_options(edit: _Edit) -> None:
    """-redir, -tftp, -bootp and -smb belong to the first user network; without one they make one."""
    old = edit.line.of_kind(Kind.REDIR, Kind.TFTP, Kind.BOOTP, Kind.SMB)
    if not old:
        return
    settings = tuple(setting for clause in old for setting in _modern(edit, clause))
    for clause in old:
        edit.put(clause)
    target = next((plug.clause for plug in edit.wiring.plugs if plug.type == "user" and plug.clause), None)
    if target is None:
        new = make_clause(Kind.NIC, (Setting("type", "user", Spelling.IMPLIED), *settings), old[0])
        parts = tuple(new if part is old[0] else part for part in edit.line.parts)
    else:
        new = replace(target, settings=target.settings + settings, changed=True)
        parts = tuple(new if part is target else part for part in edit.line.parts)
    edit.line = replace(edit.line, parts=parts)
    edit.wiring = wire(edit.line, edit.rules)


def _modern(edit: _Edit, clause: Clause) -> Iterator[Setting]:
    text = clause.settings[0].value
    key = {Kind.TFTP: "tftp", Kind.BOOTP: "bootfile", Kind.SMB: "smb"}.get(clause.kind)
    if key:
        yield Setting(key, text)
        return
    pieces = text.split(":")
    if len(pieces) == 4:
        protocol, host, guest, port = pieces
        yield Setting("hostfwd", f"{protocol or 'tcp'}::{host}-{guest}:{port}")
    else:
        edit.note(clause, f"-redir {text} is not [tcp|udp]:hostport:[guestaddr]:guestport")


def _with_same_macs(before: Wiring, line: CommandLine, rules: Rules) -> CommandLine:
    """QEMU numbers MACs by kind of option: where the form changes that, the old address is written down."""
    after = wire(line, rules)
    if len(before.cards) != len(after.cards):
        return line
    pinned: dict[int, Clause] = {}
    for old, new in zip(before.cards, after.cards, strict=True):
        clause = new.clause
        if clause is None or old.mac == new.mac or old.own_mac or has_default(before):
            continue
        key = "macaddr" if clause.kind is Kind.NET else "mac"
        pinned[id(clause)] = replace(clause, settings=(*clause.settings, Setting(key, old.mac)), changed=True)
    return replace(line, parts=tuple(pinned.get(id(part), part) for part in line.parts))


def has_default(wiring: Wiring) -> bool:
    """Whether the NIC is the one that QEMU makes where nothing is said."""
    return any(card.clause is None for card in wiring.cards)

"""Words to a CommandLine and back: which word is an option, which its argument, and what the argument holds."""

from __future__ import annotations

import re

from qlan.cmdline.check import NESTED
from qlan.cmdline.model import Clause, CommandLine, Fault, Form, Kind, Other
from qlan.cmdline.schema import Rules
from qlan.cmdline.shell import Command, Word, quote_word
from qlan.cmdline.starters import command_place, starts_nothing
from qlan.cmdline.tokens import BadArgument, Setting, join_json, join_settings, split_json, split_keyval, split_settings
from qlan.names import nearest

_PROGRAM = re.compile(r"(?:.*/)?(?:qemu-system-[\w-]+|qemu-kvm|kvm|qemu(?:-[\w.]+)?(?:\.exe)?)(?:\.exe)?")
_NOT_PROGRAM = re.compile(r"(?:.*/)?qemu-(?:img|nbd|io|ga|guest|storage|bridge|pr|user|i386|x86_64|arm|aarch64)\b.*")
_IMPLIED = {Kind.NETDEV: "type", Kind.NIC: "type", Kind.NET: "type", Kind.DEVICE: "driver", Kind.OBJECT: "qom-type"}
_JSON_SINCE = {Kind.NETDEV: (7, 2), Kind.DEVICE: (6, 2), Kind.OBJECT: (6, 0)}
_OLD = {"tftp": Kind.TFTP, "bootp": Kind.BOOTP, "smb": Kind.SMB, "redir": Kind.REDIR}
_LISTS = frozenset({"hostfwd", "guestfwd", "dnssearch", "search", "tcp-ports", "udp-ports", "param"})


def find_program(words: tuple[Word, ...]) -> int | None:
    """The index of the word that is QEMU's program, or None: no QEMU here."""
    place = command_place(words)
    if place == len(words):
        return None
    for index, word in enumerate(words[place:], place):
        if _PROGRAM.fullmatch(word.text) and not _NOT_PROGRAM.fullmatch(word.text):
            return None if index > place and starts_nothing(words[place]) else index
    unknown = int(words[place].expands)  # `$SUDO $QEMU -nic user`, `$QEMU $IMAGE -nic user`
    first = next((index for index in range(place, len(words)) if words[index].text.startswith("-")), len(words))
    options = {word.text.lstrip("-") for word in words[first:]}
    if options & {"netdev", "nic", "net", "device", "hda", "cdrom", "drive", "kernel"}:
        return first - 1 if place < first <= place + 1 + unknown else None
    return None


def parse_words(command: Command, text: str, rules: Rules) -> tuple[CommandLine, list[Fault]]:
    """The command as a CommandLine, and the faults of its form (meaning is checked elsewhere)."""
    words = command.words
    index = find_program(words)
    fragment = index is None and bool(words) and words[0].text.startswith("-")
    start = 0 if index is None else index + 1
    lead = command.before + (() if fragment else words[: start - 1 if start else 0])
    program = None if index is None else words[index]
    parts: list[Clause | Other] = []
    faults: list[Fault] = []
    at = start
    while at < len(words):
        part, used = _part(words, at, rules, faults)
        parts.append(part)
        at += used
    return CommandLine(lead, program, tuple(parts), command.after, text), faults


def parse_clause(flag: Word, argument: Word, rules: Rules) -> tuple[Clause | Other, list[Fault]]:
    """One network option and its argument."""
    name = flag.text.lstrip("-")
    kind = _OLD.get(name) or Kind(name)
    if kind in _OLD.values():
        return Clause(kind, flag, argument, (Setting(kind, argument.text),)), []
    try:
        settings, form = _settings(kind, argument.text, rules)
    except BadArgument as error:
        form = Form.JSON if argument.text.startswith("{") else Form.KEYVAL
        fault = Fault(argument.offset(error.offset), f"-{name}: {error}", error.expected, code="form")
        return Clause(kind, flag, argument, (), form, is_network=False), [fault]
    return Clause(kind, flag, argument, settings, form, _is_network(kind, settings, rules)), []


def render_argument(clause: Clause) -> str:
    """The argument of a clause, from its settings."""
    if clause.kind in _OLD.values():
        return clause.settings[0].value
    if clause.form is Form.JSON:
        return join_json(clause.settings, _LISTS)
    if clause.kind is Kind.GLOBAL and clause.settings and "." in clause.settings[0].key:
        return f"{clause.settings[0].key}={clause.settings[0].value}"
    return join_settings(clause.settings)


def render_words(line: CommandLine) -> list[Word]:
    """The words again; those of unchanged parts are the very same."""
    found = [*line.lead, *([line.program] if line.program else [])]
    for part in line.parts:
        if isinstance(part, Other):
            found += part.words
        elif part.changed:
            found += [part.flag, Word(render_argument(part), expands=part.argument.expands)]
        else:
            found += [part.flag, part.argument]
    return found + list(line.tail)


def render_shell(line: CommandLine) -> str:
    """One line of shell text."""
    return " ".join(quote_word(word) for word in render_words(line))


def _part(words: tuple[Word, ...], at: int, rules: Rules, faults: list[Fault]) -> tuple[Clause | Other, int]:
    word = words[at]
    if not word.text.startswith("-") or word.text == "-" or word.expands:
        return Other((word,)), 1
    name = word.text[2:] if word.text.startswith("--") else word.text[1:]
    is_kind = name in _OLD or name in list(Kind)
    takes = rules.words.get(name)
    if takes is None:
        faults.append(_unknown(word, name, rules))
        takes = is_kind or _looks_like_argument(words, at + 1)
    if not takes:
        return Other((word,), name), 1
    if at + 1 >= len(words):
        faults.append(Fault(word.start, f"-{name} needs an argument", _example(name), code="argument"))
        return Other((word,), name), 1
    if not is_kind:
        return Other((word, words[at + 1]), name), 2
    clause, more = parse_clause(Word(f"-{name}", word.source, word.start), words[at + 1], rules)
    faults += more
    return clause, 2


def _looks_like_argument(words: tuple[Word, ...], at: int) -> bool:
    return at < len(words) and not words[at].text.startswith("-")


def _unknown(word: Word, name: str, rules: Rules) -> Fault:
    if name in _OLD:
        instead = f"-nic user,{'hostfwd' if name == 'redir' else 'bootfile' if name == 'bootp' else name}=..."
        return Fault(word.start, f"-{name} was removed in QEMU 3.1", instead, code="removed")
    meant = nearest(name, rules.words)
    return Fault(word.start, f"-{name} is no option of QEMU {rules.name}", "", f"-{meant}" if meant else "", "option")


def _example(name: str) -> str:
    examples = {"netdev": "user,id=n0", "nic": "user", "net": "nic", "device": "virtio-net-pci,netdev=n0"}
    return examples.get(name, "")


def _settings(kind: Kind, text: str, rules: Rules) -> tuple[tuple[Setting, ...], Form]:
    if text.startswith("{") and kind in _JSON_SINCE:
        if rules.version < _JSON_SINCE[kind]:
            raise BadArgument(f"QEMU {rules.name} has no JSON here", 0, "key=value,...")
        return split_json(text), Form.JSON
    if kind is Kind.GLOBAL:
        return _global(text), Form.OPTS
    if kind is Kind.OBJECT and rules.version >= _JSON_SINCE[kind]:
        return split_keyval(text, _IMPLIED[kind]), Form.KEYVAL
    settings = split_settings(text, _IMPLIED[kind])
    types = [setting.value for setting in settings if setting.key == "type"]
    if kind is Kind.NETDEV and types and types[-1] in NESTED:
        return split_keyval(text, _IMPLIED[kind]), Form.KEYVAL
    return settings, Form.OPTS


def _global(text: str) -> tuple[Setting, ...]:
    """`DRIVER.PROPERTY=VALUE` is one setting; the long form is three (softmmu/vl.c)."""
    hit = re.fullmatch(r"([^.=]{1,63})\.([^=]{1,63})=(.*)", text, re.DOTALL)
    if hit:
        return (Setting(f"{hit[1]}.{hit[2]}", hit[3], value_start=hit.start(3)),)
    return split_settings(text, None)


def _is_network(kind: Kind, settings: tuple[Setting, ...], rules: Rules) -> bool:
    """Whether a -device, -object or -global is about networks."""
    if kind in (Kind.NETDEV, Kind.NIC, Kind.NET):
        return True
    keys = {setting.key for setting in settings}
    if kind is Kind.DEVICE:
        driver = next((setting.value for setting in settings if setting.key == "driver"), "")
        return rules.device(driver) is not None or bool(keys & {"netdev", "mac"}) or driver not in rules.others
    if kind is Kind.OBJECT:
        name = next((setting.value for setting in settings if setting.key == "qom-type"), "")
        return name.startswith("filter-") or name == "colo-compare" or (not name and "netdev" in keys)
    driver = next((s.value for s in settings if s.key == "driver"), settings[0].key.split(".")[0] if settings else "")
    return rules.device(driver) is not None

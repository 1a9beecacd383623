"""QEMU's command-line language for networks, both ways: parse, check, render, convert, explain.

    from qlan import cmdline

    line = cmdline.parse("qemu-system-x86_64 -nic user,hostfwd=tcp::2222-:22 disk.img")
    line.clauses[0].values("hostfwd")          # ('tcp::2222-:22',)
    cmdline.render(line)                       # the same words again

    reading = cmdline.read("qemu-system-x86_64 -netdev usr,id=n0")
    reading.faults[0].nearest                  # 'user'

`parse` raises CommandLineError with every reason at once; `read` returns them beside what it understood.  Text may be
shell text as found in tutorials (prompts, continued lines, comments, several commands: `read_script`) or a list of
words.  `rules("7.2")` are one QEMU version's; without them the newest known one's are used.  Nothing here runs or opens
anything or asks the machine: what depends on the host (is there such a bridge) is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qlan.cmdline.backends import check_backend
from qlan.cmdline.check import check_clause
from qlan.cmdline.convert import Converted, Note, to_netdev, to_nic
from qlan.cmdline.devices import check_devices
from qlan.cmdline.explain import Explanation, clashes_of, explain
from qlan.cmdline.filters import check_filter
from qlan.cmdline.forwards import (
    BadRule,
    GuestForward,
    HostForward,
    parse_guest_forward,
    parse_host_forward,
    render_guest_forward,
    render_host_forward,
)
from qlan.cmdline.model import Clause, CommandLine, CommandLineError, Fault, Form, Kind, Other, Reading
from qlan.cmdline.parse import find_program, parse_words, render_shell, render_words
from qlan.cmdline.schema import Rules, known_versions, parse_version, rules
from qlan.cmdline.shell import BadShell, Command, Word, quote, split_shell, words_of
from qlan.cmdline.tokens import Setting, Spelling, join_settings, split_settings
from qlan.cmdline.usermode import UserMode, read_user_mode
from qlan.cmdline.warn import HelperRefusal
from qlan.cmdline.wiring import Card, Plug, Wiring, check_wiring, rules_for, wire
from qlan.cmdline.words import explanation_data, explanation_text

__all__ = [
    "BadRule",
    "Card",
    "Clause",
    "CommandLine",
    "CommandLineError",
    "Converted",
    "Explanation",
    "Fault",
    "Form",
    "GuestForward",
    "HelperRefusal",
    "HostForward",
    "Kind",
    "Note",
    "Other",
    "Plug",
    "Reading",
    "Rules",
    "Setting",
    "Spelling",
    "UserMode",
    "Wiring",
    "Word",
    "clashes_of",
    "explain",
    "explanation_data",
    "explanation_text",
    "join_settings",
    "known_versions",
    "parse",
    "parse_guest_forward",
    "parse_host_forward",
    "parse_version",
    "quote",
    "read",
    "read_script",
    "read_user_mode",
    "render",
    "render_guest_forward",
    "render_host_forward",
    "render_text",
    "rules",
    "split_settings",
    "to_netdev",
    "to_nic",
    "wire",
]


def parse(source: str | Sequence[str], wanted: Rules | None = None) -> CommandLine:
    """One command line, as shell text or as a list of words.  Raises CommandLineError: all that QEMU would refuse."""
    reading = read(source, wanted)
    if reading.faults:
        raise CommandLineError(reading.faults, reading.line.text)
    return reading.line


def read(source: str | Sequence[str], wanted: Rules | None = None) -> Reading:
    """As `parse`, but the faults are returned.  Of several commands, the first that starts QEMU counts."""
    language = wanted or rules()
    if isinstance(source, str):
        try:
            commands = split_shell(source)
        except BadShell as error:
            fault = Fault(error.offset, str(error), code="shell")
            return Reading(CommandLine((), None, (), (), source), (fault,))
        chosen = [command for command in commands if _is_qemu(command)] or list(commands)
        return _reading(chosen[0] if chosen else Command(()), source, language)
    words = words_of(list(source))
    return _reading(Command(words), " ".join(word.source for word in words), language)


def read_script(text: str, wanted: Rules | None = None) -> tuple[Reading, ...]:
    """Every command of a shell script that starts QEMU.  Raises CommandLineError for a quote that is not closed."""
    try:
        commands = split_shell(text)
    except BadShell as error:
        raise CommandLineError((Fault(error.offset, str(error), code="shell"),), text) from None
    language = wanted or rules()
    return tuple(_reading(command, text, language) for command in commands if _is_qemu(command))


def render(line: CommandLine) -> list[str]:
    """The words again: QEMU's own meaning of them is that of what was parsed.  Redirections are left out."""
    return [word.text for word in render_words(line)[: -len(line.tail) or None]]


def render_text(line: CommandLine) -> str:
    """One line of shell text; words that were not changed stand as they were written."""
    return render_shell(line)


def _is_qemu(command: Command) -> bool:
    return find_program(command.words) is not None


def _reading(command: Command, text: str, language: Rules) -> Reading:
    line, faults = parse_words(command, text, language)
    if (
        line.program is None
        and not any(part.name for part in line.parts if isinstance(part, Other))
        and not line.clauses
    ):
        faults.append(Fault(0, "this starts no QEMU", "qemu-system-... or kvm, and its options", code="no-qemu"))
    found = faults + list(_check(line, rules_for(line, language)))
    return Reading(line, tuple(sorted(set(found), key=lambda fault: fault.offset)))


def _check(line: CommandLine, language: Rules) -> Iterator[Fault]:
    for clause in line.clauses:
        faults = list(check_clause(clause, language))
        if clause.kind is Kind.OBJECT:
            faults += check_filter(clause, language)
        yield from faults
        if not faults and clause.kind in (Kind.NETDEV, Kind.NIC, Kind.NET):
            yield from check_backend(clause, language)
    wiring = wire(line, language)
    yield from check_wiring(line, wiring, language)
    yield from check_devices(wiring, language)

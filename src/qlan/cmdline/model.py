"""A QEMU command line as it was written: network clauses understood, everything else untouched and in its place."""

from __future__ import annotations

from enum import StrEnum

from qlan.cmdline.shell import Word, place
from qlan.cmdline.tokens import Setting, first_value, last_value
from qlan.errors import UsageError
from qlan.values import Value


class Form(StrEnum):
    """The language inside an argument (tokens.py)."""

    OPTS = "opts"
    KEYVAL = "keyval"
    JSON = "json"


class Kind(StrEnum):
    """The options that make networks.  The last four went away in QEMU 3.1."""

    NETDEV = "netdev"
    NIC = "nic"
    NET = "net"
    DEVICE = "device"
    OBJECT = "object"
    GLOBAL = "global"
    TFTP = "tftp"
    BOOTP = "bootp"
    SMB = "smb"
    REDIR = "redir"


class Fault(Value):
    """Something that QEMU would refuse, or (`warning`) that is probably not what was meant.

    offset: where in the text, from 0; for an argument list, in the list joined by the shell's rules.  what: one line.
    expected: what should stand there, or "".  nearest: the right word that was probably meant, or "".
    code: a stable short name of the finding.
    """

    offset: int
    what: str
    expected: str = ""
    nearest: str = ""
    code: str = "refused"

    def shown(self, text: str, file: str = "") -> str:
        """`file:line:column: what (expected ...; did you mean ...?)`."""
        line, column = place(text, self.offset)
        more = [f"expected {self.expected}" if self.expected else ""]
        more.append(f"did you mean {self.nearest!r}?" if self.nearest else "")
        tail = "; ".join(part for part in more if part)
        return f"{file or 'command line'}:{line}:{column}: {self.what}" + (f" ({tail})" if tail else "")


class CommandLineError(UsageError):
    """QEMU would refuse the command line: every reason at once, in the order of the text."""

    def __init__(self, faults: tuple[Fault, ...], text: str) -> None:
        first = faults[0]
        line, column = place(text, first.offset)
        hint = f"did you mean {first.nearest!r}?" if first.nearest else f"expected {first.expected}"
        super().__init__(
            "; ".join(fault.what for fault in faults),
            where=f"command line:{line}:{column}",
            hint=hint if first.nearest or first.expected else "",
        )
        self.faults = faults
        self.text = text

    def __str__(self) -> str:
        return "\n".join(fault.shown(self.text) for fault in self.faults)


class Clause(Value):
    """One network option with its argument.  settings: the inside.  is_network: False for a -device or -object that is
    none of our business (it stays as it was).  changed: render from the settings, not from the source."""

    kind: Kind
    flag: Word
    argument: Word
    settings: tuple[Setting, ...]
    form: Form = Form.OPTS
    is_network: bool = True
    changed: bool = False

    def value(self, key: str) -> str | None:
        """The value that counts: the last one of the key (for `id` the first)."""
        return first_value(self.settings, key) if key == "id" else last_value(self.settings, key)

    def values(self, key: str) -> tuple[str, ...]:
        """All values of a key that makes a list."""
        return tuple(setting.value for setting in self.settings if setting.key == key)

    def setting(self, key: str) -> Setting | None:
        """The last setting of the key."""
        return next((setting for setting in reversed(self.settings) if setting.key == key), None)

    def offset(self, index: int = 0) -> int:
        """Where the letter `index` of the argument stood in the whole text."""
        return self.argument.offset(index)


class Other(Value):
    """Anything else: an option with its argument if it has one, a disk image, a variable.  name: the option, or ""."""

    words: tuple[Word, ...]
    name: str = ""


class CommandLine(Value):
    """A whole command line.

    lead: assignments and words before the program (`sudo -E`).  program: None for a piece without one.
    tail: redirections.  text: what was read.
    """

    lead: tuple[Word, ...]
    program: Word | None
    parts: tuple[Clause | Other, ...]
    tail: tuple[Word, ...] = ()
    text: str = ""

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """The network clauses, in order."""
        return tuple(part for part in self.parts if isinstance(part, Clause) and part.is_network)

    def of_kind(self, *kinds: Kind) -> tuple[Clause, ...]:
        """The network clauses of these kinds, in order."""
        return tuple(clause for clause in self.clauses if clause.kind in kinds)

    def option(self, *names: str) -> str | None:
        """The last argument of an option that is not about networks (`name`, `machine`), or None."""
        for part in reversed(self.parts):
            if isinstance(part, Other) and part.name in names and len(part.words) > 1:
                return part.words[1].text
        return None


class Reading(Value):
    """What was understood, and what QEMU would refuse of it."""

    line: CommandLine
    faults: tuple[Fault, ...]

    @property
    def accepted(self) -> bool:
        """Whether QEMU would take the words (whether the host has the bridge and the port is another question)."""
        return not self.faults

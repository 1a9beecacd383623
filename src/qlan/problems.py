"""What is wrong in what the user wrote, and where.  Apart from the errors: those are wanted at every TAB in a shell."""

from __future__ import annotations

from qlan.errors import QlanError
from qlan.values import Value


class Mark(Value, order=True):
    """A place in a user's file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Problem(Value):
    """One thing wrong in what the user wrote."""

    mark: Mark | None
    what: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.mark}: " if self.mark else ""
        return f"{place}{self.what}" + (f"\n  hint: {self.hint}" if self.hint else "")


class TopologyError(QlanError):
    """The file or the command line asks for something that cannot be: all problems at once."""

    exit_code = 2

    def __init__(self, problems: list[Problem]) -> None:
        count = len(problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} in the topology")
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)

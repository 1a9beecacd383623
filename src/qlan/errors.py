"""What can go wrong, sorted by who must act.

Every error says what is wrong, where, and what to do: the command line prints exactly these three.
Anything that is not a QlanError is a bug of qlan (traceback, exit status 70).
"""

from __future__ import annotations


class QlanError(Exception):
    """An error that a user can understand and act on.

    what: one line, what is wrong and why.  where: the place (file:line:column, a resource, a command), or "".
    hint: what to do about it, or "".
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.what}" + (f"\n  hint: {self.hint}" if self.hint else "")


class UsageError(QlanError):
    """The words of a command don't fit together, or name something that is not there."""

    exit_code = 2


class HostError(QlanError):
    """This machine cannot or will not do what is needed."""

    exit_code = 3


class MissingTool(HostError):
    """A program is not installed; the hint names the package for this distribution."""


class Denied(HostError):
    """The kernel or a permission forbids it; the hint names the privilege or the line that permits it."""


class CommandFailed(HostError):
    """A program that we ran ended with an error: `argv`, `code`, and its own words in `stderr`."""

    def __init__(self, argv: list[str], code: int, stderr: str, *, shown: str, hint: str = "") -> None:
        words = stderr.strip().splitlines()
        super().__init__(words[-1] if words else f"exit status {code}", where=shown, hint=hint)
        self.argv = argv
        self.code = code
        self.stderr = stderr


class QmpError(HostError):
    """QEMU's monitor refused a command, or did not answer in time."""


class GuestFailed(HostError):
    """QEMU ended while it was being started; `what` holds its own words."""


class ConflictError(QlanError):
    """Somebody else has the name, subnet, port, MAC or lock: the text says who."""

    exit_code = 4


class ApplyError(QlanError):
    """A step failed; the host was put back to what it was."""

    exit_code = 5


class RestoreError(ApplyError):
    """A step failed, and putting the host back failed too; `left` names what is still there."""

    exit_code = 6

    def __init__(self, what: str, *, left: list[str], where: str = "", hint: str = "") -> None:
        super().__init__(what, where=where, hint=hint)
        self.left = left


class DriftError(QlanError):
    """After applying, the host is still not what was wanted, or something changed it meanwhile."""

    exit_code = 7


class NotInTime(QlanError):
    """Something that was waited for (a lease, a shutdown) did not come in the time given."""

    exit_code = 8

"""`qlan VERB ...`: finds the verb's module, runs it, and turns errors into three lines and an exit status.

Start-up time is the theory of operation: `--version` and `--help` import nothing but a table, a verb imports its own
module only, and what an error needs is imported when there is one.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing's, without the cost of importing it
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from qlan.errors import QlanError

_SOFTWARE = 70  # EX_SOFTWARE, sysexits.h
_INTERRUPTED = 130  # 128 + SIGINT, as a shell says it
_BROKEN_PIPE = 141  # 128 + SIGPIPE
_LAB_OPTIONS = {"-f": "--file", "--file": "--file", "-l": "--lab", "--lab": "--lab"}


def program() -> NoReturn:
    """The program `qlan`.  It ends without Python's clearing up, which takes longer than many a verb's work."""
    # msgspec does without it, and would take `inspect` along; no other package of ours knows it
    sys.modules.setdefault("typing_extensions", None)  # type: ignore[arg-type]
    status = main()
    try:
        sys.stderr.flush()
    finally:  # nobody reads it any more, or a Ctrl-C: all is done and said
        os._exit(status)


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line (without the program's name); returns its exit status."""
    argv = list(sys.argv[1:] if words is None else words)
    _fill_gaps()
    try:
        status = _dispatch(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        return _BROKEN_PIPE
    except KeyboardInterrupt as error:
        _say(_interrupted(error))
        return 128 + error.args[0] if error.args else _INTERRUPTED
    except Exception as error:
        return _failed(error, argv)
    return status


def _fill_gaps() -> None:
    """Standard descriptors that were closed (`>&-`, some daemons): else the next file opened gets their number."""
    for name, fd in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            while os.open(os.devnull, os.O_RDWR) < fd:
                continue
            setattr(sys, name, open(fd, "r" if fd == 0 else "w", encoding="utf-8"))  # noqa: PTH123, SIM115


def _dispatch(argv: list[str]) -> int:
    if "_ARGCOMPLETE" in os.environ:
        from qlan.cli.completing import complete

        complete()
        return 0
    argv = _verb_first(argv)
    first = argv[0] if argv else "--help"
    if first in ("--version", "-V"):
        from qlan import __version__

        sys.stdout.write(f"qlan {__version__}\n")
        return 0
    if first in ("--help", "-h", "help"):
        if len(argv) > 1:
            return _dispatch([argv[1], "--help"])
        from qlan.cli.verbs import help_text

        sys.stdout.write(help_text() + "\n")
        return 0 if argv else 2
    return _run_verb(argv)


def _verb_first(argv: list[str]) -> list[str]:
    """`qlan -l shop status` is `qlan status --lab shop`.  UsageError: there is no verb behind them."""
    options: list[str] = []
    start = 0
    while start < len(argv) and argv[start].partition("=")[0] in _LAB_OPTIONS:
        name, equals, value = argv[start].partition("=")
        taken = 1 if equals else 2
        options += [_LAB_OPTIONS[name], *([value] if equals else argv[start + 1 : start + 2])]
        start += taken
    if (
        not options
        or argv[start : start + 1] == ["help"]
        or argv[start:] in (["--help"], ["-h"], ["--version"], ["-V"])
    ):
        return argv[start:]  # these are of no lab
    if start >= len(argv):
        raise _no_verb(argv)
    return [argv[start], *options, *argv[start + 1 :]]


def collect_rarely() -> None:
    """A verb makes data that stays: looking through it for garbage at every 700 objects takes a third of a big plan."""
    import gc  # built in

    gc.set_threshold(100_000, 50, 50)


def _run_verb(argv: list[str]) -> int:
    from qlan.cli.verbs import MODULES

    collect_rarely()
    verb = argv[0]
    if verb not in MODULES:
        raise _unknown_verb(verb)
    from qlan.cli.parser import parse, verb_module

    module = verb_module(verb)
    return int(module.run(parse(verb, module, argv[1:])))


def _no_verb(argv: list[str]) -> QlanError:
    from qlan.errors import UsageError

    named = len(argv) > 1 or "=" in argv[0]
    words = " ".join(argv) if named else f"{argv[0]} {'LAB' if _LAB_OPTIONS[argv[0]] == '--lab' else 'FILE'}"
    hint = f"say what to do: qlan {words} status; `qlan --help` lists the verbs"
    return UsageError(f"`qlan {' '.join(argv)}` names no verb", hint=hint)


def _unknown_verb(verb: str) -> QlanError:
    from qlan.cli.verbs import VERBS
    from qlan.errors import UsageError
    from qlan.names import nearest

    near = nearest(verb, VERBS)
    what = "option" if verb.startswith("-") else "verb"
    return UsageError(f"there is no {what} `{verb}`", hint=f"did you mean `qlan {near}`?" if near else "qlan --help")


def _failed(error: Exception, argv: list[str]) -> int:
    from qlan.cli import complaint
    from qlan.errors import QlanError

    error = complaint.explained(error)
    if isinstance(error, QlanError):
        options = argv[: argv.index("--")] if "--" in argv else argv
        complaint.know_labs(error, options)
        _say(complaint.as_json(error) if "--json" in options else complaint.as_text(error))
        return error.exit_code
    import errno

    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if isinstance(error, OSError) and error.filename is None and error.errno in full:
        _drop_output()
        _say(f"qlan: error: the output cannot be written: {error.strerror}")
        return 1
    import traceback

    _say("".join(traceback.format_exception(error)) + complaint.REPORT)
    return _SOFTWARE


def _interrupted(error: KeyboardInterrupt) -> str:
    """A verb says by a note on the interrupt what became of what it did."""
    again = isinstance(error.__context__, KeyboardInterrupt)
    notes = ["again, while putting the host back: `qlan up` or `qlan down` finishes it"] if again else []
    notes = notes or getattr(error, "__notes__", [])
    return "qlan: interrupted" + (f": {notes[0]}" if notes else "")


def _say(text: str) -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        return  # nobody listens; the exit status says it too


def _drop_output() -> None:
    """So that the interpreter's own flush at exit does not complain a second time."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())

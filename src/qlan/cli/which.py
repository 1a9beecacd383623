"""Which lab a command is about: `-f FILE`, `-l LAB`, `LAB/GUEST`, or the qlan.yaml here or in a parent folder."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from qlan.cli.parser import seconds
from qlan.errors import UsageError
from qlan.names import nearest

TYPE_CHECKING = False  # typing's, without the cost of importing it
if TYPE_CHECKING:
    from qlan.lab import Lab

FILE_NAME = "qlan.yaml"


def add_lab(parser: argparse.ArgumentParser, *, letter: str = "-f") -> None:
    """-f FILE and -l LAB.  letter: "" where -f is something else."""
    group = parser.add_argument_group("which lab")
    which = group.add_mutually_exclusive_group()
    which.add_argument(*([letter] if letter else []), "--file", type=Path, metavar="FILE",
                       help=f"the lab's file (default: {FILE_NAME} here or in a parent folder)")  # fmt: skip
    lab = which.add_argument("-l", "--lab", metavar="LAB", help="a lab that is up, by its name")
    lab.completer = complete_labs  # type: ignore[attr-defined]


def add_discard(parser: argparse.ArgumentParser) -> None:
    """`--discard`."""
    parser.add_argument("--discard", action="store_true", help="go back to the file, whatever was changed by hand")


def add_realm(parser: argparse.ArgumentParser) -> None:
    """--realm and --user."""
    parser.add_argument("--realm", choices=("rootless", "host"),
                        help="where bridges live: in a namespace of the lab's own, or on this machine")  # fmt: skip
    parser.add_argument("--user", metavar="NAME", help="who runs QEMU in the host realm (default: who called sudo)")


def add_lock_wait(parser: argparse.ArgumentParser) -> None:
    """--lock-wait."""
    parser.add_argument("--lock-wait", type=seconds, metavar="S",
                        help="how long to wait for another qlan that changes this lab (default: 60)")  # fmt: skip


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print JSON (errors too, on standard error)")


def add_guest(parser: argparse.ArgumentParser, *, many: bool = False, help_text: str) -> None:
    """GUEST or [GUEST...], each also as LAB/GUEST."""
    if many:
        word = parser.add_argument("guests", nargs="*", metavar="GUEST", help=help_text)
    else:
        word = parser.add_argument("guest", metavar="GUEST", help=help_text)
    word.completer = complete_guests  # type: ignore[attr-defined]


def _lab() -> type[Lab]:
    """Imported when a lab is wanted: at a TAB after `qlan` nobody wants one."""
    from qlan.lab import Lab

    return Lab


def working_folder() -> Path:
    """UsageError: it was removed."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise UsageError("this folder was removed", hint="cd to one that is there") from None


def find_file() -> Path | None:
    """The qlan.yaml of this folder or the nearest parent that has one; None.

    UsageError if the one in a parent folder is somebody else's: its QEMU options would run with our rights.
    """
    here = working_folder()
    for up, folder in enumerate((here, *here.parents)):
        if (folder / FILE_NAME).is_file():
            path = Path(*[".."] * up, FILE_NAME)
            owner = path.stat().st_uid
            if up and owner not in (0, os.geteuid(), int(os.environ.get("SUDO_UID") or 0)):
                raise UsageError("this file belongs to someone else", where=str(folder / FILE_NAME),
                                 hint=f"if you trust it: -f {path}")  # fmt: skip
            return path
    return None


def split(names: Sequence[str], args: argparse.Namespace) -> list[str]:
    """Guests' names without their lab; `LAB/GUEST` sets args.lab.  UsageError if they are of several labs."""
    parts = [name.rpartition("/") for name in names]
    guests = [guest for _, _, guest in parts]
    labs = {lab for lab, slash, _ in parts if slash}
    if args.file and labs:
        raise UsageError(f"-f and `{names[0]}` both name a lab", hint=f"write {' '.join(guests)}")
    labs |= {args.lab} if args.lab else set()
    if len(labs) > 1:
        raise UsageError(f"several labs are named: {', '.join(sorted(labs))}", hint="one lab at a time")
    if labs and not args.lab and not all(slash for _, slash, _ in parts):
        [lab] = labs
        raise UsageError(f"either all guests are named with their lab or none: {' '.join(names)}",
                         hint=f"write {' '.join(f'{lab}/{guest}' for guest in guests)}")  # fmt: skip
    args.lab = next(iter(labs), None)
    return guests


def lab_of_file(args: argparse.Namespace) -> Lab:
    """The lab with its file read: for what needs to know what is wanted.  TopologyError, UsageError."""
    from qlan.topology.model import Realm

    realm = Realm(args.realm) if getattr(args, "realm", None) else None
    run_as = getattr(args, "user", None)
    path = args.file or _source(args.lab) or find_file()
    if path is None:
        raise _no_file()
    lab = _lab().load(path, realm=realm, run_as=run_as)
    return _with_lock_wait(lab, args)


def lab_by_name(args: argparse.Namespace) -> Lab:
    """The lab by what is up: its file is read only if nothing of it is up.  UsageError, TopologyError."""
    if args.lab:
        return _with_lock_wait(_lab().named(args.lab), args)
    path = args.file or find_file()
    if path is None:
        names = _lab().names()
        if len(names) == 1:
            return _with_lock_wait(_lab().named(names[0]), args)
        raise _no_file()
    if not path.is_absolute():
        working_folder()
    return _with_lock_wait(_lab().of_source(path) or _lab().load(path), args)


def lab_that_is_up(args: argparse.Namespace) -> Lab:
    """The same; UsageError if nothing of it is up."""
    lab = lab_by_name(args)
    if not lab.is_up:
        raise UsageError(f"lab `{lab.name}` is not up", hint="qlan up" + (f" -f {args.file}" if args.file else ""))
    return lab


def lab_of_guest(args: argparse.Namespace, *, slash: bool = True) -> tuple[Lab, str]:
    """The lab that is up and has the guest `args.guest`, and the guest's bare name; UsageError.

    Without -f, -l or LAB/: the lab of the file here if it has one, else the only lab that has it.
    slash: False where a `/` means something else, so that hints name a lab by -l.
    """
    [guest] = split([args.guest], args)
    if args.lab or args.file:
        lab = lab_that_is_up(args)
        lab.check_guest(guest)
        return lab, guest
    found = _find_lab_with(guest, slash=slash)
    if found is None:
        raise _no_guest(guest, slash=slash)
    return found, guest


def lab_of_nic(args: argparse.Namespace) -> tuple[Lab, str, str]:
    """The lab that is up, the guest and the word for the NIC of `args.target`, GUEST/NIC; UsageError."""
    args.guest, slash, nic = args.target.rpartition("/")
    if not slash:
        raise UsageError(f"`{args.target}` names no NIC", hint=f"{args.target}/0 is its first; `qlan nic list`")
    lab, guest = lab_of_guest(args)
    return _with_lock_wait(lab, args), guest, nic


def find_lab_of_guest(args: argparse.Namespace) -> tuple[Lab, str] | None:
    """Likewise for the one guest in `args.guests` if no lab is named; None if no lab that is up has it."""
    guest = args.guests[0]
    if args.lab or args.file or "/" in guest:
        return None
    found = _find_lab_with(guest)
    return (found, guest) if found else None


def _find_lab_with(guest: str, *, slash: bool = True) -> Lab | None:
    path = find_file()
    here = _lab().of_source(path) if path else None
    if here and guest in here.guests:
        return here
    having = [lab for lab in _labs() if guest in lab.guests]
    if len(having) > 1:
        ways = (f"{lab.name}/{guest}" if slash else f"-l {lab.name}" for lab in having)
        raise UsageError(f"several labs have a guest `{guest}`", hint="say which: " + ", ".join(ways))
    return having[0] if having else None


def _no_guest(guest: str, *, slash: bool) -> UsageError:
    path = find_file()
    known = {name: lab.name for lab in _labs() for name in lab.guests}
    near = nearest(guest, known)
    if not slash and guest in known.values():
        hint = f"`/` stands between the sides here: -l {guest} names the lab"
    elif near:
        hint = f"did you mean `{known[near]}/{near}`?" if slash else f"did you mean `{near}`, of lab {known[near]}?"
    elif path:
        hint = f"`qlan up` brings up the guests of {path}"
    else:
        names = (f"{lab}/{name}" if slash else f"{name} of lab {lab}" for name, lab in known.items())
        hint = "up now: " + (", ".join(names) or "none")
    return UsageError(f"no guest `{guest}` is up", hint=hint)


def _no_file() -> UsageError:
    if os.path.lexists(FILE_NAME):
        what = "is a folder" if Path(FILE_NAME).is_dir() else "is no file, or a link to none"
        return UsageError(f"{FILE_NAME} {what}", hint="-f FILE names another")
    up = _lab().names()
    hint = "`qlan init` writes one; -f FILE names another"
    if up:
        hint += f"; -l LAB names a lab that is up ({', '.join(up)})"
    return UsageError(f"there is no {FILE_NAME} here or in a parent folder", hint=hint)


def _source(name: str | None) -> Path | None:
    """The file of a lab that is up."""
    if not name:
        return None
    record = _lab().named(name).record
    if record is None or record.source is None:
        raise UsageError(f"lab `{name}` has no file: it was started by `qlan run`",
                         hint=f"`qlan status -l {name}`, `qlan down -l {name}`")  # fmt: skip
    return record.source


def _with_lock_wait(lab: Lab, args: argparse.Namespace) -> Lab:
    if getattr(args, "lock_wait", None) is not None:
        lab.lock_wait_s = args.lock_wait
    return lab


# --- for the shell's completion: never an error, never a change


def complete_labs(**_: object) -> list[str]:
    """The labs that are up."""
    return _lab().names()


def complete_guests(*, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """The lab's guests, and those of all labs that are up as LAB/GUEST."""
    return [*_names_in_lab(parsed_args, "guests"), *(f"{lab.name}/{guest}" for lab in _labs() for guest in lab.guests)]


def complete_names(*, parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """The lab's guests and networks."""
    return [*_names_in_lab(parsed_args, "guests"), *_names_in_lab(parsed_args, "networks")]


def _names_in_lab(args: argparse.Namespace, what: str) -> list[str]:
    if args.lab:
        return list(getattr(_lab().named(args.lab), what))
    path = args.file or find_file()
    if path is None:
        return []
    topology = _lab().load(path).topology
    return [one.name for one in getattr(topology, what)]


def _labs() -> Iterator[Lab]:
    for name in _lab().names():
        yield _lab().named(name)

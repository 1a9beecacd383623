"""`qlan import`: a qlan.yaml made of somebody else's file."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qlan.cli import new_file, which
from qlan.cli.output import count, print_json
from qlan.cli.terminal import printable
from qlan.errors import HostError, UsageError
from qlan.names import nearest

if TYPE_CHECKING:
    from qlan.interop.imported import Imported, Source

DESCRIPTION = """\
Make a qlan.yaml that means the same as somebody else's files, and print it: a QEMU command line (after --), a shell
script that starts QEMU, a running QEMU (--pid), libvirt's network and domain XML, a quickemu configuration, a compose
file.  What qlan.yaml cannot say stands in it as a comment, where it was.  Nothing is started, nobody is asked."""
EXAMPLES = """\
  qlan import run.sh > qlan.yaml
  qlan import -- qemu-system-x86_64 -nic user,hostfwd=tcp::2222-:22 disk.qcow2
  qlan import default.xml web.xml db.xml -o qlan.yaml
  qlan import --pid $(pgrep -n qemu-system)"""
REST = "QEMU COMMAND LINE"

_SIZE_MAX = 8 << 20
FORMATS = {
    "qemu": "command lines and scripts that start QEMU",
    "libvirt": "network and domain XML",
    "quickemu": "a quickemu configuration",
    "compose": "a compose file of containers",
}


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `import`."""
    parser.add_argument("files", nargs="*", metavar="FILE", help="files of one lab; - is standard input")
    parser.add_argument("--pid", type=_pid, metavar="PID", help="a QEMU that runs on this machine")
    parser.add_argument("--from", dest="form", choices=tuple(FORMATS), metavar="FORMAT",
                        help=f"what the files are, if their look does not say: {', '.join(FORMATS)}")  # fmt: skip
    parser.add_argument("--lab", metavar="NAME", help="the lab's name (default: made of the file's)")
    new_file.add_output(parser)
    which.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Read, and print or write what it means."""
    from qlan.interop import document

    imported = _imported(args)
    text = document.write(imported)
    notes = [{"place": list(place), "text": one} for place, texts in imported.notes.by_place.items() for one in texts]
    if args.output:
        new_file.create(args.output, text)
    if args.json:
        print_json({"lab": imported.topology.lab, "text": text, "notes": notes})
    elif args.output:
        print(f"{args.output}: {_summary(imported)}")
    else:
        sys.stdout.write(text)
    if notes and not args.json:
        sys.stdout.flush()
        print(f"qlan: {count(len(notes), 'thing')} could not be said in qlan.yaml: see the comments", file=sys.stderr)
    return 0


def _imported(args: argparse.Namespace) -> Imported:
    from qlan.interop.formats import IMPORTS, recognised
    from qlan.interop.imported import our_name
    from qlan.values import replace

    sources = _sources(args)
    forms = {args.form or recognised(source.name, source.text) for source in sources}
    if len(forms) > 1:
        raise UsageError(f"the files are of several formats: {', '.join(sorted(forms))}",
                         hint="import them one by one, or say --from FORMAT")  # fmt: skip
    imported: Imported = IMPORTS[forms.pop()].import_sources(sources)
    if args.lab:
        if our_name("lab", args.lab) != args.lab:
            raise UsageError(f"`{args.lab}` is no name for a lab", hint=f"write `{our_name('lab', args.lab)}`, say")
        return replace(imported, topology=replace(imported.topology, lab=args.lab))
    return imported


def _sources(args: argparse.Namespace) -> list[Source]:
    from qlan.interop.imported import Source

    given = bool(args.files) + bool(args.rest) + (args.pid is not None)
    if given != 1:
        what = "nothing to import is named" if not given else "files, --pid and a command line exclude each other"
        raise UsageError(what, hint="qlan import FILE, qlan import --pid PID, or qlan import -- qemu-system-x86_64 ...")
    if args.rest:
        return [Source("the command line", "\0".join(args.rest) + "\0")]
    if args.pid is not None:
        return [_process(args.pid)]
    return [_file(name) for name in args.files]


def _file(name: str) -> Source:
    from qlan.interop.imported import Source

    if name == "-":
        return Source("standard input", _read(name))
    return Source(name, _read(name), Path(name).absolute().parent.name)


def _process(pid: int) -> Source:
    """A process' own words, with its folder in front of what would be looked for there."""
    from qlan.interop.imported import Source

    folder = Path("/proc") / str(pid)
    try:
        words = (folder / "cmdline").read_text(encoding="utf-8", errors="surrogateescape")
        where = (folder / "cwd").readlink()
    except FileNotFoundError as error:
        raise UsageError(f"there is no process {pid}") from error
    except OSError as error:
        raise HostError(
            f"process {pid} cannot be looked at: {error.strerror}", hint="it belongs to somebody else"
        ) from error
    if "qemu" not in words and "kvm" not in words:
        raise UsageError(f"process {pid} is no QEMU: {printable(words.partition(chr(0))[0]) or 'it has no words'}")
    return Source(f"process {pid}, whose paths start from {where}", words)


def _read(name: str) -> str:
    try:
        if name == "-":
            data = sys.stdin.buffer.read(_SIZE_MAX + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(_SIZE_MAX + 1)
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror or error}", hint=_hint_for(name)) from error
    if len(data) > _SIZE_MAX:
        raise UsageError(f"{name}: more than {_SIZE_MAX >> 20} MB is not read", hint="is it a disk image?")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: byte 0x{data[error.start]:02x} at {error.start} is not UTF-8",
                         hint="is it a disk image?") from error  # fmt: skip


def _hint_for(name: str) -> str:
    """What was meant by a name of nothing.  What is there and cannot be read is what was meant."""
    if os.path.lexists(name):
        return "name the files in it" if Path(name).is_dir() else ""
    if name.startswith("qemu-system") or " -" in name:
        return "a command line stands after --: qlan import -- qemu-system-x86_64 ..."
    folder = Path(name).parent
    is_open = folder.is_dir() and os.access(folder, os.R_OK)
    near = nearest(Path(name).name, (one.name for one in folder.iterdir()) if is_open else ())
    return f"did you mean {folder / near}?" if near else ""


def _pid(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"`{text}` is not a process's number")
    return int(text)


def _summary(imported: Imported) -> str:
    topology = imported.topology
    return f"{count(len(topology.networks), 'network')}, {count(len(topology.guests), 'guest')}"

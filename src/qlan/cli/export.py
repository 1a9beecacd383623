"""`qlan export`: the lab in another program's words."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qlan.cli import new_file, which
from qlan.cli.output import count, print_json
from qlan.errors import UsageError

if TYPE_CHECKING:
    from qlan.interop.settled import File
    from qlan.lab import Lab

DESCRIPTION = """\
Write the lab in another program's words, so that it can do without qlan: a shell script, QEMU's command lines, the
files of a host's network configuration, libvirt's XML, a picture.  What a format cannot say stands in it as a comment.
Nothing is changed on this machine.  Formats of several files are printed one after the other, or written with -o."""
EXAMPLES = """\
  qlan export --to qemu
  qlan export --to networkd -o /tmp/root       /tmp/root/etc/systemd/network/30-br-lan.netdev, ...
  qlan export --to libvirt -o xml && virsh net-define xml/networks/lan.xml
  qlan export --to script > up.sh"""

FORMATS = {
    "script": "every command of `qlan up` as a shell script",
    "qemu": "a QEMU command line a guest",
    "networkd": "bridges, TAPs and DHCP for systemd-networkd",
    "netplan": "bridges for netplan, and dnsmasq's configuration",
    "networkmanager": "bridges and TAPs for NetworkManager, and dnsmasq's configuration",
    "ifupdown": "bridges and TAPs for /etc/network/interfaces.d, and dnsmasq's configuration",
    "libvirt": "network and domain XML",
    "mermaid": "a picture for Markdown pages",
    "dot": "a picture for Graphviz",
    "svg": "a picture",
}


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `export`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    listed = "; ".join(f"{name}: {text}" for name, text in FORMATS.items())
    parser.add_argument("--to", required=True, choices=tuple(FORMATS), metavar="FORMAT", help=listed)
    new_file.add_output(parser, ": a folder for formats of several files, else a file")
    which.add_realm(parser)
    which.add_json(parser)
    which.add_lab(parser)


def run(args: argparse.Namespace) -> int:
    """Print the files, or write them."""
    lab = which.lab_of_file(args)
    files = files_of(lab, args.to)
    if args.output:
        written = _write(files, args.output, args.to)
        if args.json:
            print_json({"written": written})
        else:
            print("\n".join([*map(str, written), count(len(written), "file")]))
    elif args.json:
        print_json({"files": [{"path": one.path, "text": one.text, "secret": one.secret} for one in files]})
    else:
        sys.stdout.write(stream(files, args.to))
    return 0


def files_of(lab: Lab, name: str) -> Sequence[File]:
    """The files of a format."""
    if name == "script":
        return [_script(lab)]
    from qlan.cli.whole import settled
    from qlan.interop.formats import EXPORTS

    files: Sequence[File] = EXPORTS[name].export_lab(settled(lab))
    return files


def _script(lab: Lab) -> File:
    """The whole lab from nothing, whatever of it is up now."""
    from qlan import journal
    from qlan.interop.settled import File
    from qlan.live import commands, is_rootless
    from qlan.planning import text
    from qlan.planning.plan import plan
    from qlan.render.command import Command, Write
    from qlan.render.scene import Scene
    from qlan.render.script import script

    wanted = lab.wanted
    todo = plan(wanted, {})
    rootless = is_rootless(wanted)
    source = lab.topology.source if lab.topology else None
    record = journal.Record(lab.name, lab.realm, source, lab.digest, wanted)
    lines: list[Command] = [Write(lab.layout.record, journal.record_text(record))]
    lines += commands(todo.steps, Scene(lab.layout, wanted, rootless))
    whole = script(lines, lab.layout, rootless=rootless, plan=text.lines(todo), python=sys.executable)
    return File(f"{lab.name}.sh", whole)


def stream(files: Sequence[File], name: str) -> str:
    """Several files in one text, each under a comment with its path."""
    if len(files) == 1:
        return files[0].text
    start, end = ("<!-- ", " -->") if name == "libvirt" else ("# ", "")
    return "\n".join(f"{start}file: {one.path}{end}\n{one.text}" for one in files)


def _write(files: Sequence[File], output: Path, name: str) -> list[Path]:
    """What is there already is found before the first of them is written."""
    if not files:
        raise UsageError(f"the lab has nothing that {name} could hold")
    single = len(files) == 1 and "/" not in files[0].path
    in_folder = output.is_dir() or not single
    paths = [output / one.path for one in files] if in_folder else [output]
    new_file.check_new(paths if output.is_dir() else [output])
    for path, one in zip(paths, files, strict=True):
        new_file.create(path, one.text, 0o600 if one.secret else 0o666)
    return paths

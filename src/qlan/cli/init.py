"""`qlan init`: a commented qlan.yaml to start from."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from qlan.cli.output import print_json
from qlan.cli.which import FILE_NAME, working_folder
from qlan.errors import HostError, UsageError
from qlan.names import is_name

DESCRIPTION = f"""\
Write a commented {FILE_NAME} in this folder, and beside it the JSON Schema with which an editor completes and checks it
(any editor with the YAML language server: VS Code, Neovim, Emacs, ...)."""
EXAMPLES = """\
  qlan init                        user-mode networking: the least that works
  qlan init --from host-only       guests on a network with DHCP, and this machine on it
  qlan init --from router --lab campus"""

SCHEMA_NAME = ".qlan-schema.json"


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `init`."""
    from qlan.topology.templates import TEMPLATES

    parser.add_argument("--from", dest="template", choices=tuple(TEMPLATES), default="user", metavar="KIND",
                        help=f"what to start from: {', '.join(TEMPLATES)} (default: user)")  # fmt: skip
    parser.add_argument("--lab", metavar="NAME", help="the lab's name (default: this folder's)")
    parser.add_argument("--force", action="store_true", help=f"replace a {FILE_NAME} that is there")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def run(args: argparse.Namespace) -> int:
    """Write both files."""
    from qlan.topology.load import lab_name
    from qlan.topology.schema import schema
    from qlan.topology.templates import template

    lab = args.lab or lab_name(working_folder().name)
    if not is_name(lab):
        raise UsageError(f"`{lab}` cannot be a lab's name", hint="a-z, 0-9 and -, at most 32 of them, like my-lab")
    _write(Path(FILE_NAME), template(args.template, lab, SCHEMA_NAME), replace=args.force)
    _write(Path(SCHEMA_NAME), json.dumps(schema(), indent=1) + "\n", replace=True)
    if args.json:
        print_json({"written": [FILE_NAME, SCHEMA_NAME], "lab": lab})
    else:
        print(f"wrote {FILE_NAME} (lab {lab}) and {SCHEMA_NAME} (for your editor)")
        print("next: edit it, then `qlan check` and `qlan up`")
    return 0


def _write(path: Path, text: str, *, replace: bool) -> None:
    try:
        with path.open("w" if replace else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError("there is one already", where=str(path), hint="--force replaces it") from None
    except OSError as error:
        raise HostError(f"cannot be written: {error.strerror}", where=str(path)) from error

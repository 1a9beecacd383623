"""`qlan models`: the NIC models of the installed QEMU."""

from __future__ import annotations

import argparse
import platform

from qlan.cli import table
from qlan.cli.nic_drivers import DRIVERS
from qlan.cli.output import print_json
from qlan.cli.which import add_json
from qlan.errors import MissingTool, UsageError
from qlan.host import qemu, user
from qlan.names import MODEL_ALIASES

DESCRIPTION = """\
List the NIC models that the installed QEMU has: what bus each sits on, what it is, and which guests have a driver for
it without anything installed.  `*` marks the model that a NIC gets when the file doesn't say.  The answer of a QEMU
binary is remembered until the binary changes."""
EXAMPLES = """\
  qlan models
  qlan models --arch aarch64
  qlan models --json | jq -r '.models[].name'"""

_DEFAULT = MODEL_ALIASES["virtio"]


def define(parser: argparse.ArgumentParser) -> None:
    """The words of `models`."""
    parser.add_argument("--arch", default=platform.machine(), metavar="ARCH",
                        help="as in qemu-system-ARCH (default: this machine's)")  # fmt: skip
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    if not args.arch.replace("_", "").isalnum():
        raise UsageError(f"`{args.arch}` is not an architecture", hint="write it as in qemu-system-ARCH, like aarch64")
    try:
        facts = qemu.probe(args.arch, user.cache_folder())
    except MissingTool as error:
        raise MissingTool(f"there is no QEMU for {args.arch}: {error.what}", hint=error.hint) from None
    called = {name: alias for alias, name in MODEL_ALIASES.items()}
    rows = [{"name": name, "short": called.get(name, ""), "bus": facts.buses.get(name, ""), "description": text,
             "guests": DRIVERS.get(name, ""), "default": name == _DEFAULT}
            for name, text in facts.models.items()]  # fmt: skip
    rows.sort(key=lambda row: (not row["default"], not row["guests"], row["name"]))
    version = ".".join(str(part) for part in facts.version)
    if args.json:
        print_json({"binary": facts.binary, "version": version, "default_machine": facts.default_machine,
                    "models": rows})  # fmt: skip
        return 0
    print(f"{facts.binary} {version}, machine {facts.default_machine}")
    table.show(("", "MODEL", "SHORT", "BUS", "WHAT IT IS", "GUESTS WITH A DRIVER"), [
        ("*" if row["default"] else " ", str(row["name"]), str(row["short"]), str(row["bus"]),
         str(row["description"]) or "-", str(row["guests"]) or "-") for row in rows])  # fmt: skip
    return 0

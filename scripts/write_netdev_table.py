#!/usr/bin/env python3
"""Write docs/netdev-options.md: every netdev type and option of QEMU, and what qlan does with it.

Nothing in the table is claimed: each cell is tried out here, by parsing, rendering and checking a line with the option.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "src"))

from qlan import cmdline  # noqa: E402
from qlan.cmdline.schema import Option  # noqa: E402
from qlan.interop.imported import Imported, Source  # noqa: E402
from qlan.interop.qemu import import_sources  # noqa: E402

TARGET = ROOT / "docs/netdev-options.md"
LINES = ROOT / "tests/golden/cmdline/differential/made.txt"
GENERATED = ROOT / "tests/qemu/cmdline/test_generated.py"
SAMPLES = {"bool": "on", "size": "1M", "list": "x", "str": "x"}
# What `user` takes only such values for; what all of them import differently from.
OF_USER = {
    "net": "192.168.5.0/24",
    "ip": "192.168.5.0",
    "host": "10.0.2.9",
    "dns": "10.0.2.9",
    "dhcpstart": "10.0.2.33",
    "hostfwd": "tcp::2222-:22",
    "guestfwd": "tcp:10.0.2.100:80-cmd:true",
    "dnssearch": "a.b",
    "domainname": "a.b",
    "ipv4": "off",
    "ipv6-prefix": "fd00::",
    "ipv6-prefixlen": "64",
}
WRONG = {"bool": "maybe", "size": "much"}

HEAD = """\
# QEMU's netdev types and options

Made by `scripts/write_netdev_table.py` from QEMU's own schema ({versions}) and by trying each
option out; do not edit.

* since: the QEMU version that brought it; until: the last one that had it.
* parsed: read into its own value; rendered: written back with the same meaning; checked: a value of the wrong type is
  refused with its place (a text can hold anything: `-`; rules between options are in `backends.py` and `usermode.py`).
* imported: `qlan import` of a line with it and of one without it are compared: yes, the lab's file says it in its own
  words; words, it says so in a comment.
* QEMU: lines with it are given to the real programs, and must be taken or refused there as here: by hand (number of
  lines in `tests/golden/cmdline/differential`), `generated`, or none of them.
"""


def settings_of(kind: str, option: cmdline.Setting) -> tuple[bool, bool]:
    """Parsed and rendered: tried."""
    text = cmdline.join_settings((cmdline.Setting("type", kind, cmdline.Spelling.IMPLIED), option))
    again = cmdline.split_settings(text, "type")
    parsed = [setting.value for setting in again if setting.key == option.key] == [option.value]
    return parsed, cmdline.join_settings(again) == text


def is_checked(kind: str, name: str, value_kind: str) -> str:
    """Whether a wrong value is refused at its place."""
    wrong = WRONG.get(value_kind, "x y" if "int" in value_kind or "|" in value_kind else None)
    if wrong is None:
        return "-"
    text = f"qemu-system-x86_64 -netdev {kind},id=n,{name}='{wrong}'"
    rules = next(rules for rules in map(cmdline.rules, ["11.1", "10.1", "10.0"]) if name in options(kind, rules.name))
    faults = [fault for fault in cmdline.read(text, rules).faults if text[fault.offset :].startswith(wrong)]
    return "yes" if faults or kind not in rules.compiled else "no"


def imported(kind: str, option: Option) -> str:
    """What `qlan import` makes of the option: yes, words (a comment), or no (nothing at all)."""
    value = OF_USER.get(option.name, "") if kind == "user" else ""
    said = f"{option.name}={value or sample(option)}"
    if option.kind == "addr":
        said = f"{option.name}.type=unix,{option.name}.path=x"
    without, having = lab_of(f"{kind},id=n"), lab_of(f"{kind},id=n,{said}")
    places = ("yes" if having.topology != without.topology else "", "words" if having.notes != without.notes else "")
    return ", ".join(place for place in places if place) or "no"


def lab_of(netdev: str) -> Imported:
    text = f"qemu-system-x86_64 -netdev {netdev} -device virtio-net-pci,netdev=n d.img"
    return import_sources([Source("table", text)])


def sample(option: Option) -> str:
    return SAMPLES.get(option.kind, option.kind.split("|")[0] if "|" in option.kind else "1")


def tested(kind: str, name: str, lines: list[str], generated: bool) -> str:
    word = re.compile(rf"(?:type=)?{re.escape(kind)}\b.*[,{{\"](?:no)?{re.escape(name)}\b")
    count = sum(1 for line in lines if word.search(line))
    parts = [f"{count} lines" if count > 1 else "1 line" if count else "", "generated" if generated else ""]
    return ", ".join(part for part in parts if part) or "no"


def rows() -> list[str]:
    lines = [line for line in LINES.read_text().splitlines() if line and not line.startswith("#")]
    types = re.search(r"^TYPES = \((.*?)\)", GENERATED.read_text(), re.MULTILINE | re.DOTALL)
    left_out = re.search(r"^LEFT_OUT = \{(.*?)\}", GENERATED.read_text(), re.MULTILINE | re.DOTALL)
    assert types and left_out
    versions = [f"{major}.{minor}" for major, minor in VERSIONS]
    found = []
    for kind in sorted({name for version in versions for name in cmdline.rules(version).backends} - {"none"}):
        grown = f'"{kind}"' in types[1] or kind == "nic"
        found += ["", f"## {kind}", "", f"{about(kind)}", "", *TABLE]
        for name in sorted({key for v in versions for key in options(kind, v)}):
            having = [version for version in versions if name in options(kind, version)]
            option = options(kind, having[-1])[name]
            parsed, rendered = settings_of(kind, cmdline.Setting(name, sample(option)))
            until = having[-1] if having[-1] != versions[-1] else ""
            shown = option.kind.replace("|", " or ") + (", required" if option.required else "")
            tries = tested(kind, name, lines, grown and f'"{name}"' not in left_out[1])
            cells = [f"`{name}`", shown, having[0] if having[0] != versions[0] else "", until]
            cells += [yes(parsed), yes(rendered), is_checked(kind, name, option.kind)]
            cells += [imported(kind, option), tries]
            found.append(f"| {' | '.join(cells)} |")
    return found


def options(kind: str, version: str) -> dict[str, Option]:
    backend = cmdline.rules(version).backends.get(kind)
    return dict(backend.options) if backend else {}


def about(kind: str) -> str:
    rules = cmdline.rules()
    backend = rules.backends[kind]
    needs = f", where QEMU was built with {backend.needs.removeprefix('CONFIG_')}" if backend.needs else ""
    return f"Since QEMU {backend.since}{needs}."


def yes(value: bool) -> str:
    return "yes" if value else "no"


VERSIONS = [(5, 2), *((major, minor) for major in range(6, 11) for minor in range(3)), (11, 1)]
TABLE = [
    "| option | type | since | until | parsed | rendered | checked | imported | QEMU |",
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
]


def text() -> str:
    return "\n".join([HEAD.format(versions=", ".join(cmdline.known_versions())).rstrip(), *rows()]) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text())
    print(f"{TARGET.relative_to(ROOT)} written")

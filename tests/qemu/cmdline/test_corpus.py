"""The network words of the collected command lines, given to the real QEMU: taken or refused as we say."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qlan import cmdline

if TYPE_CHECKING:
    from conftest import Program

FOLDER = Path(__file__).parents[2] / "golden/cmdline/corpus"
ENTRIES = [entry for file in sorted(FOLDER.glob("*.json")) for entry in json.loads(file.read_text())]


def network_words(line: cmdline.CommandLine) -> list[str] | None:
    """What can be given to a bare PC; None where the rest of the machine, a variable or a helper matters."""
    program = line.program.text if line.program else ""
    if not program.endswith(("x86_64", "i386", "qemu", "kvm")) or any(
        clause.argument.expands for clause in line.clauses
    ):
        return None
    words: list[str] = []
    for part in line.parts:
        if isinstance(part, cmdline.Other):
            if part.name == "chardev":
                words += [word.text for word in part.words]
            continue
        if not part.is_network:
            continue
        if part.value("bus") not in (None, "pci.0") or part.value("type") in ("bridge", "vhost-user"):
            return None
        if part.value("type") == "tap" and part.value("fd") is None and part.value("fds") is None:
            return None
        words += [part.flag.text, part.argument.text]
    return words


CASES = {}
for entry in ENTRIES:
    (reading,) = cmdline.read_script(entry["text"], cmdline.rules(entry["qemu"]))
    words = network_words(reading.line)
    if words and "virtio-net-device" not in " ".join(words) and "guestfwd" not in " ".join(words):
        CASES.setdefault(shlex.join(words), entry["source"])


@pytest.mark.parametrize("text", CASES)
def test_as_the_real_one(program: Program, text: str) -> None:
    words = shlex.split(text)
    reading = cmdline.read(["qemu-system-x86_64", *words], program.rules)
    verdict = program.start(words)
    faults = [fault.shown(reading.line.text) for fault in reading.faults]
    if verdict.host and faults:
        return  # QEMU stopped at what this machine lacks, before it had judged everything
    assert reading.accepted == verdict.understood, f"{CASES[text]}\n{program.version}: {verdict.said}\nours: {faults}"


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 50

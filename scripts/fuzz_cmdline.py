#!/usr/bin/env python3
"""Feed torn and mixed command lines to qlan.cmdline: nothing may crash, hang or lose a word.

    scripts/fuzz_cmdline.py --minutes 60 [--seed N]

Lines are those of the corpus and of the differential test, cut, doubled, swapped and sprinkled with the letters that
mean something.  A finding is printed with its seed and ends the run with status 1.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "src"))

from qlan import cmdline  # noqa: E402

GOLDEN = ROOT / "tests/golden/cmdline"
LETTERS = [*",=-.:'\"\\$`{}[]#&|;<> \n\t0129axné\0", "no", "on", "id=", ",,", "-netdev ", "-nic ", "hostfwd="]
SLOW_S = 3.0
HANGS_S = 20
QEMU = re.compile(r"[\w./-]*(qemu-system-\w+|qemu|kvm)")


def seeds() -> list[str]:
    entries = [entry["text"] for file in GOLDEN.glob("corpus/*.json") for entry in json.loads(file.read_text())]
    lines = (GOLDEN / "differential/made.txt").read_text().splitlines()
    return entries + [f"qemu-system-x86_64 {line}" for line in lines if line and not line.startswith("#")]


def torn(dice: random.Random, texts: list[str]) -> str:
    text = dice.choice(texts)
    for _ in range(dice.randint(1, 8)):
        at, end = sorted((dice.randint(0, len(text)), dice.randint(0, len(text))))
        match dice.randint(0, 4):
            case 0:
                text = text[:at] + dice.choice(LETTERS) + text[at:]
            case 1:
                text = text[:at] + text[min(end, at + 12) :]
            case 2:
                text = text[:end] + text[at:end] * dice.randint(1, 3) + text[end:]
            case 3:
                other = dice.choice(texts)
                text = text[:at] + other[dice.randint(0, len(other)) :]
            case _:
                text = text[:at] + dice.choice(LETTERS) + text[at + 1 :]
    return text[:20_000]


def judge(text: str, rules: cmdline.Rules) -> None:
    reading = cmdline.read(text, rules)
    json.dumps(cmdline.explanation_data(cmdline.explain(reading, rules)))
    cmdline.explanation_text(cmdline.explain(reading, rules))
    words = cmdline.render(reading.line)
    assert cmdline.render(cmdline.read(words, rules).line) == words, "words changed"
    # What is called otherwise may be taken for QEMU or not, by the options that follow.
    program = reading.line.program and QEMU.fullmatch(reading.line.program.text)
    if program and reading.accepted and not any(clause.argument.expands for clause in reading.line.clauses):
        for change in (cmdline.to_nic, cmdline.to_netdev):
            converted = change(reading.line, rules)
            changed = converted.line
            again = cmdline.read(cmdline.render_text(changed), rules)
            assert again.accepted, f"{change.__name__} made a line that is refused: {again.faults[0].what}"
            before = [(card.model, card.mac) for card in cmdline.wire(reading.line, rules).cards]
            after = [(card.model, card.mac) for card in cmdline.wire(changed, rules).cards]
            assert converted.notes or sorted(before) == sorted(after), f"{change.__name__} changed the NICs"


def stop_hanging(*_: object) -> None:
    raise TimeoutError(f"no end after {HANGS_S} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() & 0xFFFFFF)
    given = parser.parse_args()
    texts, end, number = seeds(), time.monotonic() + given.minutes * 60, given.seed
    versions = [cmdline.rules(version) for version in cmdline.known_versions()]
    signal.signal(signal.SIGALRM, stop_hanging)
    while time.monotonic() < end:
        dice = random.Random(number)
        text, rules, start = torn(dice, texts), dice.choice(versions), time.perf_counter()
        try:
            signal.alarm(HANGS_S)
            judge(text, rules)
            signal.alarm(0)
            assert time.perf_counter() - start < SLOW_S, "slow"
        except Exception:
            print(f"seed {number}, QEMU {rules.name}: {text!r}\n{traceback.format_exc()}")
            return 1
        number += 1
    print(f"{number - given.seed} lines from seed {given.seed}: nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Every benchmark works in its smallest size; how fast it is, `scripts/bench --check` judges when somebody calls it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = sorted(file.stem for file in (ROOT / "bench/rows").glob("[a-z]*.py"))


@pytest.mark.timeout(480)
def test_every_row_works(tmp_path: Path) -> None:
    numbers, picture = tmp_path / "numbers.json", tmp_path / "chart.svg"
    words = [str(ROOT / "scripts/bench"), "--quick", "--json", str(numbers), "--svg", str(picture)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=450, check=False, env=dict(os.environ))
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(numbers.read_text())
    measured, left_out = ({one["row"] for one in found[key]} for key in ("measured", "left_out"))
    assert sorted(measured | left_out) == ROWS
    assert sorted(measured) == ROWS or os.geteuid(), "root can have all of them"
    assert all(min(one["qlan"]) >= 0 and one["ratio"] >= 0 for one in found["measured"])
    assert picture.read_text().count("<rect") == len(found["measured"]) + 1

"""docs/netdev-options.md is what the code says today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_table_is_current() -> None:
    code = "import runpy; print(runpy.run_path('scripts/write_netdev_table.py')['text'](), end='')"
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    written = (ROOT / "docs/netdev-options.md").read_text()
    assert made == written, "run scripts/write_netdev_table.py"
    rows = [line for line in written.splitlines() if line.startswith("| `")]
    assert len(rows) > 120
    assert all("| yes | yes |" in row for row in rows)
    not_imported = [row for row in rows if row.split(" | ")[-2] == "no"]
    assert not not_imported, "an import never drops an option silently"

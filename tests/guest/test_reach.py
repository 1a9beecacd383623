"""scripts/reach, in a small form: the table of kinds against packets; all of it takes some minutes."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.kernel.place import IS_ROOT

from .machine import GuestImage

SCRIPT = Path(__file__).parents[2] / "scripts" / "reach_matrix.py"
KINDS = ("routed",) if IS_ROOT else ("nat",)


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reach_matrix", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look there
    spec.loader.exec_module(module)
    return module


def test_packets_go_where_the_table_says(guest_image: GuestImage) -> None:
    words = [sys.executable, str(SCRIPT), str(guest_image.vmlinux.parent), "--json", *KINDS]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    cells = json.loads(done.stdout)
    assert {one["kind"] for one in cells} == set(KINDS)
    assert len(cells) == 2 * 5 * len(KINDS), "five paths in two families"
    assert {one["found"] for one in cells} == ({True} if IS_ROOT else {True, False}), "everybody reaches a routed guest"


def test_a_cell_that_differs_is_shown_and_is_the_exit_status(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [script.Cell("nat", version, path, True, True) for version in (4, 6) for path in script.PATHS]
    monkeypatch.setattr(sys, "argv", ["reach_matrix.py", "guest", "nat"])
    monkeypatch.setattr(script, "try_out", lambda *_: cells)
    assert script.main() == 0
    cells[3] = script.Cell("nat", 4, "from_host", True, False)
    assert script.main() == 1
    shown = capsys.readouterr().out
    assert "yes / NO !" in shown
    assert "9 of 10 cells" in shown

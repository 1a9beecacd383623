"""What users are told to call needs no package that only `scripts/setup --dev` installs."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_IMPORTED = """
import runpy, sys
sys.path.insert(0, "")
sys.modules.update(dict.fromkeys(sys.argv[2:]))
runpy.run_path(sys.argv[1], run_name="imported")
"""


def locked(name: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+)==", (ROOT / name).read_text(), re.MULTILINE))


def of_the_tests_alone() -> list[str]:
    """The modules of what only requirements-dev.lock has."""
    added = locked("requirements-dev.lock") - locked("requirements.lock")
    there = packages_distributions()
    return sorted(
        name for name, owners in there.items() if {re.sub("[_.]", "-", one.lower()) for one in owners} <= added
    )


@pytest.mark.parametrize("script", ["scripts/demo_lab.py", "scripts/reach_matrix.py", "bench/__main__.py"])
def test_it_comes_without_the_tests_packages(script: str) -> None:
    blocked = of_the_tests_alone()
    assert {"pytest", "qemu", "hypothesis"} <= set(blocked)
    words = [sys.executable, "-c", _IMPORTED, script, *blocked]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

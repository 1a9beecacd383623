"""What a command may import on its way, and how long `--version` and `--help` may take."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qlan.cli.verbs import MODULES, VERBS

from ..kernel.place import Place

HEAVY = {"asyncio", "yaml", "qemu", "importlib.metadata", "argcomplete", "multiprocessing", "concurrent.futures",
         "email", "http", "urllib.request", "ssl", "logging", "difflib", "unittest"}  # fmt: skip
# What only a change needs; and modules whose import alone is seen in the time of `qlan status`.
NOT_FOR_STATUS = HEAVY | {"hashlib", "shutil", "ctypes", "socket", "qlan.apply", "qlan.live", "qlan.host.execute",
                          "qlan.host.probe", "qlan.render.command", "qlan.topology.model", "qlan.networks",
                          "qlan.planning.text", "traceback"}  # fmt: skip
_RUN = """
import os, sys
sys.argv = ["qlan", *sys.argv[1:]]
os._exit = sys.exit  # completion leaves by it
from qlan.cli.main import main
try:
    main()
except SystemExit:
    pass
sys.stderr.write("\\n" + " ".join(sorted(sys.modules)))
"""


def imported(place: Place, *words: str, **environment: str) -> set[str]:
    """The modules that a command has imported when it ends, beside those of the bare interpreter."""
    bare = subprocess.run([sys.executable, "-c", "import sys; print(*sys.modules)"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    done = subprocess.run([*place.enter, sys.executable, "-c", _RUN, *words], capture_output=True, text=True,
                          env={**place.environment, **environment}, cwd=place.folder, check=True)  # fmt: skip
    return set(done.stderr.rpartition("\n")[2].split()) - set(bare.stdout.split())


@pytest.mark.parametrize("word", ["--version", "--help"])
def test_version_and_help_import_next_to_nothing(place: Place, word: str) -> None:
    found = imported(place, word)
    assert "qlan.cli.main" in found
    assert found <= {"__future__", "qlan", "qlan.cli", "qlan.cli.main", "qlan.cli.verbs"}


@pytest.mark.parametrize("verb", list(VERBS))
def test_help_of_a_verb_imports_its_own_module_only(place: Place, verb: str) -> None:
    found = imported(place, verb, "--help")
    assert f"qlan.cli.{MODULES[verb]}" in found
    assert not found & HEAVY
    others = {f"qlan.cli.{module}" for other, module in MODULES.items() if other != verb}
    assert found & others <= {"ssh": {"qlan.cli.execute"}, "watch": {"qlan.cli.events"}}.get(verb, set())


def test_status_imports_what_it_needs(shop_up: Place) -> None:
    found = imported(shop_up, "status")
    assert "qlan.status" in found
    assert not found & NOT_FOR_STATUS


def test_plan_imports_nothing_that_speaks_to_a_monitor(shop: Place) -> None:
    found = imported(shop, "plan")
    assert "qlan.planning.plan" in found
    assert not found & {"asyncio", "qemu", "ssl", "logging", "qlan.cmdline"}


def test_completion_imports_nothing_heavy(shop: Place) -> None:
    """The shell waits for it at every press of TAB."""
    answer = shop.folder / "answer"
    found = imported(shop, _ARGCOMPLETE="1", _ARGCOMPLETE_STDOUT_FILENAME=str(answer), COMP_LINE="qlan st",
                     COMP_POINT="7", _ARGCOMPLETE_SHELL="bash")  # fmt: skip
    assert answer.read_text().split() == ["status"]
    assert "argcomplete" in found
    assert not found & (HEAVY - {"argcomplete"} | {"msgspec", "qlan.lab"})


def test_time_of_version_and_help() -> None:
    """The console script against the bare interpreter, alternating.  Load only adds: the best of each, thrice."""
    script = Path(sys.executable).parent / "qlan"
    command = [str(script)] if script.exists() else [sys.executable, "-m", "qlan"]
    for last in (False, False, True):
        version, help_ = ratios(command)
        if version <= 2 and help_ <= 4:
            return
        assert not last, f"--version takes {version:.2f} times as long as bare python, --help {help_:.2f}"


def ratios(command: list[str]) -> tuple[float, float]:
    bare, version, help_ = [], [], []
    for _ in range(10):
        bare.append(took_s([sys.executable, "-I", "-c", "pass"]))
        version.append(took_s([*command, "--version"]))
        help_.append(took_s([*command, "--help"]))
    return min(version) / min(bare), min(help_) / min(bare)


def took_s(argv: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, env=os.environ, check=True)
    return time.perf_counter() - start

"""The house is as docs/architecture.md draws it: who may import whom, and what the pure rooms keep their hands off."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "qlan"
PLAN = ROOT / "docs" / "architecture.md"

PURE_BELOW = 4
_MODULES = """
    asyncio ctypes datetime fcntl getpass glob http multiprocessing os platform pwd random secrets select shutil signal
    socket subprocess sys tempfile threading time urllib
"""
_CALLS = """
    absolute chmod cwd exists expanduser glob home input is_dir is_file iterdir lstat mkdir open print read_bytes
    read_text rename resolve rglob rmdir stat symlink_to touch unlink uuid1 uuid4
    write_bytes write_text
"""
IMPURE_MODULES = frozenset(_MODULES.split())
IMPURE_CALLS = frozenset(_CALLS.split())
ALLOWED_CALLS = {
    "topology/load.py": {"open", "stat", "resolve"},  # the one file that is read
    "topology/check.py": {"exists"},  # a function that it is given
    "topology/checks/guests.py": {"exists"},
    "topology/checks/network_boot.py": {"exists"},
    "topology/checks/user_networks.py": {"exists"},
    "topology/templates/__init__.py": {"read_text"},  # data of the package
    "cmdline/schema.py": {"read_text"},
    "render/uplink.py": {"read_text"},
    "topology/reader.py": {"home"},  # `~` in a path
}
SAME_LEVEL = {("__main__.py", "cli/"), ("cli/", "__init__.py")}  # the program starts; the version is shown


@dataclass(frozen=True, slots=True)
class Import:
    """One module that a file names.  target: as a path below src/qlan, `errors.py` or `host/run.py`."""

    line: int
    target: str


def levels() -> dict[str, int]:
    """The table of the page: room (`errors.py`, `host/`) to level."""
    found: dict[str, int] = {}
    for line in PLAN.read_text(encoding="utf-8").splitlines():
        if row := re.fullmatch(r"\| (\d+) \| ([^|]+) \| [^|]+ \|", line):
            for room in re.findall(r"`([^`]+)`", row[2]):
                assert room not in found, f"{room} has two places"
                found[room] = int(row[1])
    return found


LEVELS = levels()
FILES = sorted(SOURCE.rglob("*.py"))


def room_of(path: str) -> str:
    """`host/run.py` is in `host/`, `lab.py` is a room by itself."""
    head, slash, _ = path.partition("/")
    return head + slash


def imports(text: str, path: str) -> Iterator[Import]:
    """Every import of ours in a file, also inside functions and under `if TYPE_CHECKING`."""
    package = ["qlan", *path.split("/")[:-1]]
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] == "qlan":
                yield Import(node.lineno, _file_of(name))


def _file_of(name: str) -> str:
    """The file that `qlan.a.b.thing` comes from: the longest part that is one."""
    parts = name.split(".")[1:]
    for length in range(len(parts), 0, -1):
        whole = "/".join(parts[:length])
        for path in (f"{whole}.py", f"{whole}/__init__.py"):
            if (SOURCE / path).is_file():
                return path
    return "__init__.py"


def climbs(text: str, path: str) -> list[str]:
    """The imports of a file that the table forbids, in words."""
    own, level = room_of(path), LEVELS[room_of(path)]
    return [
        f"{path}:{one.line} (level {level}) imports {one.target} (level {LEVELS[room_of(one.target)]})"
        for one in imports(text, path)
        if room_of(one.target) != own
        and LEVELS[room_of(one.target)] >= level
        and (own, room_of(one.target)) not in SAME_LEVEL
    ]


def impurities(text: str, path: str) -> list[str]:
    """What a pure file takes from the machine, in words."""
    found = []
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        elif isinstance(node, ast.Call):
            call = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if call in IMPURE_CALLS - ALLOWED_CALLS.get(path, set()):
                found.append(f"{path}:{node.lineno} calls {call}()")
        found += [f"{path}:{node.lineno} imports {name}" for name in names if name.split(".")[0] in IMPURE_MODULES]
    return found


def text_of(path: Path) -> tuple[str, str]:
    return path.read_text(encoding="utf-8"), str(path.relative_to(SOURCE))


def test_every_room_has_its_place_in_the_table() -> None:
    rooms = {room_of(str(path.relative_to(SOURCE))) for path in FILES}
    assert rooms <= LEVELS.keys(), "missing in docs/architecture.md"
    assert LEVELS.keys() - rooms <= {"interop/"}, "docs/architecture.md names rooms that are not there"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    assert climbs(*text_of(path)) == []


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if LEVELS.get(room_of(str(path.relative_to(SOURCE))), 0) < PURE_BELOW],
    ids=lambda path: str(path.relative_to(SOURCE)),
)
def test_a_pure_room_takes_nothing_from_the_machine(path: Path) -> None:
    assert impurities(*text_of(path)) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("topology/load.py", "from qlan.host import run"),
        ("topology/load.py", "import qlan.resources.model"),  # the same level, another room
        ("topology/load.py", "from qlan import resources"),
        ("host/run.py", "def f():\n    from qlan import journal"),
        ("host/run.py", "if TYPE_CHECKING:\n    from qlan.journal import Record"),
        ("apply.py", "from qlan.status import drift"),
        ("lab.py", "from qlan.cli.main import main"),
        ("names.py", "from . import problems"),
        ("planning/plan.py", "from ..networks.expand import expand"),
    ],
)
def test_the_table_would_notice(path: str, text: str) -> None:
    """These files as they might be written by mistake."""
    assert len(climbs(text, path)) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("host/run.py", "from qlan.host import files"),
        ("host/run.py", "from qlan.errors import HostError\nfrom . import files\nimport os"),
        ("cli/up.py", "from qlan.lab import Lab\nfrom qlan import __version__"),
    ],
)
def test_the_table_permits(path: str, text: str) -> None:
    assert climbs(text, path) == []


@pytest.mark.parametrize(
    "text",
    ["import os.path", "from time import monotonic", "def f():\n    import subprocess", "open('x')",
     "from pathlib import Path\nPath('x').read_text()", "print(1)"],
)  # fmt: skip
def test_impurity_would_be_noticed(text: str) -> None:
    assert len(impurities(text, "planning/plan.py")) == 1

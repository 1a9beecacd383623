"""`qlan enable`: the unit is one to systemd, and what it runs brings the lab up and down."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from ..kernel.place import Place


def commands(text: str, key: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"{key}="))
    return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line.removeprefix(f"{key}="))]


def test_what_the_unit_runs_brings_the_lab_up_and_down(shop: Place) -> None:
    text = shop.qlan("enable", "--show").stdout
    said = [f"Environment=QLAN_RUN_DIR={shop.run_dir}", f"Environment=QLAN_STATE_DIR={shop.state_dir}"]
    assert all(line in text.splitlines() for line in said)
    shop.run(*commands(text, "ExecStart"))
    assert shop.plan(shop.folder / "qlan.yaml") == []
    shop.run(*commands(text, "ExecStop"))
    assert shop.snapshot()["processes"] == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze is installed")
def test_systemd_finds_nothing_wrong_with_it(shop: Place) -> None:
    folder = shop.folder / "a b"  # what must be quoted
    folder.mkdir()
    (shop.folder / "qlan.yaml").rename(folder / "qlan.yaml")
    unit = shop.folder / "qlan-shop.service"
    unit.write_text(shop.qlan("enable", "--show", "-f", str(folder / "qlan.yaml")).stdout)
    done = shop.run("systemd-analyze", "verify", "--man=no", str(unit), check=False)
    assert [line for line in done.stderr.splitlines() if "qlan" in line] == []
    assert commands(unit.read_text(), "ExecStart")[-1] == str(folder / "qlan.yaml")


@pytest.mark.skipif(Path("/run/systemd/system").is_dir(), reason="systemd runs here: no test touches it")
def test_without_systemd_it_says_so(shop: Place) -> None:
    done = shop.qlan("enable", check=False)
    assert done.returncode == 3
    assert "no systemd runs on this machine" in done.stderr
    assert "@reboot " in done.stderr
    assert "was not enabled" in shop.qlan("disable").stdout

"""qlan started in odd surroundings: closed descriptors, a full disk behind standard output, no home, other folders."""

from __future__ import annotations

import sys

import pytest

from ..kernel.place import IS_ROOT, Place

QLAN = f"{sys.executable} -m qlan"


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors(shop: Place, closed: str) -> None:
    for verb in ("up --no-wait", "status", "down --force"):
        done = shop.run("sh", "-c", f"{QLAN} {verb} {closed}", check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert shop.processes() == []


def test_a_full_disk_behind_standard_output(shop: Place) -> None:
    done = shop.run("sh", "-c", f"{QLAN} status >/dev/full", check=False)
    assert done.returncode == 1
    assert done.stderr == "qlan: error: the output cannot be written: No space left on device\n"


def test_a_relative_run_folder(shop: Place) -> None:
    """Servers are started in another folder than ours."""
    for verb in ("up --no-wait", "down --force"):
        shop.run("sh", "-c", f"QLAN_RUN_DIR=rel {QLAN} {verb}")
    assert not (shop.folder / "rel").exists()


@pytest.mark.skipif(not IS_ROOT, reason="only root can be a user that nobody knows: the same in the run as root")
def test_a_user_that_nobody_knows(shop: Place) -> None:
    done = shop.run("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "env", "-u", "HOME",
                    "-u", "QLAN_STATE_DIR", sys.executable, "-m", "qlan", "status", check=False)  # fmt: skip
    assert done.returncode in (0, 2)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or "set HOME" in done.stderr

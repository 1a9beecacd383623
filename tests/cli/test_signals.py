"""A job that is cancelled, a terminal that is closed: as after a Ctrl-C, the host is put back."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest

from ..kernel.place import Place


def held(shop: Place) -> set[str]:
    """Links and processes."""
    links = json.loads(shop.run("ip", "-j", "link").stdout)
    return {*(row["ifname"] for row in links), *(words for _, words in shop.processes())}


def begin(shop: Place, *words: str) -> subprocess.Popen[str]:
    """Started in a process group of its own, as a shell starts a job."""
    return subprocess.Popen([*shop.enter, sys.executable, "-m", "qlan", *words], stderr=subprocess.PIPE, text=True,
                            env=shop.environment, cwd=shop.folder, process_group=0)  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_of_up_leaves_nothing(shop: Place, number: signal.Signals) -> None:
    process = begin(shop, "up")
    assert process.stderr
    assert process.stderr.readline().startswith("+")
    process.send_signal(number)
    words = process.stderr.read()
    assert process.wait(20) == 128 + number
    assert words.splitlines()[-1].startswith("qlan: interrupted: ")
    if "stays up" not in words:
        assert shop.processes() == []
    shop.qlan("down", "--force")


@pytest.mark.parametrize("after_ms", [0, 20, 60, 120, 180])
def test_a_signal_to_it_and_to_its_group_is_one_interrupt(shop: Place, after_ms: int) -> None:
    """As `timeout -s INT` does, and a terminal with a command that passes signals on."""
    before = shop.snapshot()
    process = begin(shop, "up", "--no-wait")
    while not (shop.run_dir / ".shop.lock").exists():  # before, Python itself is interrupted
        assert process.poll() is None
        time.sleep(0.005)
    time.sleep(after_ms / 1000)
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
        os.killpg(process.pid, signal.SIGINT)
    words = process.communicate(timeout=20)[1]
    assert "Traceback" not in words and "failed too" not in words
    # -SIGINT, too, is 130 for a shell: Python ends so when it was interrupted in an `exec`, as dataclasses do one
    assert process.returncode in (0, 130, -signal.SIGINT), words
    if "put back" not in words:  # it came before the first step, or after the last one
        shop.qlan("down", "--force", check=False)
    assert {**shop.snapshot(), "files": []} == {**before, "files": []}, words


@pytest.mark.parametrize("words", [("nic", "attach", "lone", "lan"), ("nic", "down", "web/0")])
def test_a_job_that_waits_for_a_hung_guest_can_be_cancelled(shop_up: Place, words: Sequence[str]) -> None:
    guests = json.loads(shop_up.qlan("status", "--json").stdout)["labs"][0]["guests"]
    pid = next(guest["pid"] for guest in guests if guest["name"] in words[2])
    before = held(shop_up)
    os.kill(pid, signal.SIGSTOP)
    process = begin(shop_up, *words)
    time.sleep(1)
    process.terminate()
    time.sleep(0.2)
    os.kill(pid, signal.SIGCONT)
    said = process.communicate(timeout=20)[1]
    assert (process.returncode, said) == (143, "qlan: interrupted: the host was put back to what it was\n")
    assert held(shop_up) == before
    assert "nothing to do" in shop_up.qlan("up", "--no-wait").stdout

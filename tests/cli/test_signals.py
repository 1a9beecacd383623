"""A job that is cancelled, a terminal that is closed: as after a Ctrl-C, the host is put back."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from ..kernel.place import Place


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle_of_up_leaves_nothing(shop: Place, number: signal.Signals) -> None:
    process = subprocess.Popen([*shop.enter, sys.executable, "-m", "qlan", "up"], stderr=subprocess.PIPE, text=True,
                               env=shop.environment, cwd=shop.folder)  # fmt: skip
    assert process.stderr
    assert process.stderr.readline().startswith("+")
    process.send_signal(number)
    words = process.stderr.read()
    assert process.wait(20) == 128 + number
    assert words.splitlines()[-1].startswith("qlan: interrupted: ")
    if "stays up" not in words:
        assert shop.processes() == []
    shop.qlan("down", "--force")

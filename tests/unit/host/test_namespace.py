"""Entering namespaces: the child that does it never comes back as a second qlan."""

from __future__ import annotations

import subprocess
import sys

import pytest

_FORK = """
import os, sys
from qlan.host.namespace import open_inside
read, write = os.pipe()
os.close(read)
sys.stderr = os.fdopen(write, "w")
sys.stderr.write("progress that nobody reads")  # stays in the buffer: a flush of it fails
parent = os.getpid()
try:
    fds = open_inside(os.getpid(), {opener})
    print("opened", len(fds), flush=True)
except BaseException as error:
    print("error", type(error).__name__, flush=True)
if os.getpid() != parent:
    print("escaped", flush=True)
os._exit(0)
"""


@pytest.mark.parametrize(
    ("opener", "expected"),
    [
        ("lambda: [os.open(os.devnull, os.O_RDONLY)]", "opened 1\n"),
        ("lambda: [os.open('/no/such', os.O_RDONLY)]", "error FileNotFoundError\n"),
        ("lambda: 1 // 0", "error HostError\n"),
    ],
    ids=["opened", "refused", "a bug of ours"],
)
def test_the_child_ends_there_even_if_nobody_reads_our_errors(opener: str, expected: str) -> None:
    code = _FORK.format(opener=opener)
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, timeout=30, check=False)
    assert done.stdout == expected, done.stderr


_INTERRUPTED = """
import os, signal, time
from qlan.host.namespace import open_inside
os.register_at_fork(after_in_child=lambda: (os.kill(os.getpid(), signal.SIGINT), time.sleep(0)))
print("opened", len(open_inside(os.getpid(), lambda: [os.open(os.devnull, os.O_RDONLY)])))
"""


def test_a_ctrl_c_that_reaches_the_child_too_is_the_parents_to_hear() -> None:
    """Python drops it in a hook of a fork, with a traceback."""
    done = subprocess.run([sys.executable, "-c", _INTERRUPTED], text=True, capture_output=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("opened 1\n", "")

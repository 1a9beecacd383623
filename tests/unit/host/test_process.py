"""Descriptors get to their numbers, however many there are and wherever they are now."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from qlan.host import process


def test_descriptors_that_lie_where_others_go(tmp_path: Path) -> None:
    """Those of a lab of many NICs have any number, above and among the numbers that they get."""
    files = [os.open(tmp_path / f"file{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC) for name in range(5)]
    sources = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, at) for fd, at in zip(files, (3, 40, 510, 512, 513), strict=True)]
    try:
        said = tmp_path / "said"
        numbered = [(fd, 5 - place + 3) for place, fd in enumerate(sources)]
        words = "for fd in 8 7 6 5 4; do readlink /proc/self/fd/$fd; done; ls /proc/self/fd | wc -l"
        process.spawn(["sh", "-c", f"({words}) >{said}"], numbered)
    finally:
        for fd in {*files, *sources}:
            os.close(fd)
    *names, number = said.read_text().splitlines()
    assert [Path(name).name for name in names] == [f"file{place}" for place in range(5)]
    assert int(number) <= 5 + 4, "what was put aside is closed"

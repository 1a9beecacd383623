"""The command itself, run as a user runs it: `python3 -m qlan` in a folder and with labs of the test's own."""

import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from ..kernel.place import IS_ROOT, Place, throw_away

# Guests that don't run (-S): QEMU, its sockets and its NICs are there within 0.2 s, and no image is needed.
PAUSED = "qemu_args: [-S], memory: 16M, accel: tcg"
USER_LINE = f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}\n" if IS_ROOT else ""
LAB = f"""\
lab: shop
{USER_LINE}\
networks:
  lan: {{kind: host-only, subnet: 10.79.0.0/24}}
  back: private
guests:
  web: {{{PAUSED}, nics: [lan, {{network: back, model: e1000}}]}}
  db: {{{PAUSED}, nics: [{{network: back, address: 10.80.0.2}}, {{user: true, forwards: ["auto:22"]}}]}}
  lone: {{{PAUSED}, nics: none}}
""".replace("back: private", "back: {kind: private, subnet: 10.80.0.0/24}")


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, place: Place, *words: str, columns: int = 100) -> None:
        self.master, slave = pty.openpty()
        self.slave = slave
        self.said = b""
        environment = {**place.environment, "TERM": "xterm", "COLUMNS": str(columns)}
        self.process = subprocess.Popen(
            [*place.enter, sys.executable, "-m", "qlan", *words],
            stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=place.folder, start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
                 ) -> None:  # fmt: skip
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def expect(self, words: bytes, timeout_s: float = 20) -> None:
        """Read until the words were said."""
        deadline = time.monotonic() + timeout_s
        while words not in self.said:
            ready, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{words!r} was not said, but: {self.said.decode(errors='replace')}"
            self.said += os.read(self.master, 4096)

    def wait(self, timeout_s: float = 20) -> int:
        status = self.process.wait(timeout_s)
        while select.select([self.master], [], [], 0.05)[0]:
            self.said += os.read(self.master, 4096)
        return status


@pytest.fixture
def place() -> Iterator[Place]:
    """An empty folder."""
    with tempfile.TemporaryDirectory(prefix="ql") as folder:
        Path(folder).chmod(0o755)
        with throw_away(Path(folder)) as one:
            yield one


@pytest.fixture
def shop(place: Place) -> Place:
    """A folder with a lab's file."""
    (place.folder / "qlan.yaml").write_text(LAB)
    return place


@pytest.fixture
def shop_up(shop: Place) -> Place:
    """The same lab, up; its guests are paused, so no lease will ever come."""
    shop.qlan("up", "--no-wait")
    return shop

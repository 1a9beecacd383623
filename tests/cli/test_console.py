"""The serial console: one at a time, detached by one key, the terminal given back whatever happens."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qlan.cli.serial import Line, is_connected, talk
from qlan.errors import ConflictError, HostError

from ..kernel.place import Place
from .conftest import Terminal


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s") / "serial"


@pytest.fixture
def listener(path: Path) -> Iterator[socket.socket]:
    """What QEMU does: it listens, and accepts one client."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.bind(str(path))
        one.listen(8)
        yield one


def test_a_line_is_for_one_at_a_time(listener: socket.socket, path: Path) -> None:
    second = Line(path, "web")
    with Line(path, "web"), pytest.raises(ConflictError, match="busy: another `qlan console`") as busy:
        second.__enter__()
    assert f"process {os.getpid()}" in busy.value.what
    accepted, _ = listener.accept()
    accepted.close()
    with Line(path, "web"):  # free again
        assert is_connected(path)


def test_another_program_on_the_line_is_seen(listener: socket.socket, path: Path) -> None:
    assert not is_connected(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.connect(str(path))
        assert is_connected(path)
        with pytest.raises(ConflictError, match="busy: another program"), Line(path, "web"):
            pass


def test_a_line_that_is_gone(path: Path) -> None:
    with pytest.raises(HostError, match="cannot reach its serial line"), Line(path, "web"):
        pass


def test_piped_words_are_sent_and_the_answer_read_until_silence() -> None:
    ours, theirs = socket.socketpair()
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    os.write(in_write, b"uname\x1d\n")  # from a pipe the detach key is a byte as any other
    os.close(in_write)

    def answer() -> None:
        assert theirs.recv(100) == b"uname\x1d\n"
        theirs.sendall(b"Linux\n")

    guest = threading.Thread(target=answer)
    guest.start()
    assert talk(ours, in_read, out_write) is False
    guest.join()
    assert os.read(out_read, 100) == b"Linux\n"
    for one in (ours, theirs):
        one.close()
    for fd in (in_read, out_read, out_write):
        os.close(fd)


def test_a_guest_that_waits_for_us_to_read_is_read() -> None:
    """More than the socket holds goes in, and comes back as it goes: neither side may wait for the other."""
    ours, theirs = socket.socketpair()
    total = 4 << 20

    def echo() -> None:
        left = total
        while left:
            data = theirs.recv(1000)
            theirs.sendall(data)
            left -= len(data)

    guest = threading.Thread(target=echo, daemon=True)
    guest.start()
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(b"x" * total)
        source.seek(0)
        assert talk(ours, source.fileno(), target.fileno(), silence_s=0.2) is False
        guest.join(10)
        assert target.tell() == total
    ours.close()
    theirs.close()


def test_the_end_of_the_guest_ends_it() -> None:
    ours, theirs = socket.socketpair()
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    theirs.sendall(b"bye\n")
    theirs.close()
    assert talk(ours, in_read, out_write) is True
    assert os.read(out_read, 100) == b"bye\n"
    ours.close()
    for fd in (in_read, in_write, out_read, out_write):
        os.close(fd)


def test_keys_go_through_and_the_detach_key_ends_it(shop_up: Place) -> None:
    with Terminal(shop_up, "console", "web") as terminal:
        before = termios.tcgetattr(terminal.slave)
        terminal.expect(b"[web: Ctrl-] detaches, Enter wakes the prompt]")
        terminal.type(b"\x03\x1a")  # for the guest, not for us
        terminal.type(b"\x1dnot sent")
        terminal.expect(b"[web: detached]")
        assert terminal.wait() == 0
        assert termios.tcgetattr(terminal.slave) == before
    assert b"Traceback" not in terminal.said


def test_a_second_console_is_told(shop_up: Place) -> None:
    with Terminal(shop_up, "console", "web") as terminal:
        terminal.expect(b"Ctrl-] detaches")
        done = shop_up.qlan("console", "web", check=False)
        assert done.returncode == 4
        assert done.stderr.startswith(f"qlan: error: busy: another `qlan console` (process {terminal.process.pid})")
        terminal.type(b"\x1d")
        assert terminal.wait() == 0
    assert shop_up.run("sh", "-c", f"{sys.executable} -m qlan console web </dev/null").stdout == ""


def test_the_guest_ends_while_attached(shop_up: Place) -> None:
    with Terminal(shop_up, "console", "web") as terminal:
        terminal.expect(b"Ctrl-] detaches")
        shop_up.qlan("down", "web", "--force")
        terminal.expect(b"[web: the guest ended]")
        assert terminal.wait() == 0


def test_a_guest_that_does_not_run(shop_up: Place) -> None:
    shop_up.qlan("down", "web", "--force")
    done = shop_up.qlan("console", "web", check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("qlan: error: no guest `web` is up\n")


def test_a_pipe_at_both_ends(shop_up: Place) -> None:
    """Nothing of ours is mixed into what the guest says."""
    done = subprocess.run([*shop_up.enter, sys.executable, "-m", "qlan", "console", "web"], input=b"x\n",
                          capture_output=True, env=shop_up.environment, cwd=shop_up.folder, check=True)  # fmt: skip
    assert (done.stdout, done.stderr) == (b"", b"")

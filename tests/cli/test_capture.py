"""`qlan capture`: frames of a lab's NICs and networks.  The guests are paused: what is heard was sent to them."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from ..kernel.place import Place
from .conftest import Terminal

ARP = 0x0806


@contextmanager
def noise(send: Callable[[], None]) -> Iterator[None]:
    """The same again and again, while something listens."""
    child = os.fork()
    if child == 0:
        with suppress(KeyboardInterrupt):
            while True:
                send()
                time.sleep(0.1)
        os._exit(0)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@contextmanager
def in_background(place: Place, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """qlan with these words, killed at the end."""
    running = subprocess.Popen([*place.enter, sys.executable, "-m", "qlan", *words], env=place.environment,
                               cwd=place.folder, stderr=subprocess.PIPE)  # fmt: skip
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def ping_web(place: Place) -> Callable[[], None]:
    nics = json.loads(place.qlan("status", "--json").stdout)["labs"][0]["guests"][0]["nics"]
    words = [*place.enter, sys.executable, "-m", "qlan", "exec", "--", "ping", "-c1", "-W1", nics[0]["address"]]

    def send() -> None:
        subprocess.run(words, env=place.environment, cwd=place.folder, capture_output=True, check=False)

    return send


def read(data: bytes) -> tuple[list[str], list[tuple[int, int, bytes]]]:
    """The interfaces' names, and (interface, direction or 0, frame) of each packet."""
    names, packets, at = [], [], 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        body = data[at + 8 : at + size - 4]
        if kind == 1:
            code, length = struct.unpack_from("<HH", body, 8)
            assert code == 2
            names.append(body[12 : 12 + length].decode())
        elif kind == 6:
            interface, _, _, caught, _ = struct.unpack_from("<IIIII", body)
            options = body[20 + caught + -caught % 4 :]
            packets.append((interface, options[4] if options else 0, body[20 : 20 + caught]))
        at += size
    return names, packets


def test_a_nic_and_a_network(shop_up: Place) -> None:
    with noise(ping_web(shop_up)):
        for name, said in (("web/0", "web/0"), ("web/lan", "web/0"), ("lan", "lan"), ("shop/lan", "lan")):
            done = shop_up.qlan("capture", name, "-w", "x.pcapng", "--for", "1s", "--filter", "arp")
            names, packets = read((shop_up.folder / "x.pcapng").read_bytes())
            assert names == [said]
            assert packets, "ARP requests for a guest that does not answer"
            assert {frame[12:14] for _, _, frame in packets} == {struct.pack("!H", ARP)}
            assert {how for _, how, _ in packets} == {1}
            assert done.stderr == f"{len(packets)} frame{'s' * (len(packets) != 1)} of {said}\n"


def test_each_line_is_a_frame(shop_up: Place) -> None:
    with noise(ping_web(shop_up)), Terminal(shop_up, "capture", "shop/web/0") as terminal:
        terminal.expect(b"ARP, Request who-has 10.79.0.")
        terminal.interrupt()
        assert terminal.wait() == 0
    assert b"Traceback" not in terminal.said


@pytest.fixture
def forward(shop_up: Place) -> tuple[str, int]:
    nics = json.loads(shop_up.qlan("status", "--json").stdout)["labs"][0]["guests"][1]["nics"]
    host, _, port = nics[1]["forwards"][0].split()[0].rpartition(":")
    return host, int(port)


def test_a_user_mode_nic_is_heard_inside_qemu(shop_up: Place, forward: tuple[str, int]) -> None:
    """Its own network asks who has the address of a connection; all NICs of a guest are one file."""
    own = shop_up.run_dir / "shop" / "guest" / "db" / "qemu"
    before = sorted(own.iterdir())

    def connect() -> None:
        shop_up.run(sys.executable, "-c", f"import socket; socket.create_connection({forward!r}, 1)", check=False)

    with noise(connect):
        shop_up.qlan("capture", "db", "-w", "x.pcapng", "--for", "1s")
        names, packets = read((shop_up.folder / "x.pcapng").read_bytes())
        assert names == ["db/0", "db/1"]
        assert [frame for interface, _, frame in packets if interface == 1 and frame[12:14] == struct.pack("!H", ARP)]
        assert sorted(own.iterdir()) == before
        shop_up.qlan("capture", "db/1", "-w", "x.pcapng", "--for", "1s", "--filter", "udp")
        assert read((shop_up.folder / "x.pcapng").read_bytes()) == (["db/1"], [])


def test_a_killed_capture_leaves_nothing_after_the_next(shop_up: Place) -> None:
    own = shop_up.run_dir / "shop" / "guest" / "db" / "qemu"
    before = sorted(own.iterdir())
    deadline = time.monotonic() + 20
    with in_background(shop_up, "capture", "db/1", "-w", "y"):
        while sorted(own.iterdir()) == before:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    shop_up.qlan("capture", "db/1", "-w", "x.pcapng", "--for", "0.2")
    assert sorted(own.iterdir()) == before


def test_it_ends_with_the_guest(shop_up: Place) -> None:
    with in_background(shop_up, "capture", "web", "-w", "x.pcapng") as listening:
        while not (shop_up.folder / "x.pcapng").exists():
            assert listening.poll() is None
            time.sleep(0.02)
        time.sleep(0.5)
        shop_up.qlan("down", "web", "--force")
        _, said = listening.communicate(timeout=20)
    assert listening.returncode == 0
    assert said.endswith(b" of web/0, web/1\n")


def test_a_reader_that_goes_ends_it(shop_up: Place) -> None:
    with noise(ping_web(shop_up)):
        done = shop_up.run("sh", "-c", f"{sys.executable} -m qlan capture lan -w - | head -c 8 | od -An -tx4")
    assert done.stdout.split() == ["0a0d0d0a", f"{12 + 16 + 8 + 4:08x}"]


@pytest.mark.parametrize(
    ("words", "what", "hint"),
    [
        (["lna"], "no guest and no network `lna` in this lab", "did you mean `lan`?"),
        (["web/7"], "guest `web` has no NIC `7`", "its NICs: 0 (lan), 1 (back)"),
        (["lone"], "guest `lone` has no NIC", "it has none"),
        (["lan", "--filter", "tcp prt 1"], "no filter: can't parse filter expression: syntax error",
         "like `tcp port 80`, `arp or icmp`: man pcap-filter"),
        (["lan", "--for", "long"], "argument --for: `long` is not a time like 30s, 5m or 1h, or 0.5 for half a second",
         "qlan capture --help"),
    ],
)  # fmt: skip
def test_errors(shop_up: Place, words: list[str], what: str, hint: str) -> None:
    done = shop_up.qlan("capture", "-l", "shop", *words, check=False)
    lines = done.stderr.splitlines()
    assert (done.returncode, lines[0], lines[-1]) == (2, f"qlan: error: {what}", f"  hint:  {hint}")


def test_frames_are_not_for_a_terminal(shop_up: Place) -> None:
    with Terminal(shop_up, "capture", "lan", "-w", "-") as terminal:
        assert terminal.wait() == 2
    assert b"frames would go to the terminal" in terminal.said

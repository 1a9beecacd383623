"""`qlan events` and `qlan watch`: what others do to a lab is told within a moment, and put back if asked for."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import pytest

from ..guest.machine import tell
from ..kernel.place import IS_ROOT, Place
from .conftest import Terminal


class Events:
    """`qlan events --json` in the background, read as it goes."""

    def __init__(self, place: Place, *words: str) -> None:
        self.process = subprocess.Popen([*place.enter, sys.executable, "-m", "qlan", "events", "--json", *words],
                                        env=place.environment, cwd=place.folder, stdout=subprocess.PIPE)  # fmt: skip
        self.seen: list[dict[str, Any]] = []
        self._left = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
                 ) -> None:  # fmt: skip
        self.process.kill()
        self.process.wait()

    def expect(self, what: str, key: str, timeout_s: float = 10) -> dict[str, Any]:
        """Read until there is such an event; it, and all before it, are taken out of `seen`."""
        deadline = time.monotonic() + timeout_s
        while True:
            for place, one in enumerate(self.seen):
                if (one["what"], one["key"]) == (what, key):
                    del self.seen[: place + 1]
                    return one
            assert self.read(deadline - time.monotonic()), f"no {what} of {key}, but {self.seen}"

    def read(self, timeout_s: float) -> bool:
        assert self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, timeout_s))
        if not ready:
            return False
        said = os.read(self.process.stdout.fileno(), 1 << 16)
        *lines, self._left = (self._left + said).split(b"\n")
        self.seen += map(json.loads, lines)
        return bool(said)


@pytest.fixture
def inside(shop_up: Place) -> Iterator[list[str]]:
    """The words that run a command where the lab's bridges are."""
    if IS_ROOT:
        yield [*shop_up.enter]
    else:
        holder = (shop_up.run_dir / "shop" / "namespace" / "realm").read_text().split()[0]
        yield ["nsenter", f"--target={holder}", "--user", "--net", "--preserve-credentials"]


def bridge(inside: list[str]) -> str:
    rows = json.loads(subprocess.check_output([*inside, "ip", "-j", "-d", "link", "show", "type", "bridge"]))
    return next(str(row["ifname"]) for row in rows if row.get("ifalias") == "qlan:shop:bridge/lan")


def kill_server(place: Place) -> None:
    [pid] = [pid for pid, words in place.processes() if words.startswith("dnsmasq") and "/lan/" in words]
    os.kill(pid, signal.SIGKILL)


def test_what_others_do_is_told(shop_up: Place, inside: list[str]) -> None:
    with Events(shop_up) as events:
        subprocess.check_call([*inside, "ip", "link", "set", "dev", bridge(inside), "mtu", "1400"])
        told = events.expect("drift", "bridge/lan")
        assert told["text"] == "bridge/lan differs: mtu_bytes 1400 instead of 1500"
        assert (told["lab"], round(told["time_s"] - time.time())) == ("shop", 0)
        kill_server(shop_up)
        assert events.expect("drift", "dnsmasq/lan")["text"] == "dnsmasq/lan is missing"
        shop_up.qlan("up", "--no-wait")
        events.expect("mended", "bridge/lan")
        shop_up.qlan("down", "db", "--force")
        assert events.expect("guest-down", "db")["text"].startswith("db ended (process ")
        events.expect("changed", "machine/db")
        shop_up.qlan("down", "--force")
        events.expect("down", "shop")
        assert events.process.wait(10) == 0
    assert "Traceback" not in json.dumps(events.seen)


def expect_qmp(place: Place, events: Events, command: str, event: str) -> None:
    """The event that the command brings, in `events`, which may have to introduce itself to QEMU first."""
    for _ in range(20):
        tell(place.run_dir / "shop/guest/web/qmp", command)
        deadline = time.monotonic() + 0.5
        while (left_s := deadline - time.monotonic()) > 0:
            if any(one["what"] == "qemu" for one in events.seen):
                assert events.expect("qemu", "web")["text"] == f"web: {event}"
                return
            events.read(left_s)
    raise AssertionError(f"no {event} in {events.seen}")


def test_what_a_guest_s_qemu_tells(shop_up: Place) -> None:
    """Each of two listeners in turn; and who asks something is not kept waiting by them."""
    reset = 'RESET (guest: false, reason: "host-qmp-system-reset")'
    with Events(shop_up) as first:
        expect_qmp(shop_up, first, "system_reset", reset)
        with Events(shop_up) as second:
            second.read(1.0)
            assert not second.seen
            first.process.terminate()
            first.process.wait()
            expect_qmp(shop_up, second, "system_reset", reset)
            shop_up.qlan("nic", "down", "web/0")
            with contextlib.suppress(EOFError):  # it may end before it has answered
                tell(shop_up.run_dir / "shop/guest/web/qmp", "quit")
            text = second.expect("qemu", "web")["text"]
            while "SHUTDOWN" not in text:
                text = second.expect("qemu", "web")["text"]
            assert text == 'web: SHUTDOWN (guest: false, reason: "host-qmp-quit")'
            second.expect("guest-down", "web")


def test_the_first_lines_tell_what_is_wrong_already(shop_up: Place) -> None:
    kill_server(shop_up)
    with Events(shop_up) as events:
        events.expect("drift", "dnsmasq/lan")


def test_repair(shop_up: Place, inside: list[str]) -> None:
    pids = {words: pid for pid, words in shop_up.processes() if "qemu" in words}
    with Events(shop_up, "--repair") as events:
        events.read(10.0) if events.read(1.0) else None
        subprocess.check_call([*inside, "ip", "link", "del", "dev", bridge(inside)])
        events.expect("repaired", "bridge/lan")
        events.expect("repaired", "tap/web/0")
        kill_server(shop_up)
        events.expect("repaired", "dnsmasq/lan")
        assert bridge(inside)
        assert shop_up.qlan("plan").stdout == "lab shop: nothing to do\n"
        assert {words: pid for pid, words in shop_up.processes() if "qemu" in words} == pids, "no guest was restarted"


def test_what_only_a_restart_brings_back_is_said_and_left(shop_up: Place, inside: list[str]) -> None:
    tap = next(one["ifname"] for one in links(inside) if one.get("ifalias") == "qlan:shop:tap/web/0")
    pid = (shop_up.run_dir / "shop" / "guest" / "web" / "process").read_text()
    with Events(shop_up, "--repair") as events:
        events.read(1.0)
        subprocess.check_call([*inside, "ip", "link", "del", "dev", tap])
        assert "guest web would have to be restarted" in events.expect("left", "tap/web/0")["text"]
        events.read(6.0)
        assert not [one for one in events.seen if one["what"] == "left"], "said again"
    shop_up.qlan("up", "--no-wait")
    assert (shop_up.run_dir / "shop" / "guest" / "web" / "process").read_text() != pid


def links(inside: list[str]) -> list[dict[str, str]]:
    said = subprocess.check_output([*inside, "ip", "-j", "link"])
    return [row for row in json.loads(said) if row]


def test_two_that_undo_each_other_s_work_is_no_loop(shop_up: Place, inside: list[str]) -> None:
    with Events(shop_up, "--repair") as events:
        for _ in range(3):
            subprocess.check_call([*inside, "ip", "link", "set", "dev", bridge(inside), "mtu", "1400"])
            events.expect("repaired", "bridge/lan")
        subprocess.check_call([*inside, "ip", "link", "set", "dev", bridge(inside), "mtu", "1400"])
        assert "3 times within a minute" in events.expect("left", "bridge/lan")["text"]
        events.read(1.5)
        assert not [one for one in events.seen if one["what"] == "repaired"]


def test_a_guest_that_ended_stays_ended(shop_up: Place) -> None:
    pid = int((shop_up.run_dir / "shop" / "guest" / "web" / "process").read_text().split()[0])
    with Events(shop_up, "--repair") as events:
        events.read(1.0)
        os.kill(pid, signal.SIGKILL)
        events.expect("guest-down", "web")
        events.read(1.0)
        assert not [one for one in events.seen if one["what"] in ("repaired", "guest-up")]
    guests = json.loads(shop_up.qlan("status", "--json").stdout)["labs"][0]["guests"]
    assert [one["state"] for one in guests if one["name"] == "web"] == ["stopped"]


def test_watch_draws_until_the_lab_is_down(shop_up: Place) -> None:
    with Terminal(shop_up, "watch") as terminal:
        terminal.expect(b"\x1b[?1049h")
        terminal.expect(b"SENDS")
        terminal.expect(b" -> 22/tcp")
        kill_server(shop_up)
        terminal.expect(b"dnsmasq/lan is missing")
        terminal.expect(b"1 not as wanted: qlan status")
        shop_up.qlan("down", "--force")
        assert terminal.wait() == 0
    assert terminal.said.endswith(b"\x1b[?25h\x1b[?1049llab shop is down\r\n")
    assert b"Traceback" not in terminal.said


def test_ctrl_c_gives_the_terminal_back(shop_up: Place) -> None:
    with Terminal(shop_up, "watch") as terminal:
        terminal.expect(b"SENDS")
        terminal.interrupt()
        assert terminal.wait() == 130
    assert b"\x1b[?25h\x1b[?1049l" in terminal.said
    assert b"Traceback" not in terminal.said


def test_errors(shop: Place) -> None:
    done = shop.qlan("events", check=False)
    assert (done.returncode, done.stderr) == (2, "qlan: error: lab `shop` is not up\n  hint:  qlan up\n")
    done = shop.qlan("watch", check=False)
    assert done.stderr.splitlines()[0] == "qlan: error: `qlan watch` draws on a terminal"

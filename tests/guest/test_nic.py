"""`qlan nic`: NICs of running guests by hand, as the guest, QEMU, the file and `status` have it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qlan import plugging
from qlan.errors import ConflictError
from qlan.journal import Record
from qlan.lab import Lab
from qlan.topology.changes import Change

from .lab import BootedLab, booted
from .machine import GuestImage

pytestmark = pytest.mark.guest

LAB = """\
lab: plugs
networks:
  lan: {kind: host-only, subnet: 10.83.0.0/24}   # of customers
  back: {kind: private, subnet: 10.84.0.0/24, dhcp: true}
guests:
  suspect: {KERNEL, nics: []}   # nothing, most of the time
  web: {KERNEL, machine: q35, hotplug: 1, nics: [lan]}
  asleep: {kernel: vmlinuz, qemu_args: [-S], memory: 16M, accel: tcg, nics: [lan]}
"""


@pytest.fixture(scope="module")
def booted_plugs(guest_image: GuestImage) -> Iterator[BootedLab]:
    text = LAB.replace("kernel: vmlinuz", f"kernel: {guest_image.vmlinux}")
    with booted(guest_image, text, wait_for=("suspect", "web")) as one:
        yield one


@pytest.fixture
def plugs(booted_plugs: BootedLab) -> Iterator[BootedLab]:
    """As the file has it before each test, whatever the one before left."""
    yield booted_plugs
    if booted_plugs.lab.status().by_hand:
        qlan("up", "--no-wait", "--discard", "-l", "plugs")


def qlan(*words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "qlan", *words], text=True, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done.stderr if code else done.stdout


def nics(*words: str) -> list[tuple[str, int, str, str]]:
    found = json.loads(qlan("nic", "list", "-l", "plugs", "--json", *words))["nics"]
    return [(one["guest"], one["index"], one["network"], one["link"]) for one in found]


def test_a_guest_without_nics_gets_one_and_loses_it(plugs: BootedLab) -> None:
    file = plugs.lab.topology.source  # type: ignore[union-attr]
    text = file.read_text()  # type: ignore[union-attr]
    assert "suspect/0 attached to lan" in qlan("nic", "attach", "plugs/suspect", "lan")
    plugs.shell("suspect").wait_for("cat /run/lease/eth0", timeout_s=40)
    assert plugs.address("suspect") in plugs.sh("suspect", "ip -o -4 addr show dev eth0")
    assert plugs.lab.status().by_hand == ("suspect/0 attached to lan",)
    assert "suspect/0 attached to lan" in qlan("status", "-l", "plugs")
    assert "suspect/0 cable down" in qlan("nic", "down", "plugs/suspect/lan")
    plugs.shell("suspect").wait_for("[ $(cat /sys/class/net/eth0/carrier) = 0 ]")
    qlan("nic", "up", "plugs/suspect/0")
    qlan("nic", "move", "plugs/suspect/0", "back")
    assert ("suspect", 0, "back", "up") in nics()
    assert "suspect/0 detached" in qlan("nic", "detach", "plugs/suspect/0")
    assert plugs.sh("suspect", "ls /sys/class/net").split() == ["lo"]
    assert plugs.lab.status().by_hand == ()
    assert file.read_text() == text  # type: ignore[union-attr]


def test_a_nic_for_a_while_goes_by_itself(plugs: BootedLab) -> None:
    assert "suspect/0 attached to lan for a while" in qlan("nic", "attach", "plugs/suspect", "lan", "--for", "4s")
    assert ("suspect", 0, "lan", "up") in nics()
    deadline = time.monotonic() + 40
    while "suspect" in [guest for guest, *_ in nics()]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    while plugs.lab.status().by_hand or plugs.lab.status().drift:  # its server is made anew after it
        assert time.monotonic() < deadline
        time.sleep(0.2)
    qlan("nic", "attach", "plugs/suspect", "lan", "--for", "1h")
    qlan("nic", "detach", "plugs/suspect/0")
    deadline = time.monotonic() + 20
    while timers(plugs):
        assert time.monotonic() < deadline, "nobody needs it any more"
        time.sleep(0.1)
    assert "not for the file" in qlan("nic", "attach", "plugs/web", "lan", "--for", "1h", "--save", code=2)


def test_what_comes_after_a_nic_for_a_while_stays(plugs: BootedLab) -> None:
    """The later one keeps its number, the free one is given again, and nobody takes that out."""
    qlan("nic", "attach", "plugs/suspect", "lan", "--for", "3s")
    qlan("nic", "attach", "plugs/suspect", "back")
    deadline = time.monotonic() + 40
    while timers(plugs):
        assert time.monotonic() < deadline, "its time is over, and it has nothing to do any more"
        time.sleep(0.2)
    assert [(index, network) for guest, index, network, _ in nics() if guest == "suspect"] == [(1, "back")]
    assert "suspect/0 attached to user" in qlan("nic", "attach", "plugs/suspect", "user")
    qlan("nic", "down", "plugs/suspect/1")
    qlan("up", "--no-wait", "-l", "plugs")
    assert [index for guest, index, *_ in nics() if guest == "suspect"] == [0, 1]


def timers(plugs: BootedLab) -> list[str]:
    """The processes that wait for the end of a NIC's time, of this lab's folder."""
    run = str(plugs.lab.layout.run_root).encode()
    entries = [one for one in Path("/proc").iterdir() if one.name.isdigit()]
    return [one.name for one in entries if b"qlan.plugging" in cmdline(one) and run in environ(one)]


def environ(entry: Path) -> bytes:
    try:
        return (entry / "environ").read_bytes()
    except OSError:
        return b""


def cmdline(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


def test_some_at_once_are_all_done(plugs: BootedLab) -> None:
    words = [sys.executable, "-m", "qlan", "nic", "attach", "plugs/suspect"]
    networks = ["lan", "back", "user", "lan"]
    for _ in range(3):
        them = [subprocess.Popen([*words, network], stdout=subprocess.PIPE) for network in networks]
        assert [one.wait(60) for one in them] == [0] * len(them)
        assert sorted(network for guest, _, network, _ in nics() if guest == "suspect") == sorted(networks)
        for number in reversed(range(len(them))):
            qlan("nic", "detach", f"plugs/suspect/{number}")
        assert not plugs.lab.status().drift


def test_what_another_changed_meanwhile_stays(plugs: BootedLab) -> None:
    """Both looked before either had done anything."""
    first, second = Lab.named("plugs"), Lab.named("plugs")
    done: list[plugging.Plugged] = []

    def find(record: Record | None) -> Change:
        if not done:
            done.append(plugging.attach(second, Change("suspect", "attach", -1, "back")))
        return Change("suspect", "attach", -1, "lan")

    assert plugging.carry_out(first, find).change.nic == 1
    assert [network for guest, _, network, _ in nics() if guest == "suspect"] == ["back", "lan"]


def test_a_guest_that_ends_meanwhile_is_not_started(plugs: BootedLab) -> None:
    def find(record: Record | None) -> Change:
        pid = plugs.lab.find_pid("asleep")
        assert pid
        os.kill(pid, signal.SIGKILL)
        while plugs.lab.find_pid("asleep"):
            time.sleep(0.01)
        return Change("asleep", "attach", -1, "back")

    with pytest.raises(ConflictError, match="guest `asleep` has ended meanwhile"):
        plugging.carry_out(Lab.named("plugs"), find)
    assert plugs.lab.find_pid("asleep") is None
    assert not plugs.lab.status().by_hand
    qlan("up", "--no-wait", "-l", "plugs")
    assert plugs.lab.find_pid("asleep")


def test_up_goes_back_to_the_file_if_asked(plugs: BootedLab) -> None:
    qlan("nic", "attach", "plugs/suspect", "user", "--model", "e1000")
    assert ("suspect", 0, "user", "up") in nics()
    pid = plugs.lab.find_pid("suspect")
    qlan("up", "--no-wait", "-l", "plugs")
    assert ("suspect", 0, "user", "up") in nics(), "unasked it stays"
    qlan("up", "--no-wait", "--discard", "-l", "plugs")
    assert "suspect" not in [guest for guest, *_ in nics()]
    assert plugs.lab.find_pid("suspect") == pid
    assert plugs.lab.status().by_hand == ()


def test_it_is_written_into_the_file(plugs: BootedLab) -> None:
    file = plugs.lab.topology.source  # type: ignore[union-attr]
    assert file
    text = file.read_text()
    qlan("nic", "attach", "plugs/web", "back", "--save")
    assert file.read_text() == text.replace("hotplug: 1, nics: [lan]}", "hotplug: 1, nics: [lan, back]}")
    assert plugs.lab.status().by_hand == ()
    assert not Lab.load(file).plan()
    qlan("nic", "detach", "plugs/web/back", "--save")
    assert file.read_text() == text
    assert not Lab.load(file).plan()


def test_many_times_in_and_out_leaves_nothing(plugs: BootedLab) -> None:
    """QLAN_CYCLES=1000 for the long run; QEMU's memory may grow by what malloc keeps, not by something a cycle."""
    cycles = int(os.environ.get("QLAN_CYCLES", "30"))
    plugs.sh("web", "true")
    for _ in range(5):  # what is made once, and kept
        in_and_out(plugs)
    before, memory_kb = counts(plugs), private_kb(plugs)
    start = time.monotonic()
    for _ in range(cycles):
        in_and_out(plugs)
    took_s, grown_kb = time.monotonic() - start, private_kb(plugs) - memory_kb
    print(f"{cycles} cycles in {took_s:.0f} s: {counts(plugs)}, QEMU grew by {grown_kb} kB")
    assert counts(plugs) == before
    assert grown_kb < 4096 + 2 * cycles


def in_and_out(plugs: BootedLab) -> None:
    plugging.attach(plugs.lab, Change("web", "attach", -1, "back"))
    plugging.detach(plugs.lab, "web", "1")


def counts(plugs: BootedLab) -> dict[str, int]:
    pid = plugs.lab.find_pid("web")
    run = str(plugs.lab.layout.run_root).encode()
    mine = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and run in cmdline(entry)]
    return {
        "QEMU's descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "QEMU's mappings": len(Path(f"/proc/{pid}/maps").read_text().splitlines()) // 10,
        "our descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "links": len(plugs.in_realm("ip", "-o", "link").stdout.splitlines()),
        "processes": len(mine),
        "files": len(list(plugs.lab.layout.run.rglob("*"))),
    }


def private_kb(plugs: BootedLab) -> int:
    """What QEMU has of its own beside the guest's memory, which is one mapping that does not grow (VmData, proc(5))."""
    text = Path(f"/proc/{plugs.lab.find_pid('web')}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmData:"))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("attach", "plugs/nobody", "lan"), 2, "no guest `nobody` in this lab"),
        (("attach", "plugs/web", "lam"), 2, "lab `plugs` has no network `lam`\n  hint:  did you mean `lan`?"),
        (("detach", "plugs/web/7"), 2, "guest `web` has no NIC `7`\n  hint:  its NICs: 0 (lan)"),
        (("detach", "web"), 2, "`web` names no NIC"),
        (("attach", "plugs/web", "lan", "--model", "usb"), 0, ""),
        (("attach", "plugs/web", "lan", "--model", "ne2k_isa"), 4,
         "guest `web` cannot take this while it runs: ne2k_isa is a card of the bus ISA, whose cards stay"),
        (("attach", "plugs/web", "lan", "--mac", "53:00:00:00:00:01"), 2, "is a multicast address"),
        (("move", "plugs/web/0", "lan"), 2, "NIC 0 of guest `web` is on `lan` already"),
        (("attach", "plugs/web"), 2, "`qlan nic attach` wants GUEST NETWORK"),
        (("detach", "plugs/asleep/0"), 8, "the guest does not let go of nic0 within 10 s"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)  # fmt: skip
def test_what_cannot_be(plugs: BootedLab, words: tuple[str, ...], code: int, said: str) -> None:
    before = nics()
    text = qlan("nic", *words, code=code)
    if code == 0:
        qlan("up", "--no-wait", "--discard", "-l", "plugs")
    assert said in text
    assert nics() == before
    assert not plugs.lab.status().drift
    assert not plugs.lab.status().by_hand


def test_no_port_is_free(plugs: BootedLab) -> None:
    qlan("nic", "attach", "plugs/web", "back")
    assert "no PCIe port is free for another NIC" in qlan("nic", "attach", "plugs/web", "lan", code=3)
    qlan("nic", "detach", "plugs/web/1")
    assert not plugs.lab.status().drift


def test_a_monitor_that_is_taken_or_a_qemu_that_hangs(plugs: BootedLab) -> None:
    """The time limit holds, and nothing was changed."""
    pid = plugs.lab.find_pid("web")
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        text = qlan("nic", "down", "plugs/web/0", code=6)
        assert "no answer within 10 s" in text
        assert time.monotonic() - start < 40
    finally:
        os.kill(pid, signal.SIGCONT)
    qlan("up", "--no-wait", "-l", "plugs")
    assert ("web", 0, "lan", "up") in nics()
    assert not plugs.lab.status().drift

"""`qlan adopt` of QEMUs that a shell started: what cannot be adopted, and a fault at every command of lending.

The card that is lent is USB's: QEMU takes it back by itself, and nobody is in these guests to let go of others.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from qlan.qmp.monitor import execute

from .place import IS_ROOT, Place
from .test_faults import at, count

LAB = """\
lab: demo
%s
networks:
  lan: {kind: host-only, dhcp: true}
guests:
  web: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [lan]}
"""
QEMU = ("qemu-system-x86_64", "-S", "-accel", "tcg", "-m", "16M", "-display", "none", "-nodefaults",
        "-device", "qemu-xhci")  # fmt: skip


@pytest.fixture
def lab(place: Place) -> Path:
    file = place.folder / "qlan.yaml"
    file.write_text(LAB % (f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}" if IS_ROOT else ""))
    return file


@contextmanager
def by_hand(place: Place, *words: str, wait_for: str = "q") -> Iterator[subprocess.Popen[bytes]]:
    """A QEMU; its relative paths are those of the test's folder."""
    with subprocess.Popen([*QEMU, *words], cwd=place.folder, stderr=subprocess.DEVNULL) as qemu:
        try:
            if wait_for:
                answering(place.folder / wait_for)
            yield qemu
        finally:
            qemu.kill()


def answering(path: Path) -> None:
    """Until somebody listens there."""
    for _ in range(400):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as one:
            one.connect(str(path))
            return
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(["sleep", "infinity"], timeout=0.05, check=False)
    raise AssertionError(path)


def truth(qmp: Path) -> list[str]:
    """QEMU's own word of its cards, without descriptors."""
    [text] = execute(qmp, [("human-monitor-command", {"command-line": "info network"})])
    return [re.sub("(,fd=|,fds=).*", "", line).strip() for line in text.splitlines()]


def refused(place: Place, *words: str, code: int) -> str:
    done = place.qlan(*words, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr.replace(str(place.folder), "FOLDER")


MON = "unix:q,server=on,wait=off"


def test_what_cannot_be_adopted(place: Place, lab: Path) -> None:
    assert refused(place, "adopt", "none", code=2) == (
        "qlan: error: there is no socket none\n  hint:  the path after `-qmp unix:`, or QEMU's process id\n"
    )
    (place.folder / "file").touch()
    assert "nobody listens on file" in refused(place, "adopt", "file", code=2)
    assert "there is no process 4194304" in refused(place, "adopt", "4194304", code=2)
    assert f"process {os.getpid()} is no QEMU: " in refused(place, "adopt", str(os.getpid()), code=2)
    with by_hand(place, "-name", "My VM", wait_for="") as qemu:
        text = refused(place, "adopt", str(qemu.pid), code=3)
        assert f"this QEMU has no QMP socket, by which it could be told anything (process {qemu.pid})" in text
        assert "hint:  start it again with: -qmp unix:" in text
        assert text.endswith("/My-VM.qmp,server=on,wait=off\n")
    serial = ("-chardev", "socket,id=c,path=tty,server=on,wait=off", "-serial", "chardev:c")
    with by_hand(place, *serial, "-qmp", MON) as qemu:
        assert refused(place, "adopt", "tty", code=2) == (
            "qlan: error: tty is another socket of that QEMU, not its QMP\n  hint:  that is FOLDER/q\n"
        )
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(str(place.folder / "q"))
            other.recv(100)
            assert refused(place, "adopt", "q", code=4) == (
                "qlan: error: somebody else is connected to this QMP socket, and QEMU talks to one at a time\n"
                "  where: FOLDER/q\n  hint:  end that program, or give QEMU a second `-qmp unix:...`\n"
            )
        os.kill(qemu.pid, signal.SIGSTOP)
        assert refused(place, "adopt", "q", code=3) == (
            f"qlan: error: this QEMU is stopped and answers nothing (process {qemu.pid})\n"
            f"  where: FOLDER/q\n  hint:  kill -CONT {qemu.pid}\n"
        )
        os.kill(qemu.pid, signal.SIGCONT)
        assert "`My_VM` is no name for a guest" in refused(place, "adopt", "q", "--as", "My_VM", code=2)
        place.qlan("up", "--no-wait")
        assert "lab `demo` has a guest `web` already" in refused(place, "adopt", "q", "--as", "web", code=2)
        place.qlan("adopt", str(qemu.pid))
        assert "by hand, not in the file" not in place.qlan("status").stdout, "`up` leaves it alone"
        assert "is guest `q` of lab `demo` already" in refused(place, "adopt", "q", "--as", "again", code=4)
        [web] = [pid for pid, words in place.processes() if "qemu-system" in words]
        assert "is guest `web` of lab `demo` already" in refused(place, "adopt", str(web), "--as", "again", code=4)
        assert "guest `web` was started by qlan, not adopted" in refused(place, "release", "web", code=2)
        assert "guest `q` is adopted: qlan did not start it" in refused(place, "restart", "q", code=2)
    assert [one["name"] for one in guests(place)] == ["web"], "it has ended, and that is its user's affair"
    place.qlan("down", "--force")
    assert place.processes() == []


def guests(place: Place) -> list[dict[str, object]]:
    return list(json.loads(place.qlan("status", "--json").stdout)["labs"][0]["guests"])


def test_no_port_for_a_card_and_what_may_be_said_to_it(place: Place, lab: Path) -> None:
    mon = ("-chardev", "socket,id=m,path=q,server=on,wait=off", "-mon", "chardev=m,mode=control", "-machine", "q35")
    with by_hand(place, *mon, "-nic", "user") as qemu:
        place.qlan("up", "--no-wait")
        place.qlan("adopt", str(qemu.pid), "--as", "mine")
        text = refused(place, "nic", "attach", "mine", "lan", code=4)
        assert "guest `mine` cannot take this while it runs: its machine, pc-q35-" in text
        assert "or start it with -device pcie-root-port,id=port1,chassis=1" in text
        said = "NIC mine/0 is the guest's own, from before it was adopted: what it leads to is not known"
        assert said in refused(place, "impair", "mine/0", "--rate", "1mbit", code=2)
        assert "guest `mine` hears no other guest" in refused(place, "partition", "mine", "/", "web", code=2)
        os.kill(qemu.pid, signal.SIGSTOP)
        assert "no answer within 10 s" in refused(place, "nic", "down", "mine/0", code=6)
        place.qlan("down", "--force")
        os.kill(qemu.pid, signal.SIGCONT)
    assert place.processes() == []


def test_what_it_was_lent_goes_with_it(place: Place, lab: Path) -> None:
    """Its name on the other networks too; if it ends by itself, all of it that is told is its open port."""
    head, _, _ = lab.read_text().partition("networks:")
    lab.write_text(f"""{head}
networks: {{lan: host-only, back: host-only}}
guests:
  web: {{qemu_args: [-S], memory: 16M, accel: tcg, nics: [lan, back]}}
""")
    for ends in (False, True):
        with by_hand(place, "-qmp", MON, "-nic", "user,mac=52:54:00:00:00:77") as qemu:
            place.qlan("up", "--no-wait")
            place.qlan("adopt", str(qemu.pid), "--as", "mine")
            same = ("nic", "attach", "mine", "lan", "--model", "usb", "--mac", "52:54:00:00:00:77")
            assert "NIC 0 of guest `mine` have one MAC" in refused(place, *same, code=2)
            place.qlan("nic", "attach", "mine", "lan", "--model", "usb")
            place.qlan("forward", "add", "mine", "28467:22", "--nic", "0")
            place.qlan("forward", "add", "mine", "28468:22", "--reverse")
            assert "28468" in place.qlan("forward", "list").stdout, "by the NIC that is on a network"
            if not ends:
                place.qlan("down", "--force", "mine")
                assert json.loads(place.qlan("plan", "--json").stdout)["steps"] == []
        if ends:
            found = json.loads(place.qlan("status", "--json").stdout)["labs"][0]
            [drift] = found["drift"]
            assert drift.startswith("- reverse/mine/1/tcp:")
            assert found["unsaved"] == []
            place.qlan("up", "--no-wait")
            assert json.loads(place.qlan("plan", "--json").stdout)["steps"] == []
            place.qlan("down", "--force")
    assert place.processes() == []


def test_a_fault_at_any_command_of_lending_leaves_the_qemu_as_it_was(place: Place, lab: Path) -> None:
    """Every second or third command: the other realm's run has others."""
    with by_hand(place, "-qmp", MON, "-nic", "user,model=e1000") as qemu:
        monitor = place.folder / "q"
        adopt = f"adopt:{monitor}"
        own = truth(monitor)
        count(place, lab, "up")
        for number in range(count(place, lab, adopt)):
            count(place, lab, "release:mine")
            assert at(place, lab, adopt, "fail", number)[0] == 3
            assert [one["name"] for one in guests(place)] == ["web"]
            assert at(place, lab, adopt, "kill", number)[0] == -9
            at(place, lab, adopt, "go", -1)
            assert truth(monitor) == own
        total = count(place, lab, "attach:mine")
        count(place, lab, "release:mine")
        for number in range(IS_ROOT, total, 2):
            count(place, lab, adopt)
            assert at(place, lab, "attach:mine", "fail", number)[0] == 3
            assert truth(monitor) == own, f"refused at command {number} of {total}"
            assert at(place, lab, "attach:mine", "kill", number)[0] == -9
            count(place, lab, "release:mine")
            assert truth(monitor) == own, f"killed at command {number} of {total}"
        for verb in ("release:mine", "down"):
            lend(place, lab, monitor)
            total = count(place, lab, verb)
            assert total > 5
            for number in range(IS_ROOT, total, 3):
                lend(place, lab, monitor)
                assert at(place, lab, verb, "kill", number)[0] == -9
                at(place, lab, verb, "go", -1)  # it may be gone already
                assert truth(monitor) == own, f"{verb} killed at command {number} of {total}"
        assert qemu.poll() is None
        count(place, lab, "down")
        assert place.processes() == []


def lend(place: Place, lab: Path, monitor: Path) -> None:
    count(place, lab, "up")
    count(place, lab, f"adopt:{monitor}")
    count(place, lab, "attach:mine")

"""`qlan adopt`: a QEMU that its user started from a shell is on a lab's networks, and runs on without them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from .driver import GuestShell
from .lab import IS_ROOT, TEST_USER, BootedLab, booted
from .machine import GuestImage, tell

pytestmark = pytest.mark.guest

LAB = """\
lab: lends
networks:
  lan: {kind: host-only, subnet: 10.85.0.0/24}
  back: {kind: private, subnet: 10.86.0.0/24, dhcp: true}
guests:
  web: {KERNEL, nics: [lan]}
"""
PORT, OWN_PORT = 28122, 28123  # loopback's
USER_CARD = (
    f"-netdev user,id=net0,hostfwd=tcp:127.0.0.1:{OWN_PORT}-:80 -device virtio-net-pci,netdev=net0,id=nic0,romfile="
)


@dataclass
class Mine:
    """A QEMU started by hand."""

    pid: int
    socket: Path
    shell: GuestShell

    def truth(self) -> str:
        """What QEMU itself says of its NICs and forwards, but for descriptors and connections."""
        text = "".join(
            str(tell(self.socket, "human-monitor-command", {"command-line": f"info {what}"}))
            for what in ("network", "usernet")
        )
        rows = [line.split() for line in text.splitlines() if "[" not in line or "HOST_FORWARD" in line]
        steady = [row[:1] + row[2:] if "[" in row[0] else row for row in rows if row]
        return "\n".join(" ".join(row) for row in steady)


@pytest.fixture(scope="module")
def lab(guest_image: GuestImage) -> Iterator[BootedLab]:
    with booted(guest_image, LAB) as one:
        yield one


@pytest.fixture(scope="module")
def mine(guest_image: GuestImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mine]:
    folder = Path("/tmp", f"qa{os.getpid()}")
    with by_hand(guest_image, folder) as one:
        yield one


@contextmanager
def by_hand(image: GuestImage, folder: Path, card: str = USER_CARD) -> Iterator[Mine]:
    """As a user types it, with ids that are as qlan's own; root's test has it run by somebody else."""
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    console, monitor = folder / "console", folder / "my.qmp"
    text = (
        f"umask 0; cd {folder}; exec qemu-system-x86_64 -name 'My VM' -accel tcg -m 192M -display none "
        f"-kernel {image.vmlinux} -initrd {image.initrd} -append 'console=ttyS0 quiet' "
        f"{card} -chardev socket,id=c,path={console},server=on,wait=off -serial chardev:c -monitor none "
        "-qmp unix:my.qmp,server=on,wait=off"
    )
    drop = ["setpriv", f"--reuid={TEST_USER}", "--clear-groups"] if IS_ROOT else []
    with subprocess.Popen([*drop, "sh", "-c", text]) as qemu, GuestShell(console) as shell:
        try:
            yield Mine(qemu.pid, monitor, shell)
        finally:
            qemu.kill()
    for path in (console, monitor):
        path.unlink(missing_ok=True)
    folder.rmdir()


def qlan(*words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "qlan", *words], text=True, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done.stderr if code else done.stdout


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def descriptors(pid: int) -> list[str]:
    """What it has open, without numbers; what it closes meanwhile is not."""
    found = []
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(one.readlink()).partition(":")[0])
    return sorted(found)


def test_a_qemu_started_by_hand_is_lent_a_network_and_runs_on_without(lab: BootedLab, mine: Mine) -> None:
    mine.shell.wait_for_lease("eth0", timeout_s=60)
    before, open_before = mine.truth(), descriptors(mine.pid)
    uptime = float(mine.shell.run("cat /proc/uptime").split()[0])

    assert f"process {mine.pid} is guest my-vm of lab lends" in qlan("adopt", str(mine.pid))
    assert mine.truth() == before, "adopting changes nothing"
    status = qlan("status", "-l", "lends")
    assert "adopted" in status and f"127.0.0.1:{OWN_PORT} -> 80/tcp" in status
    assert "drift" not in status

    qlan("nic", "attach", "my-vm", "lan")
    qlan("nic", "attach", "my-vm", "back", "--model", "e1000")
    assert "10.85.0." in str(mine.shell.wait_for_lease("eth1", timeout_s=40))
    assert "10.86.0." in str(mine.shell.wait_for_lease("eth2", timeout_s=40))
    mine.shell.wait_for(f"ping -c 1 -W 1 {lab.address('web')}", timeout_s=10)
    lab.shell("web").wait_for("ping -c 1 -W 1 my-vm", timeout_s=10)

    qlan("forward", "add", "my-vm", f"{PORT}:80")
    qlan("forward", "remove", "my-vm", str(OWN_PORT))
    assert listens(PORT) and not listens(OWN_PORT)
    assert f"127.0.0.1:{PORT} -> 80/tcp" in qlan("forward", "list", "my-vm")

    qlan("nic", "down", "my-vm/0")
    mine.shell.wait_for("[ $(cat /sys/class/net/eth0/carrier) = 0 ]")

    qlan("up", "--no-wait", "-l", "lends")
    assert [nic.network for nic in guest(lab).nics] == ["user", "lan", "back"], "the file does not know it: it stays"
    assert listens(PORT) and not listens(OWN_PORT), "and so do its forwards"
    assert "by hand, not in the file" not in qlan("status", "-l", "lends")

    assert f"process {mine.pid} is as it was" in qlan("release", "my-vm")
    assert mine.truth() == before
    deadline = time.monotonic() + 60
    while descriptors(mine.pid) != open_before and time.monotonic() < deadline:
        time.sleep(0.1)  # slirp still has the end of a connection that was tried
    assert descriptors(mine.pid) == open_before
    assert listens(OWN_PORT) and not listens(PORT)
    mine.shell.wait_for("[ $(cat /sys/class/net/eth0/carrier) = 1 ]")
    assert mine.shell.run("ls /sys/class/net").split() == ["eth0", "lo"]
    assert float(mine.shell.run("cat /proc/uptime").split()[0]) > uptime, "it never stopped"
    assert "my-vm" not in qlan("status", "-l", "lends")
    assert not lab.lab.plan(), "nothing of it is left"


def guest(lab: BootedLab):  # type: ignore[no-untyped-def]
    return next(one for one in lab.lab.status().guests if one.name == "my-vm")


def test_frames_of_an_adopted_guest(lab: BootedLab, mine: Mine, tmp_path: Path) -> None:
    qlan("adopt", str(mine.socket), "--as", "heard")
    with subprocess.Popen(
        [sys.executable, "-m", "qlan", "capture", "heard/0", "--for", "4s"], text=True, stdout=subprocess.PIPE
    ) as capture:
        time.sleep(1.5)
        mine.shell.try_run("ping -c 1 -W 1 10.0.2.2")
        text = capture.communicate(timeout=40)[0]
    assert "10.0.2.2: ICMP echo request" in text
    qlan("release", "lends/heard")


@pytest.mark.skipif(IS_ROOT, reason="the bridge helper is for rootless labs: the same in the rootless run")
def test_frames_of_its_own_tap(lab: BootedLab, guest_image: GuestImage) -> None:
    """A QEMU before 8.0 writes a header before them."""
    folder = Path("/tmp", f"qt{os.getpid()}")
    with by_hand(guest_image, folder, qlan("args", "lan", "-l", "lends").strip()) as one:
        one.shell.wait_for_lease("eth0")
        qlan("adopt", str(one.socket), "--as", "heard")
        with subprocess.Popen([sys.executable, "-m", "qlan", "capture", "heard/0", "--for", "4s", "--filter", "icmp"],
                              text=True, stdout=subprocess.PIPE) as capture:  # fmt: skip
            time.sleep(1.5)
            one.shell.try_run(f"ping -c 1 -W 1 {lab.address('web')}")
            text = capture.communicate(timeout=40)[0]
        assert "ICMP echo request" in text
        assert "ICMP echo reply" in text
        qlan("release", "lends/heard")


def test_down_lets_go_of_it(lab: BootedLab, mine: Mine) -> None:
    before = mine.truth()
    qlan("adopt", str(mine.socket))
    qlan("nic", "attach", "my-vm", "lan")
    mine.shell.wait_for("[ -e /sys/class/net/eth1 ]")
    data = json.loads(qlan("status", "-l", "lends", "--json"))
    assert [one["state"] for one in data["labs"][0]["guests"]] == ["running", "adopted"]
    lab.close()
    qlan("down", "--force", "-l", "lends")
    assert mine.truth() == before
    mine.shell.wait_for("[ ! -e /sys/class/net/eth1 ]")


def test_without_a_lab_it_gets_one_of_its_own(lab: BootedLab, mine: Mine) -> None:
    before = mine.truth()
    assert "of lab my-vm" in qlan("adopt", str(mine.socket))
    qlan("nic", "attach", "my-vm", "user")
    mine.shell.wait_for("[ -e /sys/class/net/eth1 ]")
    assert "was there before it was adopted" in qlan("nic", "detach", "my-vm/0", code=2)
    assert "no file has it" in qlan("nic", "attach", "my-vm", "user", "--save", code=2)
    qlan("release", "my-vm")
    assert "no lab is up" in qlan("status")
    assert mine.truth() == before

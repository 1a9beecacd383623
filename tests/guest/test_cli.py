"""The command line with a guest at the other end: what `up` says, console, ssh, exec, status, log, run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .driver import GuestShell
from .lab import IS_ROOT, TEST_USER, filled, folders
from .machine import GuestImage

pytestmark = pytest.mark.guest

LAB = """\
lab: cli
networks:
  lan: {kind: host-only, subnet: 10.83.0.0/24}
guests:
  web: {KERNEL qlan.key=PUBLIC, nics: [lan]}
  box: {KERNEL qlan.key=PUBLIC, nics: [{user: true, forwards: ["auto:22"]}]}
"""


@dataclass
class Shop:
    """A lab that was brought up by the command.  said: what `up` printed."""

    folder: Path
    key: Path
    said: str

    def qlan(self, *words: str, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([sys.executable, "-m", "qlan", *words], cwd=self.folder, text=True, input=stdin,
                              capture_output=True, timeout=240, check=False)  # fmt: skip
        assert not check or done.returncode == 0, f"qlan {words}: {done.stdout}{done.stderr}"
        return done

    def ssh(self, guest: str, *command: str) -> subprocess.CompletedProcess[str]:
        return self.qlan("ssh", "-u", "root", "-i", str(self.key), guest, *command, check=False)

    @property
    def public(self) -> str:
        return ":".join(self.key.with_suffix(".pub").read_text().split()[:2])


@pytest.fixture(scope="module")
def shop(guest_image: GuestImage) -> Iterator[Shop]:
    with tempfile.TemporaryDirectory(prefix="ql") as name, folders(Path(name)):
        folder = Path(name)
        folder.chmod(0o755)
        one = Shop(folder, folder / "key", "")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(one.key)], check=True)
        (folder / "qlan.yaml").write_text(filled(guest_image, LAB.replace("PUBLIC", one.public)))
        try:
            one.said = one.qlan("up", "--timeout", "180").stdout
            wait_for_shells(one)
            yield one
        finally:
            one.qlan("down", "--force")


def wait_for_shells(shop: Shop) -> None:
    """Until each guest's shell answers; user-mode networking gives no sign that a guest is up."""
    for guest in ("web", "box"):
        with GuestShell(Path(os.environ["QLAN_RUN_DIR"]) / "cli" / "guest" / guest / "serial") as shell:
            shell.wait_for_lease("eth0", timeout_s=60)


def test_up_says_how_long_each_guest_took_to_its_network(shop: Shop) -> None:
    assert re.search(r"^lab cli is up \(\w+, \d+\.\d s\)$", shop.said, re.MULTILINE)
    took = re.search(r"^web: lan 10\.83\.0\.\d+, (\d+\.\d) s$", shop.said, re.MULTILINE)
    assert took, shop.said
    assert float(took[1]) > 1  # no guest boots in less, under TCG
    assert shop.qlan("up").stdout == "lab cli: nothing to do\n"


def test_status_and_show_tell_what_the_guest_has(shop: Shop) -> None:
    found = re.search(r"(10\.83\.0\.\d+) \(lease\)", shop.qlan("status").stdout)
    assert found
    inside = shop.ssh("web", "ip -o -4 address show dev eth0; cat /etc/resolv.conf; ip route").stdout
    assert f"inet {found[1]}/24" in inside
    shown = shop.qlan("show", "web").stdout
    assert re.search(rf"address     {re.escape(found[1])}/24 \(lease until .*, \d+ min left\)", shown)
    assert ("nameserver 10.83.0.1" in inside) and ("DNS         10.83.0.1" in shown)
    assert ("default" not in inside) and ("gateway     none" in shown)
    assert re.search(rf"^{re.escape(found[1])} +52:\S+ +web ", shop.qlan("show", "lan").stdout, re.MULTILINE)


def test_ssh_by_the_forward_and_through_the_labs_network(shop: Shop) -> None:
    for guest in ("box", "web"):
        done = shop.ssh(guest, "hostname; echo wrong >&2; exit 5")
        assert (done.stdout, done.stderr, done.returncode) == (f"{guest}\n", "wrong\n", 5)


def test_a_rebuilt_guest_is_no_alarm(shop: Shop) -> None:
    """Its host key is another one after every boot; `box` is started anew, and ssh asks nothing."""
    known_hosts = Path(os.environ["QLAN_RUN_DIR"]) / "cli" / "guest" / "box" / "known_hosts"
    before = shop.ssh("box", "true")
    assert (before.returncode, before.stderr) == (0, "")
    assert "ssh-ed25519" in known_hosts.read_text()
    shop.qlan("restart", "box", "--force")
    assert not known_hosts.exists()
    wait_for_shells(shop)
    after = shop.ssh("box", "hostname")
    assert (after.stdout, after.stderr) == ("box\n", "")


def test_console_in_a_pipe(shop: Shop) -> None:
    # ^C: QEMU drops the rest of a line that a client (the shell driver) sent just before it left
    said = shop.qlan("console", "web", stdin="\x03\necho $((6 * 7)) $(hostname)\n").stdout
    assert "42 web" in said.splitlines()
    assert "detaches" not in said


def test_console_is_for_one_at_a_time(shop: Shop) -> None:
    with GuestShell(Path(os.environ["QLAN_RUN_DIR"]) / "cli" / "guest" / "web" / "serial") as shell:
        shell.run("true")
        done = shop.qlan("console", "web", stdin="hostname\n", check=False)
    assert done.returncode == 4
    assert "busy: another program is attached to the console of `web`" in done.stderr


def test_log_of_the_serial_line(shop: Shop) -> None:
    assert "QLAN-GUEST READY" in shop.qlan("log", "--serial", "web").stdout
    assert re.search(r"DHCPACK\(lan[-0-9a-f]*\) 10\.83\.0\.\d+", shop.qlan("log", "lan").stdout)


def test_exec_fetches_a_page(shop: Shop) -> None:
    address = re.search(r"10\.83\.0\.\d+", shop.qlan("status").stdout)
    assert address
    page = shop.qlan("exec", "--", "curl", "-sS", "--max-time", "10", f"http://{address[0]}/")
    assert page.stdout.strip() == "web"


def test_run_a_kernel(shop: Shop, guest_image: GuestImage) -> None:
    user = ["--user", TEST_USER] if IS_ROOT else []
    words = ["--kernel", str(guest_image.vmlinux), "--initrd", str(guest_image.initrd), "--memory", "192M"]
    append = f"console=ttyS0 quiet qlan.hostname=alone qlan.key={shop.public}"
    try:
        said = shop.qlan("run", *words, "--append", append, "--accel", "tcg", "--name", "alone", *user).stdout
        assert re.search(r"^  127\.0\.0\.1:\d+ -> 22/tcp   qlan ssh alone$", said, re.MULTILINE)
        with GuestShell(Path(os.environ["QLAN_RUN_DIR"]) / "alone" / "guest" / "alone" / "serial") as shell:
            shell.wait_for_lease("eth0", timeout_s=60)
        assert shop.ssh("alone", "hostname").stdout == "alone\n"
    finally:
        shop.qlan("down", "-l", "alone", "--force", check=False)

"""A lab of booted guests for tests: qlan's own Lab, looked at through the guests' consoles and the realm."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from qlan.lab import Lab
from qlan.topology.model import Realm

from .driver import GuestShell
from .machine import GuestImage

IS_ROOT = os.geteuid() == 0
TEST_USER = os.environ.get("QLAN_TEST_USER", "nobody")


class BootedLab:
    """lab: up, with its network.  shells: one a guest, made on demand."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._shells: dict[str, GuestShell] = {}

    def sh(self, guest: str, command: str, *, timeout_s: float = 30) -> str:
        """What a command prints in a guest; GuestError if it fails."""
        return self.shell(guest).run(command, timeout_s=timeout_s)

    def fails(self, guest: str, command: str, *, timeout_s: float = 30) -> bool:
        """Whether a command fails in a guest."""
        return self.shell(guest).try_run(command, timeout_s=timeout_s).status != 0

    def shell(self, guest: str) -> GuestShell:
        if guest not in self._shells:
            self._shells[guest] = GuestShell(self.lab.layout.serial(guest))
        return self._shells[guest]

    def in_realm(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command where the lab's bridges are."""
        enter: tuple[str, ...] = ()
        if self.lab.realm is Realm.ROOTLESS:
            pid = (self.lab.layout.namespace("realm")).read_text().split()[0]
            enter = ("nsenter", f"--target={pid}", "--user", "--net", "--preserve-credentials")
        return subprocess.run([*enter, *argv], text=True, capture_output=True, check=check, timeout=60)

    def address(self, guest: str, nic: int = 0) -> str:
        """A NIC's address as `status` has it."""
        return next(one.nics[nic].address for one in self.lab.status().guests if one.name == guest)

    def close(self) -> None:
        for shell in self._shells.values():
            shell.close()
        self._shells.clear()


@contextmanager
def booted(
    image: GuestImage,
    text: str,
    *,
    wait_for: tuple[str, ...] = (),
    prepare: Callable[[Path], None] = lambda folder: None,
) -> Iterator[BootedLab]:
    """The lab of a file's text (KERNEL stands for the test guest's kernel and initrd) up with its leases.

    wait_for: guests, if not all come to their network.  prepare: puts more into the file's folder.
    """
    with tempfile.TemporaryDirectory(prefix="ql") as folder:
        Path(folder).chmod(0o755)
        with folders(Path(folder)):
            file = Path(folder) / "qlan.yaml"
            file.write_text(filled(image, text))
            prepare(file.parent)
            one = BootedLab(Lab.load(file))
            try:
                one.lab.up()
                one.lab.wait(wait_for, time_limit_s=180)
                yield one
            finally:
                one.close()
                Lab.load(file).down(grace_s=0)


def filled(image: GuestImage, text: str) -> str:
    """KERNEL replaced, and in the host realm a user for QEMU."""
    kernel = (
        f"kernel: {image.vmlinux}, initrd: {image.initrd}, memory: 192M, accel: tcg, "
        "append: console=ttyS0 quiet qlan.hostname="
    )
    lines = []
    for line in text.splitlines():
        guest = line.strip().partition(":")[0]
        lines.append(line.replace("KERNEL", kernel + guest))
    return "\n".join([*([f"user: {TEST_USER}"] if IS_ROOT else []), *lines]) + "\n"


@contextmanager
def folders(folder: Path) -> Iterator[None]:
    """qlan's own folders for one test alone."""
    names: Mapping[str, str] = {"QLAN_RUN_DIR": str(folder / "r"), "QLAN_STATE_DIR": str(folder / "s")}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

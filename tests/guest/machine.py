"""A plain QEMU with the test guest in it, by a hand-written command line: nothing of qlan."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .driver import GuestShell

BUILD_GUEST = Path(__file__).parents[2] / "scripts" / "build-guest"


@dataclass(frozen=True)
class GuestImage:
    vmlinuz: Path
    vmlinux: Path  # the same kernel, for QEMU's PVH boot: 4 s faster under TCG
    initrd: Path
    initrd_full: Path  # with iproute2, nftables and many more modules


@dataclass
class Machine:
    process: subprocess.Popen[bytes]
    folder: Path
    started: float  # time.monotonic() at power-on
    shell: GuestShell

    @property
    def qmp(self) -> Path:
        return self.folder / "qmp.sock"

    @property
    def log(self) -> str:
        """All that the serial console wrote since power-on."""
        return (self.folder / "console.log").read_text(errors="replace")


def build_image() -> GuestImage:
    """The guest, built unless it is in the cache; QLAN_GUEST_DIR names another cache than scripts/build-guest does."""
    folder = os.environ.get("QLAN_GUEST_DIR")
    command = [str(BUILD_GUEST), *([folder] if folder else [])]
    # Its progress and errors go to our standard error, hence into pytest's report.
    build = Path(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip())
    return GuestImage(build / "vmlinuz", build / "vmlinux", build / "initrd.gz", build / "initrd-full.gz")


@contextmanager
def start_machine(
    folder: Path,
    kernel: tuple[Path, Path],
    words: Sequence[str],
    *,
    append: str = "",
    prefix: Sequence[str] = (),
) -> Iterator[Machine]:
    """QEMU with `kernel` (kernel, initrd) and `words` (machine, memory, NICs); killed at the end if it still runs.

    `prefix` is a command that runs it, such as nsenter.
    """
    folder.mkdir(parents=True, exist_ok=True)
    console = folder / "console.sock"
    chardev = f"socket,id=console,path={console},server=on,wait=off,logfile={folder / 'console.log'}"
    command = [
        *prefix,
        *("qemu-system-x86_64", "-accel", "tcg", "-nodefaults", "-no-user-config", "-display", "none"),
        *("-kernel", str(kernel[0]), "-initrd", str(kernel[1]), "-append", f"console=ttyS0 quiet {append}"),
        *("-chardev", chardev, "-serial", "chardev:console"),
        *("-qmp", f"unix:{folder / 'qmp.sock'},server=on,wait=off"),
        *words,
    ]
    started = time.monotonic()
    with subprocess.Popen(command) as process:
        shell = GuestShell(console)
        try:
            yield Machine(process, folder, started, shell)
        finally:
            shell.close()
            process.kill()


def tell(qmp: Path, command: str, arguments: Mapping[str, object] | None = None) -> object:
    """The answer of the QEMU behind the socket `qmp`."""

    from qemu.qmp import QMPClient  # the tests' alone: scripts/reach and scripts/bench boot machines, too

    async def ask() -> object:
        client = QMPClient("test")
        await client.connect(str(qmp))
        try:
            return await client.execute(command, dict(arguments or {}))
        finally:
            await client.disconnect()

    return asyncio.run(ask())

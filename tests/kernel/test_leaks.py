"""What runs on in the background holds nothing that belongs to who called qlan."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from .place import IS_ROOT, Place


@pytest.mark.usefixtures("lab")
def test_no_descriptor_of_the_caller_lives_on_in_the_background(place: Place) -> None:
    lock = place.folder / "lock"
    words = f'exec 3>"{lock}" 9>"{lock}" && {sys.executable} -m qlan up --no-wait'
    place.run("sh", "-c", words)
    held = [(words, fd) for pid, words in place.processes() for fd in open_files(pid) if fd == str(lock)]
    place.qlan("down", "--force")
    assert held == []


def open_files(pid: int) -> list[str]:
    return [
        str(Path(entry.path).readlink()) for entry in os.scandir(f"/proc/{pid}/fd") if Path(entry.path).is_symlink()
    ]


@pytest.mark.usefixtures("lab")
def test_nobody_else_looks_into_a_guest(place: Place) -> None:
    """The serial line's log, QEMU's words, and the sockets on which it can be told anything."""
    place.qlan("up", "--no-wait")
    folder = place.run_dir / "demo" / "guest" / "web"
    modes = {path.name: path.stat().st_mode & 0o077 for path in (folder / "qemu", *folder.iterdir())}
    owners = {path: path.stat().st_uid for path in (folder, *folder.rglob("*")) if path.is_dir()}
    place.qlan("down", "--force")
    assert {name: modes[name] for name in ("qemu", "qmp", "serial", "qemu.log")} == dict.fromkeys(
        ("qemu", "qmp", "serial", "qemu.log"), 0
    )
    assert {path.name for path, uid in owners.items() if uid != os.geteuid()} <= {"qemu"}


@pytest.mark.usefixtures("lab")
def test_any_umask_will_do(place: Place) -> None:
    place.run("sh", "-c", f"umask 077 && {sys.executable} -m qlan up --no-wait")
    place.qlan("down", "--force")


@pytest.mark.skipif(not IS_ROOT, reason="only root starts QEMU as somebody else: the same in the run as root")
def test_a_seed_is_root_s_own(place: Place, lab: Path) -> None:
    """In a folder of QEMU's user that user could lay a link where root writes."""
    lab.write_text(lab.read_text().replace("web: {", "web: {cloud_init: true, disk: disk.img, "))
    (place.folder / "disk.img").write_bytes(bytes(1 << 20))
    (place.folder / "disk.img").chmod(0o666)
    place.qlan("up", "--no-wait")
    seed = place.run_dir / "demo" / "guest" / "web" / "seed"
    owners = {path.stat().st_uid for path in (seed, *seed.iterdir())}
    [qemu] = [pid for pid, words in place.processes() if words.startswith("/usr/bin/qemu") and "CIDATA" in words]
    home = Path(f"/proc/{qemu}/environ").read_bytes()
    place.qlan("down", "--force")
    assert owners == {0}
    assert b"HOME=/root\0" not in home

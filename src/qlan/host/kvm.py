"""Whether KVM works here: an openable /dev/kvm is not enough (nested and restricted hosts stall real guests).

A boot sector of nine bytes that tells QEMU to exit is started with KVM.  Where KVM works its end comes in about 0.2 s;
where it is emulated badly the firmware alone takes longer than the limit.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from qlan.host.run import environment, run

_DEVICE = Path("/dev/kvm")
_LIMIT_S = 2.0
_EXIT_PORT = 0xF4
# mov dx, 0xf4; mov al, 0x10; out dx, al; hlt; jmp $-1
_CODE = bytes([0xBA, _EXIT_PORT, 0x00, 0xB0, 0x10, 0xEE, 0xF4, 0xEB, 0xFD])
_BOOT_SECTOR = _CODE.ljust(510, b"\0") + b"\x55\xaa"
_EXIT_STATUS = (0x10 << 1) | 1  # isa-debug-exit in QEMU


def why_not(uid: int | None = None) -> str:
    """ "" if /dev/kvm is there and may be opened by the user, else the reason."""
    if not _DEVICE.exists():
        return "this machine has no /dev/kvm"
    if uid is None or uid == os.geteuid():
        allowed = os.access(_DEVICE, os.R_OK | os.W_OK)
    else:
        allowed = (
            run(
                ["setpriv", f"--reuid={uid}", "--regid=65534", *_groups(uid), "test", "-w", str(_DEVICE)], ok=(0, 1)
            ).returncode
            == 0
        )
    return "" if allowed else "/dev/kvm is not open to this user (is it in the group `kvm`?)"


def why_not_working(binary: str) -> str:
    """ "" if a program in a guest runs to its end under KVM in reasonable time, else what was seen.  x86 only."""
    import tempfile  # once per boot

    with tempfile.NamedTemporaryFile(prefix="qlan-kvm-", suffix=".img") as image:
        image.write(_BOOT_SECTOR)
        image.flush()
        argv = [
            binary,
            "-accel",
            "kvm",
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
            "-m",
            "16M",
            "-device",
            f"isa-debug-exit,iobase={_EXIT_PORT}",
            "-drive",
            f"format=raw,snapshot=on,file={image.name.replace(',', ',,')}",
        ]
        try:
            done = subprocess.run(
                argv,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=_LIMIT_S,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"/dev/kvm opens, but a nine-byte guest does not end within {_LIMIT_S:.0f} s under it"
    if done.returncode == _EXIT_STATUS:
        return ""
    words = done.stderr.strip().splitlines()
    return f"QEMU cannot use /dev/kvm: {words[-1] if words else f'exit status {done.returncode}'}"


def _groups(uid: int) -> list[str]:
    import pwd

    try:
        pwd.getpwuid(uid)
    except KeyError:
        return ["--clear-groups"]
    return ["--init-groups"]

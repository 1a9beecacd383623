"""What a disk image is: its format by its own header, so that QEMU never guesses.

QEMU's own probing is unsafe for raw images (a guest can write a qcow2 header into its raw disk and read host files).
We look once, on the host, before any guest has the disk, and always say the format.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from qlan.host.files import explained

# offset, bytes, format: block/*.c in QEMU
_MAGIC = (
    (0, b"QFI\xfb", "qcow2"),
    (0, b"KDMV", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vpc"),
    (0x40, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"QED\0", "qed"),
)


def read_format(path: Path) -> str:
    """qcow2, vmdk, vhdx, vpc, vdi, qed or raw; HostError if it cannot be read.

    A folder has no format: the topology's check refuses it, with its line and beside all else that is wrong.
    """
    try:
        with path.open("rb") as image:
            head = image.read(512)
    except IsADirectoryError:
        return "raw"
    except OSError as error:
        raise explained(error, path) from error
    return next((name for offset, magic, name in _MAGIC if head[offset:].startswith(magic)), "raw")


def find_user(path: Path) -> str | None:
    """Which process has an image open, as far as this user may see: `qemu:web (process 123)`."""
    with suppress(OSError):
        wanted = path.stat()
        for entry in os.scandir("/proc"):
            if entry.name.isdecimal() and _has_open(entry.name, wanted):
                name = Path(f"/proc/{entry.name}/comm").read_text(encoding="utf-8", errors="replace").strip()
                return f"{name} (process {entry.name})"
    return None


def _has_open(pid: str, wanted: os.stat_result) -> bool:
    with suppress(OSError):
        for fd in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                found = fd.stat()
                if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                    return True
    return False

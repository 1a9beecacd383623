"""What a disk image is: its format by its own header, so that QEMU never guesses.

QEMU's own probing is unsafe for raw images (a guest can write a qcow2 header into its raw disk and read host files).
We look once, on the host, before any guest has the disk, and always say the format.
"""

from __future__ import annotations

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
    """qcow2, vmdk, vhdx, vpc, vdi, qed or raw; HostError if it cannot be read."""
    try:
        with path.open("rb") as image:
            head = image.read(512)
    except OSError as error:
        raise explained(error, path) from error
    return next((name for offset, magic, name in _MAGIC if head[offset:].startswith(magic)), "raw")

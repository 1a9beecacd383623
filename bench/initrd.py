"""A program for the test guest, packed behind its initramfs: the kernel unpacks one archive after another."""

from __future__ import annotations

import io
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_SHELL = '#!/bin/sh\nLD_LIBRARY_PATH=/lib/{0} exec /lib/{0}/{1} /lib/{0}/{0} "$@"\n'


def with_program(initrd: Path, program: Path, environment: Mapping[str, str]) -> bytes:
    """The initramfs, and in it the program as /bin/NAME with the libraries that it has here."""
    libraries = _libraries(program, environment)
    loader = next(one.name for one in libraries if one.name.startswith("ld-"))
    name, folder = program.name, f"lib/{program.name}"
    entries: list[tuple[str, int, bytes]] = [(folder, stat.S_IFDIR | 0o755, b"")]
    entries += [(f"{folder}/{one.name}", stat.S_IFREG | 0o755, one.read_bytes()) for one in (program, *libraries)]
    entries.append((f"bin/{name}", stat.S_IFREG | 0o755, _SHELL.format(name, loader).encode()))
    first = initrd.read_bytes()
    return first + bytes(-len(first) % 4) + _packed(entries)


def _libraries(program: Path, environment: Mapping[str, str]) -> list[Path]:
    said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True, env=dict(environment))
    words = [line.partition("=>")[2] or line for line in said.stdout.splitlines() if "/" in line]
    return [Path(one.split()[0]) for one in words]


def _packed(entries: Sequence[tuple[str, int, bytes]]) -> bytes:
    """A "newc" archive (Documentation/driver-api/early-userspace/buffer-format.rst), not compressed: costs time."""
    archive = io.BytesIO()
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], start=1):
        words = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        archive.write(b"070701" + b"".join(b"%08X" % word for word in words) + name.encode() + b"\0")
        archive.write(bytes(-archive.tell() % 4) + content)
        archive.write(bytes(-archive.tell() % 4))
    return archive.getvalue()

"""Bytes that went through the links of a namespace: /proc/PID/net/dev, proc(5), read without any other program."""

from __future__ import annotations

from pathlib import Path

from qlan.values import Value

_RX_BYTES, _TX_BYTES = 0, 8  # columns behind the colon


class Bytes(Value):
    """Since the link was made.  Of a TAP, received is what its guest sent."""

    received: int
    sent: int


def read(pid: int | None) -> dict[str, Bytes]:
    """By interface name, in the network namespace of a process (None: our own); none if that is gone."""
    try:
        return parse(Path(f"/proc/{pid or 'self'}/net/dev").read_text(encoding="ascii", errors="replace"))
    except OSError:
        return {}


def parse(text: str) -> dict[str, Bytes]:
    """Two lines of heads, then `name: numbers`."""
    found = {}
    for line in text.splitlines()[2:]:
        name, _, numbers = line.rpartition(":")
        words = numbers.split()
        found[name.strip()] = Bytes(int(words[_RX_BYTES]), int(words[_TX_BYTES]))
    return found

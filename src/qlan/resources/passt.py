"""A process that is the network of one user-mode NIC, where QEMU's own is not used."""

from __future__ import annotations

from typing import ClassVar

from qlan.resources.machine import UserBackend
from qlan.resources.namespace import Alone


class Passt(Alone):
    """passt(1), to whose socket QEMU connects the NIC.  network: as the NIC has it; run_as: a uid, None: our own.

    It takes its settings and ports when it starts: whatever changes makes it anew, and the NIC with it.
    """

    guest: str
    nic: int
    network: UserBackend
    hostname: bool = False  # whether it can tell one
    run_as: int | None = None
    FIXED: ClassVar[frozenset[str]] = frozenset({"guest", "nic", "network", "hostname", "run_as"})

    @property
    def key(self) -> str:
        return f"passt/{self.guest}/{self.nic}"

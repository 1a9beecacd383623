"""Where a lab's files are.  Everything in `run` dies with the lab; `state` remembers what was picked.

run/<lab>/lock lab.json journal namespace/<name> dnsmasq/<network>/... guest/<guest>/...
state/<lab>/picks.json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SOCKET_PATH_MAX = 107  # sockaddr_un.sun_path, unix(7), less the NUL


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one user's labs, for one lab."""

    run_root: Path
    state_root: Path
    lab: str

    @property
    def run(self) -> Path:
        return self.run_root / self.lab

    @property
    def lock(self) -> Path:
        """Outside `run`, so that removing the lab does not remove the lock under somebody who waits for it."""
        return self.run_root / f".{self.lab}.lock"

    @property
    def record(self) -> Path:
        return self.run / "lab.json"

    @property
    def journal(self) -> Path:
        return self.run / "journal"

    @property
    def picks(self) -> Path:
        return self.state_root / self.lab / "picks.json"

    def namespace(self, name: str) -> Path:
        """The record (/proc/PID/stat at its start) of the process that holds a namespace."""
        return self.run / "namespace" / name

    def dnsmasq(self, network: str) -> Path:
        return self.run / "dnsmasq" / network

    def leases(self, network: str) -> Path:
        return self.dnsmasq(network) / "leases"

    def guest(self, guest: str) -> Path:
        return self.run / "guest" / guest

    def qmp(self, guest: str) -> Path:
        return self.guest(guest) / "qmp"

    def serial(self, guest: str) -> Path:
        return self.guest(guest) / "serial"

    def machine_mark(self, guest: str) -> str:
        """What a guest's QEMU, and nothing else, has on its command line."""
        return f"-pidfile\0{self.qemu_own(guest) / 'pid'}\0"

    def server_mark(self, network: str) -> str:
        """What a network's dnsmasq has on its command line."""
        return f"--conf-file={self.dnsmasq(network) / 'conf'}\0"

    def holder_mark(self, name: str) -> str:
        """What has started the holder of a namespace, and waits for it, has on its command line."""
        return f"\0{self.namespace(name)}\0"

    def qemu_own(self, guest: str) -> Path:
        """The folder in which QEMU itself writes; it belongs to the user that QEMU runs as, the others are ours."""
        return self.guest(guest) / "qemu"

    def serial_log(self, guest: str) -> Path:
        return self.qemu_own(guest) / "serial.log"

    def qemu_log(self, guest: str) -> Path:
        return self.guest(guest) / "qemu.log"

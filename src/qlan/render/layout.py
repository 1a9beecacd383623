"""Where a lab's files are.  Everything in `run` dies with the lab; `state` remembers what was picked.

run/<lab>/lock lab.json journal namespace/<name> dnsmasq/<network>/... guest/<guest>/...
state/<lab>/picks.json
"""

from __future__ import annotations

from pathlib import Path

from qlan.resources.model import Forwarding
from qlan.values import Value

SOCKET_PATH_MAX = 107  # sockaddr_un.sun_path, unix(7), less the NUL


class Layout(Value):
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

    @property
    def relay(self) -> Path:
        """The folder of the relay: its record `process`, its socket `control`, its log."""
        return self.run / "relay"

    @property
    def relay_mark(self) -> str:
        """What the relay has on its command line."""
        return f"\0qlan.relay\0{self.relay / 'process'}\0"

    @property
    def outlet(self) -> Path:
        """The folder of the outlet: as the relay's."""
        return self.run / "outlet"

    @property
    def outlet_mark(self) -> str:
        """What the outlet has on its command line."""
        return f"\0qlan.relay\0{self.outlet / 'process'}\0"

    def uplink(self, network: str) -> Path:
        """What is needed to put a NIC back, and the watchdog that does it."""
        return self.run / "uplink" / network

    def guest(self, guest: str) -> Path:
        return self.run / "guest" / guest

    def qmp(self, guest: str) -> Path:
        return self.guest(guest) / "qmp"

    def events(self, guest: str) -> Path:
        """A monitor that only tells (`qlan watch`): who asks something is never kept waiting by who listens."""
        return self.guest(guest) / "events"

    def adopted(self, guest: str) -> Path:
        """The record of a QEMU that somebody else started: none that is ever ended by it."""
        return self.guest(guest) / "adopted"

    def serial(self, guest: str) -> Path:
        return self.guest(guest) / "serial"

    def filter(self, network: str) -> Path:
        return self.run / "filter" / network

    def partition(self, namespace: str) -> Path:
        """By the key of a namespace; "": this machine's."""
        return self.run / "partition" / (namespace.rpartition("/")[2] or ".host")

    def port_map(self, network: str) -> Path:
        return self.run / "portmap" / network

    @property
    def pasta(self) -> Path:
        return self.run / "pasta"

    @property
    def pasta_resolvers(self) -> Path:
        """This machine's resolv.conf as it was when pasta was started."""
        return self.pasta / "resolv.conf"

    @property
    def pasta_mark(self) -> str:
        """What the lab's pasta has on its command line."""
        return f"\0-P\0{self.pasta / 'pid'}\0"

    def passt(self, guest: str, nic: int) -> Path:
        """Of a NIC: `resource.json`, and `own` with its socket, pid and log, which belongs to who runs it."""
        return self.run / "passt" / f"{guest}.{nic}"

    def passt_mark(self, guest: str, nic: int) -> str:
        """What a NIC's passt has on its command line."""
        return f"\0-P\0{self.passt(guest, nic) / 'own' / 'pid'}\0"

    @property
    def all_borrowed(self) -> Path:
        """Beside the labs: what links that are nobody's had before a lab changed them."""
        return self.run_root / ".forwarding"

    def borrowed(self, one: Forwarding) -> Path:
        """No interface's name has a colon that is followed by a word of ours."""
        words = [] if one.family == "ipv4" else [one.family]
        words += [one.setting] if words or one.setting != "forwarding" else []
        return self.all_borrowed / ":".join([one.link, *words])

    def machine_mark(self, guest: str) -> str:
        """What a guest's QEMU, and nothing else, has on its command line."""
        return f"-pidfile\0{self.qemu_own(guest) / 'pid'}\0"

    def server_mark(self, network: str) -> str:
        """What a network's dnsmasq has on its command line."""
        return f"--conf-file={self.dnsmasq(network) / 'conf'}\0"

    def guard_mark(self, network: str) -> str:
        """What the watchdog of an uplink has on its command line."""
        return f"\0watch\0{self.uplink(network)}\0"

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

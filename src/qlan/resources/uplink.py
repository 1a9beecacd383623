"""A NIC of this machine that is a port of one of our bridges, and what it carried when it was not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from qlan.facts.carried import Carried


@dataclass(frozen=True, slots=True)
class Uplink:
    """The NIC as a port of the network's bridge, which carries what the NIC did.

    carried: when wanted, what the NIC carries now; when present, what goes back to it.  It changes by itself (leases
    are renewed), so it is not compared.  confirm_within_s: after so long without `qlan confirm` a watchdog puts
    everything back (0: there is none); keep_if_answered: unless the gateway answered all the time.  enslaved: False is
    what is left of one (its watchdog, its files).
    """

    network: str
    nic: str
    bridge: str
    enslaved: bool = True
    carried: Carried = field(default=Carried(), compare=False)
    confirm_within_s: int = field(default=60, compare=False)
    keep_if_answered: bool = field(default=False, compare=False)
    FIXED: ClassVar[frozenset[str]] = frozenset({"network", "nic", "bridge", "enslaved"})

    @property
    def key(self) -> str:
        return f"uplink/{self.network}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (f"bridge/{self.network}",)

    @property
    def within(self) -> tuple[str, ...]:
        return ()  # a bridge that goes must give back first: nothing of it is done by the kernel

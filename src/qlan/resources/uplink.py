"""A NIC of this machine that is a port of one of our bridges, and what it carried when it was not."""

from __future__ import annotations

from typing import ClassVar

from qlan.facts.carried import Carried
from qlan.facts.manager import Manager
from qlan.values import Partly


class Uplink(Partly):
    """The NIC as a port of the network's bridge, which carries what the NIC did.

    carried: when wanted, what the NIC carries now; when present, what goes back to it.  It changes by itself (leases
    are renewed), so it is not compared.  confirm_within_s: after so long without `qlan confirm` a watchdog puts
    everything back (0: there is none); keep_if_answered: unless the gateway answered all the time.  manager: who
    configured the NIC, and is to configure the bridge; None: nobody.  enslaved: False is what is left of one (its
    watchdog, its files).
    """

    network: str
    nic: str
    bridge: str
    enslaved: bool = True
    carried: Carried = Carried()
    confirm_within_s: int = 60
    keep_if_answered: bool = False
    manager: Manager | None = None
    FIXED: ClassVar[frozenset[str]] = frozenset({"network", "nic", "bridge", "enslaved"})
    UNCOMPARED: ClassVar[frozenset[str]] = frozenset({"carried", "confirm_within_s", "keep_if_answered", "manager"})

    @property
    def key(self) -> str:
        return f"uplink/{self.network}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (f"bridge/{self.network}",)

    @property
    def within(self) -> tuple[str, ...]:
        return ()  # a bridge that goes must give back first: nothing of it is done by the kernel

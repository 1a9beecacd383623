"""A published port, as the relay knows it."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qlan.relay.callers import Kept

_NAME_BYTES = 16  # IFNAMSIZ, net/if.h


@dataclass(slots=True)
class Port:
    """key: its name.  note: what is to be told again to who asks.  target: the address and port that it leads to.

    kept: who calls the guest by his own address, None: nobody.  A guest that has no way to its callers (it was told no
    gateway) never answers such a call, and gets another by ours: answers: one such call was answered, by a refusal or
    not.  plain_until: by the loop's clock, none is tried till then.
    """

    key: str
    note: object
    target: tuple[str, int]
    only: str = ""  # the one address that is served; "": all
    connections: int = 0  # that are open now; for UDP: callers that were heard of lately
    kept: Kept | None = None
    answers: bool = False
    plain_until: float = 0.0

    @property
    def family(self) -> socket.AddressFamily:
        """Of its target."""
        return socket.AF_INET6 if ":" in self.target[0] else socket.AF_INET

    def call_by(self, kept: Kept | None) -> None:
        """Whose addresses callers have from now on; what was learnt of the guest is forgotten."""
        self.kept, self.answers, self.plain_until = kept, False, 0.0

    def keeps(self, caller: tuple[str, int], now: float) -> bool:
        """Whether this caller is to be seen by his own address."""
        return self.kept is not None and now >= self.plain_until and caller[0] in self.kept


def link_of(bound: socket.socket) -> str | None:
    """The present name of the link to which it was bound, "": of none.

    None: that link is gone, and it hears nothing any more, even if one of the same name is made.
    """
    try:
        name = bound.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _NAME_BYTES)
    except OSError as error:
        return None if error.errno == errno.ENODEV else ""
    return name.rstrip(b"\0").decode()

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

    kept: who calls the guest by his own address, None: nobody.
    """

    key: str
    note: object
    target: tuple[str, int]
    only: str = ""  # the one address that is served; "": all
    connections: int = 0  # that are open now; for UDP: callers that were heard of lately
    kept: Kept | None = None

    @property
    def family(self) -> socket.AddressFamily:
        """Of its target."""
        return socket.AF_INET6 if ":" in self.target[0] else socket.AF_INET


def link_of(bound: socket.socket) -> str | None:
    """The present name of the link to which it was bound, "": of none.

    None: that link is gone, and it hears nothing any more, even if one of the same name is made.
    """
    try:
        name = bound.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _NAME_BYTES)
    except OSError as error:
        return None if error.errno == errno.ENODEV else ""
    return name.rstrip(b"\0").decode()

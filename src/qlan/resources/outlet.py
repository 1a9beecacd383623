"""Services of this machine that a guest on a bridged network may use: the other way round from a published port."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import ClassVar

from qlan.resources.namespace import HOST, Alone
from qlan.values import Value


class Outlet(Alone):
    """The process that connects guests to services of this machine; it runs in the machine's own network.

    run_as: a uid; None: whoever runs qlan.  answers: on its control socket, and its sockets are in the lab's network as
    that is now; one that does not is made anew.
    """

    lab: str
    run_as: int | None = None
    answers: bool = True
    FIXED: ClassVar[frozenset[str]] = frozenset({"lab", "run_as", "answers"})

    @property
    def key(self) -> str:
        return "outlet"


class ReversePort(Value):
    """A port on the host's address of a network, `address` on `link`, by which one guest gets to a service.

    caller: the guest's address; nobody else is let through.  address_key: of the Address.
    """

    guest: str
    nic: int
    network: str
    protocol: str
    address: IPv4Address
    port: int
    caller: IPv4Address
    host_address: IPv4Address
    host_port: int
    link: str
    address_key: str
    namespace: str = HOST
    FIXED: ClassVar[frozenset[str]] = frozenset(
        {
            "guest",
            "nic",
            "network",
            "protocol",
            "address",
            "port",
            "caller",
            "host_address",
            "host_port",
            "link",
            "address_key",
            "namespace",
        }
    )

    @property
    def key(self) -> str:
        return f"reverse/{self.guest}/{self.nic}/{self.protocol}:{self.address}:{self.port}"

    @property
    def needs(self) -> tuple[str, ...]:
        return ("outlet", self.address_key)

    @property
    def within(self) -> tuple[str, ...]:
        return ("outlet",)

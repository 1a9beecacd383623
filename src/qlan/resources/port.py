"""Ports of the host that lead to a guest on a bridged network."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import ClassVar

from qlan.resources.namespace import HOST, Inside
from qlan.values import Value


class Relay(Inside):
    """The process that passes published ports into the lab's network; one a lab.

    answers: on its control socket; one that does not is made anew.
    """

    lab: str
    namespace: str = HOST
    run_as: int | None = None  # a uid; None: whoever runs qlan
    answers: bool = True
    FIXED: ClassVar[frozenset[str]] = frozenset({"lab", "namespace", "run_as", "answers"})

    @property
    def key(self) -> str:
        return "relay"


class PortMap(Inside):
    """The nft table of one network that leads callers of published ports to its guests (DNAT), without the relay.

    subnets: the network's.  entrances: the links by which callers may come, entrances6: of IPv6; who comes by
    another is the relay's.
    keeps_callers: guests answer by the host whoever calls, and see his own address; else they see the host's.
    guards: nothing else may pass the network's bridge (`link`).  intact: the kernel has the rules as they were made,
    and no port that is nobody's.
    """

    network: str
    link: str
    link_key: str
    lab: str
    subnets: tuple[IPv4Network | IPv6Network, ...]
    entrances: tuple[str, ...]
    namespace: str = HOST
    keeps_callers: bool = True
    guards: bool = False
    intact: bool = True
    entrances6: tuple[str, ...] = ()
    FIXED: ClassVar[frozenset[str]] = frozenset({"network", "lab", "namespace"})

    @property
    def key(self) -> str:
        return f"portmap/{self.network}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.link_key, *(f"forwarding/{link}" for link in (self.link, *self.entrances)))


class PublishedPort(Value):
    """A host port on which the relay listens.  guest_address: where on the network it leads.

    portmap: the PortMap that leads most callers there by itself, "": none.  filter: the Filter of a rootless lab that
    leads what the guest answers to the relay, which calls it by its callers' own addresses; "": by the host's.
    """

    guest: str
    nic: int
    network: str
    protocol: str
    host_address: IPv4Address | IPv6Address
    host_port: int
    guest_address: IPv4Address | IPv6Address
    guest_port: int
    portmap: str = ""
    filter: str = ""
    FIXED: ClassVar[frozenset[str]] = frozenset(
        {"guest", "nic", "network", "protocol", "host_address", "host_port", "guest_address", "guest_port"}
    )

    @property
    def key(self) -> str:
        return f"port/{self.guest}/{self.nic}/{self.protocol}:{self.host_address}:{self.host_port}"

    @property
    def needs(self) -> tuple[str, ...]:
        return ("relay", f"bridge/{self.network}", *(key for key in (self.portmap, self.filter) if key))

    @property
    def within(self) -> tuple[str, ...]:
        return ("relay",)

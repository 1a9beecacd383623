"""What lets packets through a host: forwarding on links, the packet filter of a network, the way out of a realm."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import ClassVar

from qlan.names import MARK
from qlan.resources.namespace import HOST, Alone, Inside
from qlan.values import Partly


class Forwarding(Partly):
    """Packets that come in by a link may be forwarded (net.ipv4.conf.LINK.forwarding), or what else that takes.

    setting: `proxy_arp`: who asks on the link for an address that is routed elsewhere gets the host's MAC.  Of ipv6:
    `proxy_ndp` is that for the addresses of each ProxyNeighbor;
    `force_forwarding` is what `forwarding` is to IPv4; `forwarding` says that the host calls itself a router there (of
    link `all`, also that it forwards at all); `accept_ra` 2, that it keeps its own default route all the same.
    link_key: the resource that has the link, or "": it is somebody else's, and what was there before is remembered
    beside the labs and put back by the last of them.
    """

    link: str
    link_key: str = ""
    namespace: str = HOST
    on: bool = True
    setting: str = "forwarding"
    family: str = "ipv4"
    value: str = "1"
    ways: tuple[str, ...] = ()  # keys of what leads on from there
    FIXED: ClassVar[frozenset[str]] = frozenset({"link", "link_key", "namespace", "setting", "family", "value"})
    UNCOMPARED: ClassVar[frozenset[str]] = frozenset({"ways"})

    @property
    def key(self) -> str:
        """Of their order is made in which they are set: `accept_ra` before what would cost the host its route."""
        return f"{self.setting}/{self.link}" if self.family == "ipv4" else f"{self.family}/{self.setting}/{self.link}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (*self.within, *self.ways)

    @property
    def within(self) -> tuple[str, ...]:
        return (self.link_key,) if self.link_key else ()


class Filter(Inside):
    """The nft table of one network: who may pass its bridge (`link`), and whose source address is masqueraded.

    prefix: its IPv6, None: nothing of IPv6 passes.  masquerade6: of that the source address, too.  closed: nothing
    passes at all but what a forward leads in, and its answers.

    masquerade: guests go by the host's address, and nobody outside can open a connection to them; else they keep their
    own, and anybody can.  uplink: the only link that leads outside, "": any that is no lab's.  reach, reached_by:
    bridges to and from which connections may be opened.  intact: the kernel has the rules as they were made.
    """

    network: str
    link: str
    link_key: str
    lab: str
    subnet: IPv4Network
    namespace: str = HOST
    masquerade: bool = True
    uplink: str = ""
    reach: tuple[str, ...] = ()
    reached_by: tuple[str, ...] = ()
    prefix: IPv6Network | None = None
    masquerade6: bool = False
    closed: bool = False
    intact: bool = True
    FIXED: ClassVar[frozenset[str]] = frozenset({"network", "lab", "namespace"})

    @property
    def key(self) -> str:
        return f"filter/{self.network}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.link_key,)


class Partition(Inside):
    """The nft table of a namespace that keeps sides of a lab's guests from hearing each other.

    sides: the names of their TAPs; none: it is a wire's namespace, and nothing of what is in it gets through.
    intact: the kernel has the rules as they were made.
    """

    lab: str
    sides: tuple[tuple[str, ...], ...] = ()
    namespace: str = HOST
    intact: bool = True
    FIXED: ClassVar[frozenset[str]] = frozenset({"lab", "namespace"})

    @property
    def key(self) -> str:
        return f"partition/{self.namespace or 'host'}"


class Admission(Alone):
    """Two rules in a neighbour's chain, which accept what comes from and goes to a bridge (`link`).

    Who may pass it is for the network's own table to say.  intact: both are there.
    """

    network: str
    link: str
    link_key: str
    lab: str
    family: str
    table: str
    chain: str
    intact: bool = True
    FIXED: ClassVar[frozenset[str]] = frozenset({"network", "link", "link_key", "lab", "family", "table", "chain"})

    @property
    def key(self) -> str:
        return f"admission/{self.family}/{self.network}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.link_key, f"filter/{self.network}")

    @property
    def comment(self) -> str:
        """The mark of its rules."""
        return f"{MARK}:{self.lab}:{self.network}"


class ProxyNeighbor(Alone):
    """An address of a guest for which the host answers on another link (neighbor discovery, RFC 4861 7.2.8)."""

    network: str
    link: str
    address: IPv6Address
    FIXED: ClassVar[frozenset[str]] = frozenset({"network", "link", "address"})

    @property
    def key(self) -> str:
        return f"neighbor/{self.link}/{self.address}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (f"bridge/{self.network}", f"ipv6/proxy_ndp/{self.link}")


class Pasta(Alone):
    """pasta: the way from a rootless realm to what its user's own programs reach.

    address: the realm's own on the link; gateway and dns: addresses on its other side.  address6, gateway6: the same of
    IPv6, None: the machine has no way outside by that.
    attached: to a realm that is there; a pasta whose realm has ended runs on, so it is ended by itself.
    follows: it asks the name servers that this machine asks now; it reads which ones only when it starts.
    """

    lab: str
    namespace: str
    link: str
    address: IPv4Address
    prefix: int
    gateway: IPv4Address
    dns: IPv4Address
    address6: IPv6Address | None = None
    gateway6: IPv6Address | None = None
    attached: bool = True
    follows: bool = True
    FIXED: ClassVar[frozenset[str]] = frozenset(
        {
            "attached",
            "follows",
            "lab",
            "namespace",
            "link",
            "address",
            "prefix",
            "gateway",
            "dns",
            "address6",
            "gateway6",
        }
    )

    @property
    def key(self) -> str:
        return f"pasta/{self.link}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.namespace,)

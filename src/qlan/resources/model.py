"""The resources of a host.  Wanted and present are these same frozen types, so a difference is a comparison.

Every resource has a `key` (`kind/name`, unique in a lab), `needs` (keys that must be there before it) and `within`
(keys of what it dies with: a TAP goes with its machine and with its namespace).  FIXED names the fields that cannot be
changed in place: a change of one of them means delete and create.  What is BORN_WITHIN comes with its container when
that is made; otherwise it comes by itself.

Each sort has a file of its own beside this one.
"""

from __future__ import annotations

from qlan.facts.carried import Carried
from qlan.facts.found import FoundForward, FoundNic, FoundQemu
from qlan.facts.manager import Manager
from qlan.resources.link import Address, Bridge, Ifb, Macvlan, Macvtap, Shaping, Tap, Trunk
from qlan.resources.machine import (
    Adopted,
    Backend,
    Drive,
    ForeignBackend,
    HelperBackend,
    Machine,
    MacvtapBackend,
    Nic,
    PortForward,
    TapBackend,
    UserBackend,
    WireBackend,
)
from qlan.resources.namespace import HOST, Namespace
from qlan.resources.outlet import Outlet, ReversePort
from qlan.resources.packet import Admission, Filter, Forwarding, Partition, Pasta, ProxyNeighbor
from qlan.resources.passt import Passt
from qlan.resources.port import PortMap, PublishedPort, Relay
from qlan.resources.server import DhcpRelay, Dnsmasq, Ipv6Service, LinkDns, Reservation
from qlan.resources.uplink import Uplink
from qlan.values import Value

Resource = (
    Macvlan
    | Macvtap
    | Namespace
    | Bridge
    | Trunk
    | Address
    | Uplink
    | Tap
    | Ifb
    | Shaping
    | Dnsmasq
    | LinkDns
    | DhcpRelay
    | Machine
    | Adopted
    | Nic
    | PortForward
    | PortMap
    | Relay
    | Outlet
    | ReversePort
    | PublishedPort
    | Filter
    | Partition
    | Admission
    | Forwarding
    | ProxyNeighbor
    | Pasta
    | Passt
)

RESOURCE_TYPES: tuple[type[Resource], ...] = (
    Namespace,
    Pasta,
    Bridge,
    Trunk,
    Macvlan,
    Address,
    Uplink,
    Tap,
    Macvtap,
    Ifb,
    Shaping,
    Filter,
    Partition,
    Admission,
    Forwarding,
    ProxyNeighbor,
    Dnsmasq,
    LinkDns,
    Relay,
    DhcpRelay,
    Passt,
    Machine,
    Adopted,
    Nic,
    PortForward,
    PortMap,
    PublishedPort,
    Outlet,
    ReversePort,
)

# what only occurs inside another
PART_TYPES: tuple[type, ...] = (
    Reservation,
    Ipv6Service,
    Drive,
    UserBackend,
    TapBackend,
    WireBackend,
    HelperBackend,
    Carried,
    Manager,
    MacvtapBackend,
    ForeignBackend,
    FoundQemu,
    FoundNic,
    FoundForward,
)

Resources = dict[str, Resource]  # by key


def compared_names(kind: type[Value]) -> tuple[str, ...]:
    """Those in which two of them can differ: what changes by itself is carried along, not compared."""
    return tuple(name for name in kind.__struct_fields__ if name not in kind.UNCOMPARED)


__all__ = [
    "HOST",
    "PART_TYPES",
    "RESOURCE_TYPES",
    "Address",
    "Admission",
    "Adopted",
    "Backend",
    "Bridge",
    "Carried",
    "DhcpRelay",
    "Dnsmasq",
    "Drive",
    "Filter",
    "ForeignBackend",
    "Forwarding",
    "HelperBackend",
    "Ifb",
    "Ipv6Service",
    "LinkDns",
    "Machine",
    "Macvlan",
    "Macvtap",
    "MacvtapBackend",
    "Namespace",
    "Nic",
    "Outlet",
    "Partition",
    "Passt",
    "Pasta",
    "PortForward",
    "PortMap",
    "ProxyNeighbor",
    "PublishedPort",
    "Relay",
    "Reservation",
    "Resource",
    "Resources",
    "ReversePort",
    "Shaping",
    "Tap",
    "TapBackend",
    "Trunk",
    "Uplink",
    "UserBackend",
    "WireBackend",
    "compared_names",
]

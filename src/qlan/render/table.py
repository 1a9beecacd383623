"""Which function writes the commands of which resource."""

from __future__ import annotations

from collections.abc import Callable

from qlan.render import (
    adopted,
    dnsmasq,
    ip,
    live,
    namespace,
    outlet,
    packet,
    partition,
    passt,
    port_map,
    qemu,
    relay,
    resolved,
    shaping,
    uplink,
)
from qlan.render.command import Command
from qlan.render.scene import Scene
from qlan.resources.model import (
    Address,
    Admission,
    Adopted,
    Bridge,
    DhcpRelay,
    Dnsmasq,
    Filter,
    Forwarding,
    Ifb,
    LinkDns,
    Machine,
    Macvlan,
    Macvtap,
    Namespace,
    Nic,
    Outlet,
    Partition,
    Passt,
    Pasta,
    PortForward,
    PortMap,
    ProxyNeighbor,
    PublishedPort,
    Relay,
    Resource,
    ReversePort,
    Shaping,
    Tap,
    Trunk,
    Uplink,
)

Writer = Callable[..., list[Command]]


CREATE: dict[type[Resource], Writer] = {
    Namespace: namespace.create,
    Bridge: uplink.create_bridge,
    Trunk: ip.create_trunk,
    Macvlan: ip.create_macvlan,
    Macvtap: ip.create_macvtap,
    Address: ip.create_address,
    Uplink: uplink.create,
    Tap: ip.create_tap,
    Ifb: shaping.create_ifb,
    Shaping: shaping.create,
    Pasta: packet.create_pasta,
    Passt: passt.create,
    Filter: packet.create_filter,
    Partition: partition.create,
    Admission: packet.create_admission,
    Forwarding: packet.create_forwarding,
    LinkDns: resolved.create,
    ProxyNeighbor: packet.create_neighbor,
    Dnsmasq: dnsmasq.create,
    Machine: qemu.create,
    Adopted: adopted.create,
    Nic: live.create_nic,
    PortForward: live.create_forward,
    PortMap: port_map.create,
    Relay: relay.create,
    DhcpRelay: relay.create_dhcp,
    PublishedPort: port_map.create_port,
    Outlet: outlet.create,
    ReversePort: outlet.create_port,
}

CHANGE: dict[type[Resource], Writer] = {
    Namespace: namespace.change,
    Bridge: ip.change_bridge,
    Trunk: ip.change_trunk,
    Macvlan: ip.change_above,
    Macvtap: ip.change_above,
    Tap: live.change_tap,
    Ifb: shaping.change_ifb,
    Shaping: shaping.change,
    Filter: packet.change_filter,
    Partition: partition.change,
    Admission: packet.change_admission,
    Forwarding: packet.change_forwarding,
    LinkDns: resolved.change,
    Dnsmasq: dnsmasq.change,
    PortMap: port_map.change,
    PublishedPort: port_map.change_port,
    Machine: live.change_machine,
    Nic: live.change_nic,
}

DELETE: dict[type[Resource], Writer] = {
    Namespace: namespace.delete,
    Bridge: ip.delete_bridge,
    Trunk: ip.delete_trunk,
    Macvlan: ip.delete_above,
    Macvtap: ip.delete_above,
    Address: ip.delete_address,
    Uplink: uplink.delete,
    Tap: ip.delete_tap,
    Ifb: shaping.delete_ifb,
    Shaping: shaping.delete,
    Pasta: packet.delete_pasta,
    Passt: passt.delete,
    Filter: packet.delete_filter,
    Partition: partition.delete,
    Admission: packet.delete_admission,
    Forwarding: packet.delete_forwarding,
    LinkDns: resolved.delete,
    ProxyNeighbor: packet.delete_neighbor,
    Dnsmasq: dnsmasq.delete,
    Machine: qemu.delete,
    Adopted: adopted.delete,
    Nic: live.delete_nic,
    PortForward: live.delete_forward,
    PortMap: port_map.delete,
    Relay: relay.delete,
    DhcpRelay: relay.delete_dhcp,
    PublishedPort: port_map.delete_port,
    Outlet: outlet.delete,
    ReversePort: outlet.delete_port,
}


def create(resource: Resource, scene: Scene) -> list[Command]:
    """The commands that make it."""
    return CREATE[type(resource)](resource, scene)


def change(before: Resource, after: Resource, scene: Scene) -> list[Command]:
    """The commands that turn one into the other in place."""
    return CHANGE[type(after)](before, after, scene)


def delete(resource: Resource, scene: Scene) -> list[Command]:
    """The commands that remove it."""
    return DELETE[type(resource)](resource, scene)

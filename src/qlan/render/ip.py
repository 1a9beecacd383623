"""Links and addresses as lines for `ip -batch` (ip-link(8), ip-address(8)).

A link's mark is its alias `qlan:<lab>:<key>`, set in the line after the one that makes it: `ip link add ... alias` is
taken and silently ignored.  Every link carries the lab's group, so that all can be removed by one `link del group`.
"""

from __future__ import annotations

from qlan import names
from qlan.render.command import Command, Ip, OpenTap, Sysctl
from qlan.render.scene import Scene
from qlan.resources.model import Address, Bridge, Tap

MARK = names.MARK


def alias(lab: str, key: str) -> str:
    """The owner's mark on a link."""
    return f"{MARK}:{lab}:{key}"


def create_bridge(bridge: Bridge, scene: Scene) -> list[Command]:
    """Made down, its own IPv6 off, set up and marked."""
    return [
        Ip(
            bridge.namespace,
            f"link add name {bridge.name} address {bridge.mac} mtu {bridge.mtu_bytes} "
            f"group {_group(scene)} type bridge {_bridge_options(bridge)}",
        ),
        _ipv6(bridge),
        Ip(bridge.namespace, f"link set dev {bridge.name} alias {alias(scene.lab, bridge.key)} up"),
    ]


def change_bridge(before: Bridge, after: Bridge, scene: Scene) -> list[Command]:
    """Whatever differs, in place."""
    return [
        _ipv6(after),
        Ip(
            after.namespace,
            f"link set dev {after.name} address {after.mac} mtu {after.mtu_bytes} {_marked(after, scene)}",
        ),
        Ip(after.namespace, f"link set dev {after.name} type bridge {_bridge_options(after)}"),
    ]


def delete_bridge(bridge: Bridge, scene: Scene) -> list[Command]:
    """The kernel frees its ports and its addresses."""
    return [_delete(bridge.namespace, bridge.name)]


def create_tap(tap: Tap, scene: Scene) -> list[Command]:
    """Opened by us, then into its bridge, marked and up in one netlink message."""
    return [
        OpenTap(tap.namespace, tap.name),
        Ip(
            tap.namespace,
            f"link set dev {tap.name} master {tap.bridge} mtu {tap.mtu_bytes} group {_group(scene)} "
            f"alias {alias(scene.lab, tap.key)} up",
        ),
    ]


def change_tap(before: Tap, after: Tap, scene: Scene) -> list[Command]:
    """Another bridge, or back into its own."""
    return [
        Ip(
            after.namespace,
            f"link set dev {after.name} {_master(after.bridge)} mtu {after.mtu_bytes} {_marked(after, scene)}",
        )
    ]


def delete_tap(tap: Tap, scene: Scene) -> list[Command]:
    """It may have gone with its QEMU already."""
    return [_delete(tap.namespace, tap.name)]


def create_address(address: Address, scene: Scene) -> list[Command]:
    """An address on one of our links."""
    return [Ip(address.namespace, f"addr add {address.interface} dev {address.link}")]


def delete_address(address: Address, scene: Scene) -> list[Command]:
    """And off again."""
    return [Ip(address.namespace, f"addr del {address.interface} dev {address.link}", gone_is_fine=True)]


def _ipv6(bridge: Bridge) -> Sysctl:
    """The host's own IPv6 on the bridge; the guests' passes through it either way."""
    return Sysctl(bridge.namespace, f"net/ipv6/conf/{bridge.name}/disable_ipv6", str(int(not bridge.ipv6)))


def _bridge_options(bridge: Bridge) -> str:
    return (
        f"stp_state {int(bridge.stp)} forward_delay {bridge.forward_delay_cs} "
        f"mcast_snooping {int(bridge.multicast_snooping)}"
    )


def _marked(link: Bridge | Tap, scene: Scene) -> str:
    """Mark and state: a link that was left half made is up only after this, and known as ours."""
    return f"alias {alias(scene.lab, link.key)} {'up' if link.up else 'down'}"


def _master(bridge: str) -> str:
    return f"master {bridge}" if bridge else "nomaster"


def _delete(namespace: str, name: str) -> Ip:
    return Ip(namespace, f"link del dev {name}", gone_is_fine=True)


def _group(scene: Scene) -> int:
    return names.link_group(scene.lab)

"""Which function writes the commands of which resource."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qlan.render import dnsmasq, ip, namespace, qemu
from qlan.render.command import Command
from qlan.render.scene import Scene
from qlan.resources.model import Address, Bridge, Dnsmasq, Machine, Namespace, Nic, PortForward, Resource, Tap

Writer = Callable[..., list[Command]]


def _with_machine(*_: Any) -> list[Command]:
    """NICs and forwards come and go on their machine's command line."""
    return []


CREATE: dict[type[Resource], Writer] = {
    Namespace: namespace.create,
    Bridge: ip.create_bridge,
    Address: ip.create_address,
    Tap: ip.create_tap,
    Dnsmasq: dnsmasq.create,
    Machine: qemu.create,
    Nic: _with_machine,
    PortForward: _with_machine,
}

CHANGE: dict[type[Resource], Writer] = {
    Namespace: namespace.change,
    Bridge: ip.change_bridge,
    Tap: ip.change_tap,
    Dnsmasq: dnsmasq.change,
}

DELETE: dict[type[Resource], Writer] = {
    Namespace: namespace.delete,
    Bridge: ip.delete_bridge,
    Address: ip.delete_address,
    Tap: ip.delete_tap,
    Dnsmasq: dnsmasq.delete,
    Machine: qemu.delete,
    Nic: _with_machine,
    PortForward: _with_machine,
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

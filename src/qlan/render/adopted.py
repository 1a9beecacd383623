"""A QEMU that somebody else started: noted beside the lab's own guests, and forgotten again, unheard by it."""

from __future__ import annotations

from qlan.render.command import Adopt, Command, Remove, Write
from qlan.render.scene import Scene
from qlan.resources import codec
from qlan.resources.model import Adopted

MORE_PORTS = "-device pcie-root-port,id=port1,chassis=1"
MONITOR = "-qmp unix:{path},server=on,wait=off"


def create(one: Adopted, scene: Scene) -> list[Command]:
    """Its record, with the NICs and forwards that it has; what the lab lends it follows by QMP."""
    layout, found = scene.layout, one.found
    data = codec.encode((one, *one.own))
    adopt = Adopt(
        one.guest,
        found.pid,
        found.start,
        found.uid,
        found.socket,
        record=layout.adopted(one.guest),
        monitor=layout.qmp(one.guest),
        own=layout.qemu_own(one.guest),
    )
    return [Write(layout.guest(one.guest) / "guest.json", data), adopt]


def delete(one: Adopted, scene: Scene) -> list[Command]:
    """Forgotten."""
    return [Remove(scene.layout.guest(one.guest))]

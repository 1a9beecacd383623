"""The outlet and the ports by which guests use services of this machine, as commands."""

from __future__ import annotations

from qlan.render.command import Command, Publish, Remove, Serve, Stop, Withdraw
from qlan.render.scene import Scene
from qlan.resources import codec
from qlan.resources.model import Outlet, ReversePort


def create(outlet: Outlet, scene: Scene) -> list[Command]:
    """The process, in this machine's own network."""
    return [Serve(outlet.key, scene.layout.outlet, (), outlet.run_as)]


def delete(outlet: Outlet, scene: Scene) -> list[Command]:
    """The process, then its folder."""
    stop = Stop(scene.layout.outlet / "process", outlet.key, mark=scene.layout.outlet_mark)
    return [stop, Remove(scene.layout.outlet)]


def create_port(port: ReversePort, scene: Scene) -> list[Command]:
    """A socket in the lab's network, which hears its bridge alone, handed to the outlet."""
    note = codec.encode(port)
    return [
        Publish(
            scene.layout.outlet,
            port.key,
            port.protocol,
            (str(port.address), port.port),
            (str(port.host_address), port.host_port),
            note,
            inside=port.namespace,
            link=port.link,
            only=str(port.caller),
        )
    ]


def delete_port(port: ReversePort, scene: Scene) -> list[Command]:
    """It listens no more; connections that are open go on."""
    return [Withdraw(scene.layout.outlet, port.key)]

"""The relay and the ports it listens on, as commands."""

from __future__ import annotations

from qlan.render.command import AsCaller, Command, Publish, Remove, Serve, Stop, Withdraw
from qlan.render.enter import enter
from qlan.render.scene import Scene
from qlan.resources import codec
from qlan.resources.model import HOST, DhcpRelay, Filter, PublishedPort, Relay
from qlan.values import replace

_DHCP_PORT = 67  # of servers and relays
_NOBODYS = {4: ("127.0.0.0/8", "169.254.0.0/16"), 6: ("::1/128", "fe80::/10")}  # no guest could answer there


def create(relay: Relay, scene: Scene) -> list[Command]:
    """The process, in the lab's network."""
    where = enter(relay.namespace, rootless=scene.rootless)
    return [Serve(relay.key, scene.layout.relay, where, relay.run_as)]


def delete(relay: Relay, scene: Scene) -> list[Command]:
    """The process, then its folder."""
    stop = Stop(scene.layout.relay / "process", relay.key, mark=scene.layout.relay_mark)
    return [stop, Remove(scene.layout.relay)]


def create_port(port: PublishedPort, scene: Scene) -> list[Command]:
    """A socket outside, handed to the relay."""
    return [_publish(port, scene)]


def change_port(port: PublishedPort, scene: Scene) -> list[Command]:
    """By whose addresses it calls the guest."""
    return [replace(_publish(port, scene), is_open=True)]


def _publish(port: PublishedPort, scene: Scene) -> Publish:
    ends = (str(port.host_address), port.host_port), (str(port.guest_address), port.guest_port)
    called = _as_caller(port, scene)
    return Publish(scene.layout.relay, port.key, port.protocol, *ends, codec.encode(port), as_caller=called)


def _as_caller(port: PublishedPort, scene: Scene) -> AsCaller | None:
    """By its callers' own addresses, but its neighbours': the guest answers them itself."""
    rules = scene.resources.get(port.filter)
    if not isinstance(rules, Filter):
        return None
    version = port.guest_address.version
    own = rules.subnet if version == 4 else rules.prefix
    return AsCaller(rules.link, (str(own), *_NOBODYS[version]))


def delete_port(port: PublishedPort, scene: Scene) -> list[Command]:
    """It listens no more; connections that are open go on."""
    return [Withdraw(scene.layout.relay, port.key)]


def create_dhcp(one: DhcpRelay, scene: Scene) -> list[Command]:
    """Two sockets in the lab's network, handed to the relay: for the guests, and for the server's answers."""
    ends = (str(one.address), _DHCP_PORT), (str(one.server), _DHCP_PORT)
    note = codec.encode(one)
    inside = "" if one.namespace == HOST else one.namespace
    return [Publish(scene.layout.relay, one.key, "dhcp", *ends, note, inside=inside, link=one.link)]


def delete_dhcp(one: DhcpRelay, scene: Scene) -> list[Command]:
    """Nobody is asked any more."""
    return [Withdraw(scene.layout.relay, one.key)]

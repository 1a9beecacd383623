"""What systemd-resolved is told of a network's link, as commands of resolvectl(1); it forgets that with the link.

Where it has ended meanwhile and nobody answers there is nobody to be told anything, and that is no error.
"""

from __future__ import annotations

from qlan.render.command import Command, InTurn
from qlan.render.scene import Scene
from qlan.resources.model import LinkDns

_IF_ANYBODY = "|| ! resolvectl status >/dev/null 2>&1"
_TELL = f'resolvectl dns "$0" "$1" && resolvectl default-route "$0" false && resolvectl domain "$0" "~$2" {_IF_ANYBODY}'
_TAKE_BACK = f'resolvectl revert "$0" {_IF_ANYBODY}'


def create(one: LinkDns, scene: Scene) -> list[Command]:
    """`~`: names of that domain are asked there, and no others; it is not added to names without a dot."""
    return [InTurn(("sh", "-c", _TELL, one.link, str(one.server), one.domain))]


def change(before: LinkDns, after: LinkDns, scene: Scene) -> list[Command]:
    """Each word replaces what was there."""
    return create(after, scene)


def delete(one: LinkDns, scene: Scene) -> list[Command]:
    """While the link stays."""
    return [InTurn(("sh", "-c", _TAKE_BACK, one.link))]

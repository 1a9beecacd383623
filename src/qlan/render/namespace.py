"""A network namespace and the process that keeps it: unshare(1), a shell that writes down who it is, and sleep.

The record is the holder's own /proc/self/stat: its process id (as seen from outside, where that /proc was mounted) and
its start time, which together name one process for ever.  The shell writes a line to descriptor 3 when the namespace
is ready.
The holder is process 1 of a process namespace of its own: with it the kernel ends all that runs there, before it is
gone itself.  It ignores SIGCHLD, so that the kernel reaps what is handed to it.
"""

from __future__ import annotations

from qlan.render.command import Command, Hold, Ip, Release, Remove
from qlan.render.enter import REALM, enter
from qlan.render.scene import Scene
from qlan.resources.model import Namespace

__all__ = ["REALM", "change", "create", "delete", "enter"]

_HOLD = (
    'read -r stat </proc/self/stat; echo "$stat" >"$0" && echo >&3 && exec 3>&- && '
    "exec env --ignore-signal=CHLD sleep infinity"
)
_UNSHARE = ("--net", "--pid", "--fork", "--kill-child")
# What enters a process namespace waits for what it runs there: this runs it in the background and ends.
_IN_BACKGROUND = ("sh", "-c", '"$@" &', "sh")


def create(namespace: Namespace, scene: Scene) -> list[Command]:
    """The holder, and its loopback up (a server in it talks to itself there)."""
    record = scene.layout.namespace(namespace.name)
    hold = (*_UNSHARE, "sh", "-c", _HOLD, str(record))
    argv: tuple[str, ...] = ("unshare", *hold)
    if namespace.user:
        argv = ("unshare", "--user", "--map-root-user", "--mount", *hold)
    elif scene.rootless:
        argv = (*enter(namespace.parent, rootless=True), *_IN_BACKGROUND, *argv)
    return [Hold(namespace.key, argv, record), _loopback(namespace)]


def change(before: Namespace, after: Namespace, scene: Scene) -> list[Command]:
    """Its loopback up again."""
    return [_loopback(after)]


def delete(namespace: Namespace, scene: Scene) -> list[Command]:
    """End the holder: the kernel removes what was in the namespace."""
    record = scene.layout.namespace(namespace.name)
    return [Release(namespace.key, record), Remove(record)]


def _loopback(namespace: Namespace) -> Ip:
    return Ip(namespace.key, f"link set dev lo {'up' if namespace.loopback_up else 'down'}")

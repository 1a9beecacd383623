"""A network namespace and the process that keeps it: unshare(1), a shell that writes down who it is, and sleep.

The record is the holder's own /proc/self/stat: its process id (as seen from outside, where that /proc was mounted) and
its start time, which together name one process for ever.  The shell writes a line to descriptor 3 when the namespace
is ready.
The holder is process 1 of a process namespace (a realm's namespaces share one): with it the kernel ends all that runs
there.  It ignores SIGCHLD, so that the kernel reaps what is handed to it.
"""

from __future__ import annotations

from qlan.render.command import Command, Hold, Ip, Remove, Stop
from qlan.render.enter import REALM, counted_in, enter
from qlan.render.scene import Scene
from qlan.resources.model import Namespace

__all__ = ["REALM", "change", "counted_in", "create", "delete", "enter"]

_HOLD = (
    'read -r stat </proc/self/stat; echo "$stat" >"$0" && echo >&3 && exec 3>&- && '
    "exec env --ignore-signal=CHLD sleep infinity"
)
# Inside a realm the holder must be left behind by the shell that starts it: what enters a process namespace waits.
_LEAVE_HOLDER = f"({_HOLD}) >/dev/null 2>&1 &"


def create(namespace: Namespace, scene: Scene) -> list[Command]:
    """The holder, and its loopback up (a server in it talks to itself there)."""
    record = scene.layout.namespace(namespace.name)
    argv: tuple[str, ...]
    if namespace.user:
        unshare = ("unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child")
        argv = (*unshare, "sh", "-c", _HOLD, str(record))
    elif scene.rootless:
        argv = (*enter(namespace.parent, rootless=True), "unshare", "--net", "sh", "-c", _LEAVE_HOLDER, str(record))
    else:
        argv = ("unshare", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", _HOLD, str(record))
    return [Hold(namespace.key, argv, record), _loopback(namespace)]


def change(before: Namespace, after: Namespace, scene: Scene) -> list[Command]:
    """Its loopback up again."""
    return [_loopback(after)]


def delete(namespace: Namespace, scene: Scene) -> list[Command]:
    """End the holder: the kernel removes what was in the namespace."""
    record = scene.layout.namespace(namespace.name)
    return [Stop(record, namespace.key, mark=scene.layout.holder_mark(namespace.name), at_once=True), Remove(record)]


def _loopback(namespace: Namespace) -> Ip:
    return Ip(namespace.key, f"link set dev lo {'up' if namespace.loopback_up else 'down'}")

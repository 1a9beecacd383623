"""In which order resources come (they go in the reverse): a bridge before its TAPs, a machine before its NICs."""

from __future__ import annotations

from qlan.resources.model import RESOURCE_TYPES, Adopted, Machine, Namespace, Nic, PortForward, Resource, Shaping, Tap

_RANK = {cls: rank for rank, cls in enumerate(RESOURCE_TYPES)}
_OF_A_GUEST = (Machine, Adopted, Nic, PortForward)


def order_of(resource: Resource, *, moves: bool = False) -> tuple[int, str, int, int, str]:
    """A sort key: by the type's place in RESOURCE_TYPES; a machine, its NICs and their forwards stay together.

    moves: it is there already.  A TAP moves when the server of its new network knows the guest, and is limited there.
    """
    rank = _RANK[type(resource)]
    if (moves and isinstance(resource, Tap)) or isinstance(resource, Shaping):
        return (_RANK[Machine], "", rank, resource.nic, resource.key)
    if isinstance(resource, _OF_A_GUEST):
        index = resource.index if isinstance(resource, Nic) else 0
        return (_RANK[Machine], resource.guest, rank, index, resource.key)
    depth = int(isinstance(resource, Namespace) and bool(resource.parent))
    return (rank, "", depth, 0, resource.key)

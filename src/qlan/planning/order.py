"""In which order resources come (they go in the reverse): a bridge before its TAPs, a machine before its NICs."""

from __future__ import annotations

from qlan.resources.model import RESOURCE_TYPES, Machine, Namespace, Nic, PortForward, Resource

_RANK = {cls: rank for rank, cls in enumerate(RESOURCE_TYPES)}
_OF_A_GUEST = (Machine, Nic, PortForward)


def order_of(resource: Resource) -> tuple[int, str, int, int, str]:
    """A sort key: by the type's place in RESOURCE_TYPES; a machine, its NICs and their forwards stay together."""
    rank = _RANK[type(resource)]
    if isinstance(resource, _OF_A_GUEST):
        index = resource.index if isinstance(resource, Nic) else 0
        return (_RANK[Machine], resource.guest, rank, index, resource.key)
    depth = int(isinstance(resource, Namespace) and bool(resource.parent))
    return (rank, "", depth, 0, resource.key)

"""A published port, as the relay knows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Port:
    """key: its name.  note: what is to be told again to who asks.  target: the address and port that it leads to."""

    key: str
    note: object
    target: tuple[str, int]
    only: str = ""  # the one address that is served; "": all
    connections: int = 0  # that are open now; for UDP: callers that were heard of lately

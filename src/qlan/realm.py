"""Where a lab's kernel objects live."""

from __future__ import annotations

from enum import StrEnum


class Realm(StrEnum):
    """In a namespace of the lab's own, or in this machine's."""

    ROOTLESS = "rootless"
    HOST = "host"

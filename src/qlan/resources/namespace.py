"""Where the rest lives: network namespaces."""

from __future__ import annotations

from typing import ClassVar, Protocol

from qlan.values import Value

HOST = ""  # the `namespace` of what lives in the machine's own network namespace


class _Placed(Protocol):
    @property
    def namespace(self) -> str: ...


class Alone(Value):
    """What nothing is made for beforehand, and what goes with nothing else."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The keys of what must be there first."""
        return ()

    @property
    def within(self) -> tuple[str, ...]:
        """The keys of what takes it along when it goes."""
        return ()


class Inside(Value):
    """What is made in a namespace (`namespace`: its key, or HOST), and goes with it."""

    @property
    def needs(self: _Placed) -> tuple[str, ...]:
        """The keys of what must be there first."""
        return (self.namespace,) if self.namespace else ()

    @property
    def within(self: _Placed) -> tuple[str, ...]:
        """The keys of what takes it along when it goes."""
        return (self.namespace,) if self.namespace else ()


class Namespace(Value):
    """A network namespace, held open by one sleeping process.

    parent HOST and user True: the realm of a rootless lab (user, network, mount and process namespace in one).
    Otherwise a plain network namespace beside the parent's, for a network that must share nothing with anyone.
    """

    name: str
    parent: str = HOST
    user: bool = False
    loopback_up: bool = True
    FIXED: ClassVar[frozenset[str]] = frozenset({"name", "parent", "user"})

    @property
    def key(self) -> str:
        return f"namespace/{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.parent,) if self.parent else ()

    @property
    def within(self) -> tuple[str, ...]:
        return (self.parent,) if self.parent else ()

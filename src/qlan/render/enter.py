"""The words that run something in a namespace of a lab: nsenter(1).

`@KEY@` stands for the process id of the namespace with that key.
"""

from __future__ import annotations

from qlan.resources.model import HOST

REALM = "namespace/realm"  # the key of a rootless lab's own namespace


def enter(key: str, *, rootless: bool) -> tuple[str, ...]:
    """The words that run what follows them in a namespace; none for the machine's own."""
    if key == HOST:
        return ()
    if rootless:
        return ("nsenter", f"--target=@{key}@", "--user", "--net", "--pid", "--preserve-credentials")
    return ("nsenter", f"--target=@{key}@", "--net", "--pid")

"""Into a rootless lab's namespaces by the shortest way: what a peer pays, not what `qlan exec` costs."""

from __future__ import annotations

from bench.place import Place


def of_lab(place: Place, lab: str) -> tuple[str, ...]:
    """Words that run a command in the lab's user and network namespace."""
    holder = (place.folder / "r" / lab / "namespace" / "realm").read_text().split()[0]
    return (*place.enter, "nsenter", f"--target={holder}", "--user", "--net", "--preserve-credentials", "--")

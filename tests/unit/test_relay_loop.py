"""The relay's loop: descriptors and who wants to know of them."""

from __future__ import annotations

import os

from qlan.relay.loop import READ, Loop


def test_what_was_ready_for_one_is_not_told_to_who_has_its_number_next() -> None:
    """Both are ready in one round; the first to be called closes the other, whose number a new one gets at once."""
    loop = Loop()
    pipes = [os.pipe() for _ in range(2)]
    silent = os.pipe()
    called: list[str] = []

    def first(here: int, other: int) -> None:
        called.append("first")
        loop.remove(here)
        if len(called) > 1:
            return
        loop.remove(other)
        os.dup2(silent[0], other)
        loop.add(other, READ, lambda _: called.append("stale"))
        loop.after(0.05, lambda: setattr(loop, "running", False))

    readers = [reader for reader, _ in pipes]
    for here, other in (readers, reversed(readers)):
        loop.add(here, READ, lambda _, here=here, other=other: first(here, other))  # type: ignore[misc]
    for _, writer in pipes:
        os.write(writer, b"x")
    loop.run()
    assert called == ["first"]
    for pipe in (*pipes, silent):
        for fd in pipe:
            os.close(fd)

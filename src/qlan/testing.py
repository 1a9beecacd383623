"""A pretended host, for programs that test what they do with labs: no root, no kernel, no QEMU.

host = FakeHost(fail_at=3)
with pytest.raises(ApplyError):
    apply(wanted, host)
assert host.read() == {}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qlan.errors import HostError
from qlan.planning.plan import Step
from qlan.resources.model import Resource, Resources


class FakeHost:
    """Holds resources in a dict; implements apply.Host.

    present: what is there at first.  fail_at: the number of the step (from 0, over all runs) that is refused once.
    torn: that step is half done when it is refused: its resource appears (or stays) all the same.
    done: the keys of the steps that were carried out, in order.
    """

    def __init__(
        self, present: Mapping[str, Resource] | None = None, *, fail_at: int | None = None, torn: bool = False
    ) -> None:
        self.present: Resources = dict(present or {})
        self.fail_at = fail_at
        self.torn = torn
        self.done: list[str] = []
        self._count = 0

    def read(self) -> Resources:
        """A copy of what is there."""
        return dict(self.present)

    def run(self, steps: Sequence[Step], resources: Mapping[str, Resource]) -> None:
        """Do the steps; containers take along what is within them, as the kernel does."""
        for step in steps:
            number, self._count = self._count, self._count + 1
            fails = number == self.fail_at
            if not fails or self.torn:
                self._do(step)
            if fails:
                raise HostError(f"refused, as asked, at step {number}", where=step.key)
            self.done.append(step.key)

    def finish(self) -> None:
        """Nothing was only begun here."""

    def hurry(self) -> None:
        """Nothing takes its time here."""

    def _do(self, step: Step) -> None:
        if step.after is not None:
            missing = [key for key in step.after.needs if key not in self.present]
            if missing:
                raise HostError(f"it needs {', '.join(missing)}", where=step.key)
            self.present[step.key] = step.after
            return
        self._drop(step.key)

    def _drop(self, key: str) -> None:
        self.present.pop(key, None)
        for inner in [one.key for one in self.present.values() if key in one.within]:
            self._drop(inner)

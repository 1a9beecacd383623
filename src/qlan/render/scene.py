"""What a renderer may look at beside the resource itself: the lab's files and the resource's neighbours."""

from __future__ import annotations

from collections.abc import Mapping

from qlan.render.layout import Layout
from qlan.resources.model import Nic, PortForward, Resource, Tap
from qlan.values import Value, field


class Scene(Value):
    """A lab while its commands are written.  resources: what will be there when the plan is done, by key.
    rootless: whether the lab lives in a user namespace of its own.  before: what is there now, as far as it was read.
    """

    layout: Layout
    resources: Mapping[str, Resource]
    rootless: bool = False
    before: Mapping[str, Resource] = field(default_factory=dict)
    _nics: dict[str, list[Nic]] = field(default_factory=dict)
    _forwards: dict[str, list[PortForward]] = field(default_factory=dict)
    _taps_before: dict[str, list[Tap]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for resource in self.resources.values():
            if isinstance(resource, Nic):
                self._nics.setdefault(resource.guest, []).append(resource)
            elif isinstance(resource, PortForward):
                self._forwards.setdefault(resource.guest, []).append(resource)

        for resource in self.before.values():
            if isinstance(resource, Tap):
                self._taps_before.setdefault(resource.guest, []).append(resource)

    @property
    def lab(self) -> str:
        return self.layout.lab

    def nics(self, guest: str) -> list[Nic]:
        """A guest's NICs in their order."""
        return sorted(self._nics.get(guest, []), key=lambda nic: nic.index)

    def taps_before(self, guest: str) -> list[Tap]:
        """The TAPs that a guest has now."""
        return self._taps_before.get(guest, [])

    def forwards(self, guest: str, nic: int) -> list[PortForward]:
        """The forwards of one NIC."""
        return [forward for forward in self._forwards.get(guest, []) if forward.nic == nic]

"""Networks that several guests of an import share: made when the first NIC asks for one, under a name of ours."""

from __future__ import annotations

from dataclasses import dataclass, field

from qlan.interop.imported import Notes, Place, our_name
from qlan.topology.model import Network


@dataclass(slots=True)
class Shared:
    """Networks by what they were called in the foreign file: `("bridge", "br0")`, `("multicast", "230.0.0.1:1234")`."""

    notes: Notes
    by_key: dict[tuple[str, str], Network] = field(default_factory=dict)

    def network(self, sort: str, text: str, stem: str = "") -> Network:
        """The network of that key; a new one is private and has no note yet.  stem: what its name is made of."""
        key = sort, text
        if key not in self.by_key:
            taken = {network.name for network in self.by_key.values()}
            self.by_key[key] = Network(our_name("network", stem or text, taken), "private")
        return self.by_key[key]

    def put(self, sort: str, text: str, network: Network) -> None:
        """A network that is known in full."""
        self.by_key[sort, text] = network

    def nearest(self, sort: str, text: str, why: str, stem: str = "") -> str:
        """The name of a private network that stands for something that qlan has no kind for."""
        network = self.network(sort, text, stem)
        self.notes.add(place_of(network), why)
        return network.name

    @property
    def all(self) -> tuple[Network, ...]:
        return tuple({network.name: network for network in self.by_key.values()}.values())


def place_of(network: Network) -> Place:
    """Where notes about a network belong."""
    return ("networks", network.name)

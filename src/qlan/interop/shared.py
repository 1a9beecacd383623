"""Networks that several guests of an import share: made when the first NIC asks for one, under a name of ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from qlan.interop.imported import Notes, Place, our_name
from qlan.topology.model import Guest, Network
from qlan.values import Struct, field, replace


class Shared(Struct):
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

    def change(self, network: Network) -> None:
        """Another one of the same name in its place, whatever it was called in the foreign file."""
        for key, one in self.by_key.items():
            if one.name == network.name:
                self.by_key[key] = network

    def nearest(self, sort: str, text: str, why: str, stem: str = "") -> str:
        """The name of a private network that stands for something that qlan has no kind for."""
        network = self.network(sort, text, stem)
        self.notes.add(place_of(network), why)
        return network.name

    def existing(self, bridge: str) -> str:
        """The name of the network that is this bridge of the machine, made by nobody of ours."""
        key = "bridge", bridge
        if key not in self.by_key:
            name = self.network(*key).name
            self.by_key[key] = Network(name, "bridge", bridge=bridge if bridge != name else None)
        return self.by_key[key].name

    def macvtap(self, link: str, mode: str) -> str:
        """The name of the network of guests that share a NIC of the machine in one of macvtap's modes."""
        key = "macvtap", f"{link}/{mode}"
        if key not in self.by_key:
            mode = {"passthrough": "passthru"}.get(mode, mode)
            name = self.network(*key, stem=link).name
            self.by_key[key] = Network(name, "macvtap", uplink=link, mode=mode if mode != "bridge" else None)
        return self.by_key[key].name

    def joined(self, guests: Sequence[Guest]) -> tuple[Network, ...]:
        """All networks; a socket with two NICs on it is a wire."""
        ends = Counter(nic.network for guest in guests for nic in guest.nics)
        for key, network in self.by_key.items():
            if key[0] == "socket" and ends[network.name] == 2:
                self.by_key[key] = replace(network, kind="wire")
        return self.all

    @property
    def all(self) -> tuple[Network, ...]:
        return tuple({network.name: network for network in self.by_key.values()}.values())


def place_of(network: Network) -> Place:
    """Where notes about a network belong."""
    return ("networks", network.name)

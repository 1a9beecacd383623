"""What an <interface>, a <portgroup> or a <network> asks of a guest's port: <bandwidth>, <vlan>.

An interface's own word comes first, then its group's, then its network's (formatnetwork.html, virDomainNetResolve...).
"""

from __future__ import annotations

from qlan.interop.imported import Notes, Place
from qlan.interop.markup import Tag
from qlan.topology.model import Rate, trunk_words
from qlan.topology.scalars import parse_rate, parse_vlan
from qlan.values import Struct, Value, field


class Port(Value):
    """rate: None, nothing is said.  vlan: that of its untagged frames; trunk: those that pass with their tags."""

    rate: Rate | None = None
    vlan: int | None = None
    trunk: tuple[tuple[int, int], ...] = ()

    @property
    def words(self) -> str:
        """What is asked, for people."""
        said = [f"rate {self.rate.in_bps or '-'}/{self.rate.out_bps or '-'} bit/s in/out"] if self.rate else []
        said += [f"VLAN {self.vlan}"] if self.vlan else []
        said += [f"VLANs {', '.join(trunk_words(self.trunk))} tagged"] if self.trunk else []
        return ", ".join(said)

    def or_else(self, other: Port) -> Port:
        """The other's words where this one has none."""
        vlans = self if self.vlan or self.trunk else other
        return Port(self.rate or other.rate, vlans.vlan, vlans.trunk)


NOTHING = Port()


class Groups(Struct):
    """The port groups of the networks: by (network, group); `""` is the group of who names none.

    unused: of a network's name, those that no interface has had yet, with what they are called.
    """

    by_name: dict[tuple[str, str], Port] = field(default_factory=dict)
    unused: dict[str, dict[Port, str]] = field(default_factory=dict)

    def read(self, network: str, tag: Tag, place: Place, notes: Notes) -> None:
        """All of a <network>.  Its own <bandwidth> is of all its ports together, and is left over."""
        own = Port(None, *_vlans(tag, place, notes))
        self.by_name[network, ""] = own
        has_groups = tag.has("portgroup")  # they have its words, too
        self.unused[network] = {own: "its ports"} if own.words and not has_groups else {}
        for group in tag.children("portgroup"):
            port, name = read_port(group, place, notes).or_else(own), group.attribute("name") or ""
            self.by_name[network, name] = port
            if port.words:
                self.unused[network][port] = f"portgroup {name}"
            if group.attribute("default") == "yes":
                self.by_name[network, ""] = port

    def port(self, network: str, group: str) -> Port:
        """What holds for an interface that says nothing itself."""
        found = self.by_name.get((network, group)) or self.by_name.get((network, ""), NOTHING)
        self.unused.get(network, {}).pop(found, None)
        return found


def read_port(tag: Tag, place: Place, notes: Notes) -> Port:
    """Its own words alone."""
    return Port(_rate(tag, place, notes), *_vlans(tag, place, notes))


def _rate(tag: Tag, place: Place, notes: Notes) -> Rate | None:
    """<bandwidth>: kilobytes a second; what may be more for a while (peak, burst) is left over."""
    bandwidth = tag.find("bandwidth")
    if bandwidth is None:
        return None

    def said(name: str) -> int | None:
        average = bandwidth.value(name, "average")
        return notes.value(place, name, f"{average}kbps", parse_rate) if average is not None else None

    rate = Rate(said("inbound"), said("outbound"))
    return rate if rate.in_bps or rate.out_bps else None


def _vlans(tag: Tag, place: Place, notes: Notes) -> tuple[int | None, tuple[tuple[int, int], ...]]:
    """One tag alone is an access port; several, or trunk="yes", are a trunk, of which one may be the native VLAN."""
    vlan = tag.find("vlan")
    if vlan is None:
        return None, ()
    tags = list(vlan.children("tag"))
    is_trunk = vlan.attribute("trunk") == "yes" or len(tags) > 1
    native: int | None = None
    tagged: list[int] = []
    for one in tags:
        number = notes.value(place, "vlan", one.attribute("id"), parse_vlan)
        if number and (not is_trunk or one.peek("nativeMode") == "untagged"):
            one.attribute("nativeMode")
            native = number
        elif number:
            tagged.append(number)
    return native, _ranges(sorted(set(tagged)))


def _ranges(numbers: list[int]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return tuple(found)

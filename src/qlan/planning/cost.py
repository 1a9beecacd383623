"""What a change costs a guest that runs: a table, field by field (docs/changes.md is made from it)."""

from __future__ import annotations

from collections.abc import Container, Mapping
from enum import StrEnum

from qlan.resources.model import (
    Adopted,
    ForeignBackend,
    Machine,
    Nic,
    Passt,
    PortForward,
    Resource,
    Tap,
)


class Cost(StrEnum):
    """From nothing to the most."""

    LIVE = "live"
    LATER = "next start"
    RELINK = "relink"
    REPLUG = "replug"
    RESTART = "restart"


MEANING: dict[Cost, str] = {
    Cost.LIVE: "nobody notices, no packet is lost",
    Cost.LATER: "nothing now: it is noted, and holds from the guest's next start",
    Cost.RELINK: "the guest sees its cable pulled and put back a second later, and asks for its address again",
    Cost.REPLUG: "the card is pulled out of the running guest and another put in",
    Cost.RESTART: "the guest has to be restarted: `qlan up --restart`; without it the guest stays as it is",
}

# For every other resource a field costs nobody anything: it is changed in place, or the thing is made anew beside the
# guests (a DHCP server).
OF_FIELD: dict[type[Resource], dict[str, Cost]] = {
    Machine: {
        "binary": Cost.RESTART,
        "machine": Cost.RESTART,
        "accel": Cost.RESTART,
        "cpus": Cost.RESTART,
        "memory_bytes": Cost.RESTART,
        "drives": Cost.RESTART,
        "kernel": Cost.RESTART,
        "initrd": Cost.RESTART,
        "append": Cost.RESTART,
        "display": Cost.RESTART,
        "qemu_args": Cost.RESTART,
        "run_as": Cost.RESTART,
        "seed": Cost.LATER,
        "addresses": Cost.LATER,
        "ports": Cost.RESTART,
        "usb": Cost.RESTART,
    },
    Nic: {
        "model": Cost.REPLUG,
        "mac": Cost.REPLUG,
        "backend": Cost.REPLUG,
        "bus": Cost.REPLUG,
        "whole": Cost.REPLUG,
        "device": Cost.REPLUG,
        "netdev": Cost.REPLUG,
        "vhost": Cost.REPLUG,
        "link_up": Cost.RELINK,
        "mtu_bytes": Cost.RELINK,
        "leased": Cost.RELINK,
        "boot": Cost.LATER,
        "address": Cost.LATER,
        "address6": Cost.LATER,
    },
    Passt: {"network": Cost.REPLUG, "hostname": Cost.REPLUG, "run_as": Cost.RESTART},
    Tap: {
        "network": Cost.RELINK,
        "bridge": Cost.RELINK,
        "branch": Cost.RELINK,
        "namespace": Cost.RELINK,
        "name": Cost.RESTART,
        "held": Cost.RESTART,
        "mtu_bytes": Cost.LIVE,
        "up": Cost.LIVE,
        "isolated": Cost.LIVE,
        "foreign": Cost.RELINK,
        "vlan": Cost.LIVE,
        "trunk": Cost.LIVE,
    },
}
NAMES = frozenset({"guest", "nic", "index", "lab"})  # of which guest and NIC it is: another name is another thing
FEWER_IS_LATER = frozenset({"ports", "usb"})  # what a machine has too much of does no harm until it starts again

_ORDER = list(Cost)
_NO_PORTS_NEEDED = ("pc", "pseries")  # machines whose first PCI bus takes cards at any time


def most(costs: list[Cost]) -> Cost:
    """The dearest of them."""
    return max(costs, key=_ORDER.index, default=Cost.LIVE)


def of_field(kind: type[Resource], name: str, before: object, after: object) -> Cost:
    """What the change of one field costs."""
    if name in FEWER_IS_LATER and (after or 0) <= (before or 0):  # type: ignore[operator]
        return Cost.LATER
    if kind is Tap and name in ("network", "bridge") and not before:
        return Cost.LIVE  # back into its bridge: somebody had pulled it
    return OF_FIELD.get(kind, {}).get(name, Cost.LIVE)


def of_change(before: Resource, after: Resource) -> Cost:
    """What it costs to make one into the other."""
    kind = type(before)
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in kind.__struct_fields__}
    return most([of_field(kind, name, old, new) for name, (old, new) in pairs.items() if old != new])


def of_coming_or_going(
    one: Resource, wanted: Mapping[str, Resource], present: Mapping[str, Resource], moving: Container[str]
) -> Cost:
    """What it costs that something is made or removed.  moving: the keys of all that this plan makes or removes."""
    machine = present.get(f"machine/{one.guest}") if isinstance(one, Machine | Nic | Tap | PortForward) else None
    if not isinstance(machine, Machine | Adopted) or machine.key not in wanted:
        return Cost.LIVE
    if machine.key in moving:
        return Cost.RESTART
    if isinstance(one, PortForward):
        return Cost.LIVE
    nic = wanted.get(f"nic/{one.guest}/{one.nic}", one) if isinstance(one, Tap) else one
    if isinstance(one, Tap) and f"nic/{one.guest}/{one.nic}" not in moving:
        return Cost.RESTART  # what QEMU holds leads nowhere any more
    if isinstance(nic, Nic) and why_not_plugged(nic, machine):
        return Cost.RESTART
    return Cost.REPLUG if one.key in wanted and one.key in present else Cost.LIVE


def why_not_plugged(nic: Nic, machine: Machine | Adopted) -> str:
    """ "" if the running machine takes such a card, and gives it back; else why not."""
    if isinstance(nic.backend, ForeignBackend):
        return f"NIC {nic.index} was plugged in by somebody else"
    if nic.bus == "usb-bus":
        return "" if machine.usb else "it was started without a USB controller"
    if nic.bus != "PCI":
        return f"{nic.model} is a card of the bus {nic.bus}, whose cards stay as long as the guest runs"
    if has_own_slots(machine.machine) or machine.ports:
        return ""
    return f"its machine, {machine.machine}, was started without a PCIe port for one more card"


def has_own_slots(machine: str) -> bool:
    """Whether a machine type's own PCI bus takes cards while it runs (q35's pcie.0 does not)."""
    return machine.partition("-")[0] in _NO_PORTS_NEEDED and "q35" not in machine

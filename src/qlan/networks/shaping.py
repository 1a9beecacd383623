"""`rate:` of a NIC, and impairments made by hand: a queue on its TAP for what comes in, and one on an ifb for what the
guest sends.

A rate is shaped, not policed: what is too much waits in a queue, where a policer drops it at once.  Within one machine
a round trip is so short that TCP would meet a full bucket with every window it sends.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qlan import names
from qlan.networks.lan import Site
from qlan.resources.link import burst_bytes
from qlan.resources.model import HOST, Ifb, Resource, Resources, Shaping, Tap
from qlan.topology.bends import WAYS, Impairment
from qlan.topology.model import Nic
from qlan.values import replace


def expand(nic: Nic, tap: Tap, site: Site) -> list[Resource]:
    """What limits the NIC on this TAP, by the file."""
    limits = {"in": nic.rate.in_bps, "out": nic.rate.out_bps} if nic.rate else {}
    said = [Impairment(tap.guest, tap.nic, way, rate_bps=bps) for way, bps in limits.items() if bps]
    return [one for each in said for one in _resources(each, each.rate_bps, tap, site.topology.lab)]


def impaired(wanted: Resources, impairments: Iterable[Impairment], lab: str) -> Resources:
    """Wanted with these impairments and no others; what the file asks for comes back where there is none.

    One of a NIC without a TAP waits until it has one.
    """
    found: Resources = {key: one for key, one in wanted.items() if not isinstance(one, Shaping | Ifb)}
    said = {(one.guest, one.nic, one.direction): one for one in impairments}
    limits = {(one.guest, one.nic, one.direction): one.file_bps for one in wanted.values() if isinstance(one, Shaping)}
    for tap in [one for one in wanted.values() if isinstance(one, Tap)]:
        for place in [(tap.guest, tap.nic, way) for way in WAYS]:
            one, file_bps = said.get(place, Impairment(*place)), limits.get(place, 0)
            if one.settings or file_bps:
                found.update((each.key, each) for each in _resources(one, file_bps, tap, lab))
    return found


def _resources(one: Impairment, file_bps: int, tap: Tap, lab: str) -> list[Resource]:
    """The queue, and if it is for what the guest sends, the link that has it."""
    settings: dict[str, Any] = {**one.settings, "rate_bps": one.rate_bps or file_bps}
    burst = burst_bytes(settings["rate_bps"], tap.mtu_bytes) if settings["rate_bps"] else 0
    shaping = Shaping(one.guest, one.nic, one.direction, tap.name, tap.name, burst_bytes=burst,
                      namespace=tap.namespace, file_bps=file_bps, **settings)  # fmt: skip
    if one.direction == "in":
        return [shaping]
    ifb = Ifb(tap.guest, tap.nic, _ifb_name(tap, lab), tap.namespace)
    return [ifb, replace(shaping, queue=ifb.name)]


def _ifb_name(tap: Tap, lab: str) -> str:
    """As `Site.link_name` has it."""
    stem = f"{tap.guest}.{tap.nic}.out"
    if tap.namespace != HOST and names.fits_interface(stem):
        return stem
    return names.interface_name(stem, f"{lab}/ifb/{tap.guest}/{tap.nic}")

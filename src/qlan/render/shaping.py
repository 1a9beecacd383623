"""Limits and impairments as lines for `tc -batch` (tc(8), tc-tbf(8), tc-netem(8), tc-u32(8), tc-mirred(8)), and the
ifb for what is sent.

A TAP's way out leads to the guest: a queueing discipline on it is what comes in.  On its way in there is no queue;
there a filter leads every frame through an ifb's way out, and from there it goes on as if nothing had been.  Everything
is said so that it may be there already.

A limit is a token bucket.  What netem does comes before it, and the bucket is netem's child then: its queue holds 50
ms, where netem's own `rate` would let all of its long queue wait.  The three places have numbers of their own: tc takes
no other discipline in the place of one by the same number, and one that is elsewhere already it moves as it is.
"""

from __future__ import annotations

from qlan.names import BUCKET_IN_NETEM, NETEM_HANDLE, QDISC_HANDLE
from qlan.render.command import Command, Ip
from qlan.render.ip import alias, group
from qlan.render.scene import Scene
from qlan.resources.model import Ifb, Shaping

_QUEUE_BYTES = 128 << 10  # two of the largest packets that a guest's TCP hands over
_QUEUES_PER_S = 20  # at higher rates the queue is 50 ms
_DELAYED_MAX = 20_000  # frames on their way through netem: its own 1000 would be 12 Mbit/s at a delay of a second


def create_ifb(ifb: Ifb, scene: Scene) -> list[Command]:
    """Made, marked, up."""
    return [Ip(ifb.namespace, f"link add name {ifb.name} group {group(scene)} type ifb"), _set_up(ifb, scene)]


def change_ifb(before: Ifb, after: Ifb, scene: Scene) -> list[Command]:
    """Up again, and marked."""
    return [_set_up(after, scene)]


def delete_ifb(ifb: Ifb, scene: Scene) -> list[Command]:
    """And gone."""
    return [Ip(ifb.namespace, f"link del dev {ifb.name}", gone_is_fine=True)]


def create(shaping: Shaping, scene: Scene) -> list[Command]:
    """All that it is made of."""
    return [*lines(shaping)]


def lines(shaping: Shaping) -> list[Ip]:
    """The queue first: nothing is led to one that is not there."""
    if shaping.queue == shaping.link:
        return _queue(shaping, shaping)
    match = "protocol all pref 1 handle 800::800 u32 match u32 0 0"
    return [
        *_queue(shaping, shaping),
        _tc(shaping, f"qdisc replace dev {shaping.link} handle ffff: ingress"),
        _tc(shaping, f"filter replace dev {shaping.link} parent ffff: {match} "
                     f"action mirred egress redirect dev {shaping.queue}"),
    ]  # fmt: skip


def change(before: Shaping, after: Shaping, scene: Scene) -> list[Command]:
    """In place, with what waits in the queue, as long as it is of the same sort."""
    return [*_queue(before, after)]


def delete(shaping: Shaping, scene: Scene) -> list[Command]:
    """Frames go straight again."""
    ends = [f"{shaping.link} ingress"] if shaping.queue != shaping.link else []
    ends += [f"{shaping.queue} root"] if shaping.queue else []
    return [Ip(shaping.namespace, f"qdisc del dev {end}", gone_is_fine=True, program="tc") for end in ends]


def _queue(before: Shaping, after: Shaping) -> list[Ip]:
    place = f"qdisc replace dev {after.queue}"
    if not any(after.netem):
        return [_tc(after, f"{place} root handle {QDISC_HANDLE:x}: {_bucket(after)}")]
    found = [_tc(after, f"{place} root handle {NETEM_HANDLE:x}: {_netem(before, after)}")]
    if after.rate_bps:
        inner = f"parent {NETEM_HANDLE:x}:1 handle {BUCKET_IN_NETEM:x}:"
        return [*found, _tc(after, f"{place} {inner} {_bucket(after)}")]
    if before.rate_bps and any(before.netem):
        found.append(_tc(after, f"qdisc del dev {after.queue} parent {NETEM_HANDLE:x}:1"))
    return found


def _bucket(shaping: Shaping) -> str:
    waiting = shaping.burst_bytes + max(_QUEUE_BYTES, shaping.rate_bps // 8 // _QUEUES_PER_S)
    return f"tbf rate {shaping.rate_bps}bit burst {shaping.burst_bytes} limit {waiting}"


def _netem(before: Shaping, after: Shaping) -> str:
    """What was said before and holds no longer is taken back: netem keeps what a change does not name."""
    words = [f"netem limit {_DELAYED_MAX}"]
    if after.delay_us:
        words.append(f"delay {after.delay_us}us" + (f" {after.jitter_us}us" if after.jitter_us else ""))
    for name in ("loss", "duplicate", "corrupt", "reorder"):
        ppm = getattr(after, f"{name}_ppm")
        if ppm or getattr(before, f"{name}_ppm"):
            words.append(f"{name} {ppm / 10_000:g}%")
    return " ".join(words)


def _tc(shaping: Shaping, line: str) -> Ip:
    return Ip(shaping.namespace, line, program="tc")


def _set_up(ifb: Ifb, scene: Scene) -> Ip:
    state = "up" if ifb.up else "down"
    return Ip(ifb.namespace, f"link set dev {ifb.name} alias {alias(scene.lab, ifb.key)} {state}")

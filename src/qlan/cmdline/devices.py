"""What a NIC model refuses when it starts, of values whose type is right (hw/net/virtio-net.c)."""

from __future__ import annotations

from collections.abc import Iterator

from qlan.cmdline.check import fault_at, is_open
from qlan.cmdline.model import Clause, Fault, Kind
from qlan.cmdline.schema import Rules
from qlan.cmdline.values import parse_number
from qlan.cmdline.wiring import Card, Wiring

_QUEUE_MIN, _QUEUE_MAX = 256, 1024
_TX_BY_PEER_SINCE = (9, 0)  # since then sizes above 256 are refused where the netdev has no use for them
_DEEP_PEERS = ("vhost-user", "vhost-vdpa")


def check_devices(wiring: Wiring, rules: Rules) -> Iterator[Fault]:
    """The own rules of virtio's NICs; other models have none."""
    for card in wiring.cards:
        clause = card.clause
        if clause is None or clause.kind is not Kind.DEVICE or not card.model.startswith("virtio-net"):
            continue
        try:
            yield from _virtio(card, clause, wiring, rules)
        except ValueError:
            continue  # a value of the wrong type: said already


def _virtio(card: Card, clause: Clause, wiring: Wiring, rules: Rules) -> Iterator[Fault]:
    plug = wiring.plug(card.netdev)
    deep = rules.version < _TX_BY_PEER_SINCE or (plug is not None and plug.type in _DEEP_PEERS)
    yield from _queue_size(clause, "rx_queue_size", _QUEUE_MAX)
    yield from _queue_size(clause, "tx_queue_size", _QUEUE_MAX if deep else _QUEUE_MIN)
    duplex = clause.value("duplex")
    if duplex not in (None, "half", "full") and not is_open(clause, str(duplex)):
        yield fault_at(clause, clause.setting("duplex"), f"{duplex!r} is no value for duplex=", "half or full")
    speed = clause.value("speed")
    if speed is not None and not is_open(clause, speed) and parse_number(speed) < -1:
        yield fault_at(clause, clause.setting("speed"), f"speed={speed}", "0 or more, or -1 for unknown")


def _queue_size(clause: Clause, key: str, most: int) -> Iterator[Fault]:
    text = clause.value(key)
    if text is None or is_open(clause, text):
        return
    size = parse_number(text)
    if not _QUEUE_MIN <= size <= most or size & (size - 1):
        expected = "256" if most == _QUEUE_MIN else f"a power of 2 from {_QUEUE_MIN} to {most}"
        yield fault_at(clause, clause.setting(key), f"{key}={text} is no size for its queue", expected)

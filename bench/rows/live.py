"""Row 14: what is changed while a guest runs: a NIC plugged in and out, its cable pulled, a forward opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from bench.libvirt import Libvirt
from bench.measure import settle, took_s
from bench.session import GUEST_PAIRS, Session
from bench.wirings import LIBVIRT, Wired, asked, mac

ABOUT = "a NIC attached and detached, a cable pulled, a forward opened, beside virsh and nft"
BOOTS = 2
_ADDED = mac(40)
_TABLE = """\
add table ip live
add map ip live ports { type inet_service : ipv4_addr . inet_service ; }
add chain ip live in { type nat hook prerouting priority dstnat; }
add rule ip live in dnat ip to tcp dport map @ports
"""
Cycle = Callable[[], dict[str, float]]  # what each of its steps took, in seconds


def run(session: Session) -> None:
    wired, daemon = session.wired(), session.libvirt()
    if isinstance(wired, str):
        session.leave_out("live", wired)
        return
    cycles: dict[str, Cycle] = {one.name: partial(_qlan, one) for one in wired.values() if one.place}
    if LIBVIRT in wired and not isinstance(daemon, str):
        cycles[LIBVIRT] = partial(_virsh, wired[LIBVIRT], daemon)
    found = _rounds(session, cycles)
    for name in [name for name in cycles if name != LIBVIRT]:
        for what, costs in found[name].items():
            session.pair(f"{what}, {name.removeprefix('qlan ')}", {name: costs, **_of(found, LIBVIRT, what)},
                         (name, LIBVIRT), limit=1.0)  # fmt: skip
    for one in wired.values():
        if one.place:
            with _table():
                session.compare(f"a forward more, {one.place.realm}", partial(_forward, one), ("nft by hand", _element))


def _of(found: dict[str, dict[str, list[float]]], name: str, what: str) -> dict[str, list[float]]:
    return {name: found[name][what]} if what in found.get(name, {}) else {}


def _rounds(session: Session, cycles: dict[str, Cycle]) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {name: {} for name in cycles}
    pairs = session.pairs(GUEST_PAIRS)
    left = dict(cycles)
    for number in range(pairs + (pairs > 1)):
        for name, cycle in list(left.items()):
            del left[name]
            with session.no_time_for_failures(f"changes, {name}"):
                costs = cycle()
                left[name] = cycle
                settle()
                if number or pairs == 1:
                    for what, cost in costs.items():
                        found[name].setdefault(what, []).append(cost)
    return found


def _qlan(one: Wired) -> dict[str, float]:
    assert one.place
    cable = {word: one.place.qlan("nic", word, "a/0") for word in _with(one, ("down", "up"))}
    attach = one.place.qlan("nic", "attach", "a", "more")
    _has_second(one)
    detach = one.place.qlan("nic", "detach", "a/1")
    _has_no_second(one)
    return {"attach": attach, "detach": detach, **{f"cable {word}": cost for word, cost in cable.items()}}


def _virsh(one: Wired, daemon: Libvirt) -> dict[str, float]:
    cable = {word: daemon.virsh("domif-setlink", "w0", mac(30), word) for word in _with(one, ("down", "up"))}
    attach = daemon.virsh("attach-interface", "w0", "network", "wired", "--model", "virtio", "--mac", _ADDED, "--live")
    _has_second(one)
    detach = daemon.virsh("detach-interface", "w0", "network", "--mac", _ADDED, "--live")
    _has_no_second(one)
    return {"attach": attach, "detach": detach, **{f"cable {word}": cost for word, cost in cable.items()}}


def _with(one: Wired, words: tuple[str, ...]) -> Iterator[str]:
    """The words; after each the guest must see its cable so."""
    for word in words:
        yield word
        with asked(one):
            one.shells[0].wait_for(f'[ "$(cat /sys/class/net/eth0/carrier)" = {int(word == "up")} ]', timeout_s=20)


def _has_second(one: Wired) -> None:
    with asked(one):
        one.shells[0].wait_for_lease("eth1", timeout_s=40)


def _has_no_second(one: Wired) -> None:
    with asked(one):
        one.shells[0].wait_for("[ ! -e /sys/class/net/eth1 ]", timeout_s=20)
        one.shells[0].run("rm -f /run/lease/eth1")


def _forward(one: Wired) -> float:
    """Opened, and closed again beside the clock."""
    assert one.place
    cost = one.place.qlan("forward", "add", "a", "7700:80")
    one.place.qlan("forward", "remove", "a", "7700")
    return cost


@contextmanager
def _table() -> Iterator[None]:
    took_s(["nft", _TABLE])
    try:
        yield
    finally:
        took_s(["nft", "delete table ip live"])


def _element() -> float:
    cost = took_s(["nft", "add element ip live ports { 7700 : 10.82.0.10 . 80 }"])
    took_s(["nft", "delete element ip live ports { 7700 }"])
    return cost

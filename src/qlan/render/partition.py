"""Sides of guests that do not hear each other, as one nft table of the bridge family a namespace (nft(8)).

Frames that come in by a side's TAPs get its number as the upper eight bits of their mark, and none with another side's
number goes out by them.  The mark stays with a packet that this machine routes to another bridge, and through address
translation.  What the machine itself says has none and passes: its DHCP server, and whoever works on the guests from
here.  TAPs are named, and need not be there: a guest that starts again is on its side from the first frame.

A wire's frames are datagrams in a namespace that has nothing else; they are lost where they arrive, for who sends one
that is dropped on its way out is told so, and that is QEMU.
"""

from __future__ import annotations

from qlan.render import nft_table
from qlan.render.command import Command
from qlan.render.scene import Scene
from qlan.resources.model import Partition

SIDES_MAX = 255
_SHIFT = 24


def create(one: Partition, scene: Scene) -> list[Command]:
    """The table."""
    return _made(one, scene, is_there=False)


def change(before: Partition, after: Partition, scene: Scene) -> list[Command]:
    """Replaced whole, in one transaction: at no moment do they hear each other."""
    return _made(after, scene, is_there=True)


def delete(one: Partition, scene: Scene) -> list[Command]:
    """The table, then its files."""
    return nft_table.gone(one, table(one), scene.layout.partition(one.namespace))


def _made(one: Partition, scene: Scene, *, is_there: bool) -> list[Command]:
    return nft_table.made(one, _table(one), scene.layout.partition(one.namespace), is_there=is_there)


def table(one: Partition) -> str:
    """Its family and its name, which is its mark."""
    return f"{'bridge' if one.sides else 'inet'} qlan.{one.lab}"


def _table(one: Partition) -> nft_table.Table:
    """Everything goes through `leaving`, what a bridge passes on and what this machine sends (or routes) into it."""
    all_bits = 0xFFFF_FFFF
    number = all_bits & (all_bits << _SHIFT)
    arriving, leaving = [], [f"meta mark & {number:#x} == 0 accept"]
    for place, side in enumerate(one.sides, 1):
        links = "{ " + ", ".join(f'"{name}"' for name in side) + " }"
        mark = place << _SHIFT
        arriving.append(f"iifname {links} meta mark set meta mark & {all_bits ^ number:#x} | {mark:#x}")
        leaving.append(f"oifname {links} meta mark & {number:#x} != {mark:#x} counter drop")
    chains = {
        "arriving": ["type filter hook prerouting priority -300; policy accept;", *arriving],
        "leaving": leaving,
        "forward": ["type filter hook forward priority filter; policy accept;", "jump leaving"],
        "output": ["type filter hook output priority filter; policy accept;", "jump leaving"],
    }
    if not one.sides:
        chains = {"input": ["type filter hook input priority filter; policy accept;", "counter drop"]}
    return nft_table.Table(table(one), f"partition of lab {one.lab}, made by qlan", chains)

"""A TAP that is moved onto somebody else's bridge gets a MAC that the bridge will not take for its own."""

from __future__ import annotations

from pathlib import Path

from qlan.render import ip
from qlan.render.command import Ip
from qlan.render.layout import Layout
from qlan.render.scene import Scene
from qlan.resources.model import Tap


def test_a_moved_tap_gets_a_high_mac_first() -> None:
    scene = Scene(Layout(Path("/r"), Path("/s"), "x"), {})
    before, after = Tap("a", 0, "t", "lan", "br-lan"), Tap("a", 0, "t", "office", "br0", foreign=True)
    [line] = ip.change_tap(before, after, scene)
    assert isinstance(line, Ip)
    assert " address fe:" in line.line
    assert line.line.index("address") < line.line.index("master br0")
    assert "address" not in str(ip.change_tap(after, before, scene))

"""Frames as QEMU's filter-dump writes them."""

import pytest

from qlan.host.dump import Bare
from qlan.pcapng import Packet

MAC, OTHER, ALL = "525400aabbcc", "525400000002", "ff" * 6
SENT, COMES, TO_ALL, TO_MANY = (f"{to}{by}0800" + "00" * 46 for to, by in
                                ((OTHER, MAC), (MAC, OTHER), (ALL, OTHER), ("3333000000fb", OTHER)))  # fmt: skip


@pytest.mark.parametrize("head", ["", "01005e00420022001000", "000000000000000000000100"])
def test_the_virtio_net_header_is_taken_off_whatever_its_length(head: str) -> None:
    """Told by the frames of the NIC's own MAC, and to all; others are taken like the last one that told."""
    bare = Bare("52:54:00:aa:bb:cc")
    for frame in (TO_ALL, TO_MANY, SENT, TO_MANY, COMES):
        data = bytes.fromhex(head + frame)
        found = bare(Packet(3, 7, len(data) + 100, data[:50]))
        assert found == Packet(3, 7, len(frame) // 2 + 100, data[len(head) // 2 : 50])

"""What the relay passes on between guests and a DHCP server elsewhere, byte by byte (RFC 1542, 4.1)."""

from __future__ import annotations

import pytest

from qlan.relay.dhcp import asker, is_answer, passed_on

OWN, OTHER, NOBODY = bytes([10, 82, 0, 1]), bytes([10, 99, 0, 1]), bytes(4)


def packet(op: int, *, hops: int = 0, giaddr: bytes = NOBODY, length: int = 300) -> bytes:
    head = bytes([op, 1, 6, hops]) + bytes(20) + giaddr
    return head.ljust(length, b"\x05")[:length]


def test_a_request_says_by_whom_it_came() -> None:
    assert passed_on(packet(1), OWN) == packet(1, hops=1, giaddr=OWN)


@pytest.mark.parametrize(
    "data", [b"", packet(1, length=235), packet(2), packet(1, hops=1, giaddr=OTHER), packet(1, giaddr=OWN)],
    ids=["empty", "short", "an answer", "as of another network", "of ours"],
)  # fmt: skip
def test_what_is_no_request_is_dropped(data: bytes) -> None:
    assert passed_on(data, OWN) is None


def test_an_answer_is_one_to_what_was_passed_on() -> None:
    assert is_answer(packet(2, giaddr=OWN), OWN)
    for data in (b"", packet(2, giaddr=OWN, length=235), packet(1, giaddr=OWN), packet(2, giaddr=OTHER), packet(2)):
        assert not is_answer(data, OWN)


def test_an_answer_is_known_by_who_asked() -> None:
    asked = bytes([1, 1, 6, 0]) + b"xid1" + bytes(20) + b"the hardware id".ljust(16, b"\0") + bytes(200)
    assert asker(asked) == b"xid1" + b"the hardware id\0"
    assert asker(passed_on(asked, OWN) or b"") == asker(asked)

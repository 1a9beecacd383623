"""hostfwd= and guestfwd=: what they mean, where they are wrong, what was meant."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlan.cmdline import (
    BadRule,
    HostForward,
    parse_guest_forward,
    parse_host_forward,
    render_guest_forward,
    render_host_forward,
)

ADDRESS = st.none() | st.ip_addresses(v=4).filter(bool)
PORT = st.integers(1, 65535)


@given(st.builds(HostForward, st.sampled_from(["tcp", "udp"]), ADDRESS, PORT, ADDRESS, PORT))
def test_host_forward_survives(forward: HostForward) -> None:
    for version in ((7, 2), (10, 0), (11, 1)):
        assert parse_host_forward(render_host_forward(forward), version) == forward


def test_short_forms() -> None:
    assert parse_host_forward("::2222-:22") == HostForward("tcp", None, 2222, None, 22)
    assert parse_host_forward("udp:127.1:5353-10.0.2.9:53") == HostForward(
        "udp", IPv4Address("127.0.0.1"), 5353, IPv4Address("10.0.2.9"), 53
    )


@pytest.mark.parametrize(
    ("rule", "meant", "offset"),
    [
        ("tcp:2222::22", "tcp::2222-:22", 9),
        ("2222:22", "tcp::2222-:22", 0),
        ("tcp::2222:22", "tcp::2222-:22", 5),
        ("tcp:127.0.0.1:2222:22", "tcp:127.0.0.1:2222-:22", 14),
        ("TCP::2222-:22", "tcp::2222-:22", 0),
        ("tcp:2222-:22", "tcp::2222-:22", 4),
        ("tcp::2222-22", "tcp::2222-:22", 10),
        ("tcp::2222-:0", "", 11),
    ],
)
def test_what_was_meant(rule: str, meant: str, offset: int) -> None:
    with pytest.raises(BadRule) as caught:
        parse_host_forward(rule, (7, 2))
    assert (caught.value.suggestion, caught.value.offset) == (meant, offset)
    if meant:
        parse_host_forward(meant, (7, 2))


def test_versions_differ() -> None:
    assert parse_host_forward("tcp::-:22", (7, 2)).host_port == 0
    with pytest.raises(BadRule):
        parse_host_forward("tcp::-:22", (10, 0))
    assert parse_host_forward("unix:/run/a.sock-:22", (10, 2)).path == "/run/a.sock"
    assert parse_host_forward("unix:/run/a-b.sock-:22", (11, 1)).path == "/run/a-b.sock"
    with pytest.raises(BadRule):
        parse_host_forward("unix:/run/a.sock-:22", (10, 0))


def test_guest_forward() -> None:
    found = parse_guest_forward("tcp:10.0.2.100:1234-cmd:nc host 80")
    assert (str(found.server), found.port, found.target, found.is_command) == ("10.0.2.100", 1234, "nc host 80", True)
    assert render_guest_forward(found) == "tcp:10.0.2.100:1234-cmd:nc host 80"
    for rule in ("udp:1.2.3.4:5-x", "tcp:1.2.3.4-x", "tcp::0-x", "tcp::0x50-x", ""):
        with pytest.raises(BadRule):
            parse_guest_forward(rule)

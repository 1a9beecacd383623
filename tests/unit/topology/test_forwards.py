"""Forwards in both forms and as a mapping; near-misses stand in golden/errors/forwards-near-misses."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlan.topology.forwards import parse_forward, parse_forwards
from qlan.topology.load import parse
from qlan.topology.model import Forward
from qlan.topology.scalars import Unreadable

LOOPBACK, ANY = IPv4Address("127.0.0.1"), IPv4Address("0.0.0.0")
GUEST = IPv4Address("10.0.2.15")


@pytest.mark.parametrize(
    ("text", "forward"),
    [
        ("2222:22", Forward("tcp", LOOPBACK, 2222, None, 22)),
        ("auto:22", Forward("tcp", LOOPBACK, None, None, 22)),
        ("udp:auto:53", Forward("udp", LOOPBACK, None, None, 53)),
        ("8080:80/tcp", Forward("tcp", LOOPBACK, 8080, None, 80)),
        ("5353:53/udp", Forward("udp", LOOPBACK, 5353, None, 53)),
        ("udp:5353:53/udp", Forward("udp", LOOPBACK, 5353, None, 53)),
        ("127.0.0.1:8080:80/tcp", Forward("tcp", LOOPBACK, 8080, None, 80)),
        ("udp:127.0.0.1:5353:53", Forward("udp", LOOPBACK, 5353, None, 53)),
        ("0.0.0.0:80:80", Forward("tcp", ANY, 80, None, 80)),
        ("192.168.1.7:auto:80", Forward("tcp", IPv4Address("192.168.1.7"), None, None, 80)),
        ("2222:10.0.2.15:22", Forward("tcp", LOOPBACK, 2222, GUEST, 22)),
        ("tcp:127.0.0.1:2222:10.0.2.15:22", Forward("tcp", LOOPBACK, 2222, GUEST, 22)),
        ("tcp::2222-:22", Forward("tcp", ANY, 2222, None, 22)),
        ("::2222-:22", Forward("tcp", ANY, 2222, None, 22)),
        ("udp::5353-:53", Forward("udp", ANY, 5353, None, 53)),
        ("tcp::auto-:22", Forward("tcp", ANY, None, None, 22)),
        ("tcp:127.0.0.1:8080-10.0.2.15:80", Forward("tcp", LOOPBACK, 8080, GUEST, 80)),
        ("65535:65535", Forward("tcp", LOOPBACK, 65535, None, 65535)),
    ],
)
def test_what_a_forward_means(text: str, forward: Forward) -> None:
    assert parse_forward(text) == forward


@pytest.mark.parametrize(
    ("text", "first", "count"),
    [
        ("8000-8010:9000-9010", Forward("tcp", LOOPBACK, 8000, None, 9000), 11),
        ("udp:0.0.0.0:80-81:10.0.2.15:90-91/udp", Forward("udp", ANY, 80, GUEST, 90), 2),
        ("auto:7000-7003", Forward("tcp", LOOPBACK, None, None, 7000), 4),
        ("80-80:81", Forward("tcp", LOOPBACK, 80, None, 81), 1),
    ],
)
def test_a_range_is_so_many_forwards(text: str, first: Forward, count: int) -> None:
    found = parse_forwards(text)
    assert found[0] == first
    assert [one.guest_port for one in found] == list(range(first.guest_port, first.guest_port + count))
    if first.host_port:
        assert [one.host_port for one in found] == list(range(first.host_port, first.host_port + count))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("8000-8010:80", "11 ports cannot lead to 1"),
        ("8000:80-90", "1 port cannot lead to 11"),
        ("8010-8000:8010-8000", "8010-8000 runs backwards"),
        ("1-2000:1-2000", "more than 1000 ports"),
        ("0-10:0-10", "port `0` is not from 1"),
    ],
)
def test_ranges_that_fit_nowhere(text: str, what: str) -> None:
    with pytest.raises(Unreadable, match=what):
        parse_forwards(text)


@given(st.text(alphabet="0123456789:-./tcpudauo[] ", max_size=30))
def test_any_text_is_a_forward_or_says_why(text: str) -> None:
    try:
        found = parse_forwards(text)
    except Unreadable as error:
        assert error.what
    else:
        for forward in found:
            assert 1 <= forward.guest_port <= 65535
            assert forward.host_port is None or 1 <= forward.host_port <= 65535


@given(
    st.sampled_from(["tcp", "udp"]),
    st.ip_addresses(v=4),
    st.none() | st.integers(1, 65535),
    st.none() | st.ip_addresses(v=4),
    st.integers(1, 65535),
)
def test_both_forms_say_the_same(
    protocol: str, host: IPv4Address, port: int | None, guest: IPv4Address | None, guest_port: int
) -> None:
    qemu = f"{protocol}:{host}:{port or 'auto'}-{guest or ''}:{guest_port}"
    short = f"{protocol}:{host}:{port or 'auto'}:{f'{guest}:' if guest else ''}{guest_port}"
    assert parse_forward(qemu) == parse_forward(short)


def test_a_mapping_says_the_same_as_a_text() -> None:
    text = """
        guests:
          web:
            disk: web.img
            nics:
              - user: true
                forwards:
                  - {host: 8080, guest: 80, protocol: udp, address: 0.0.0.0, guest_address: 10.0.2.15}
                  - {host: auto, guest: 22}
                  - udp:0.0.0.0:8080:10.0.2.15:80
                  - auto:22
    """
    forwards = parse(text, "qlan.yaml").guests[0].nics[0].forwards
    plain = [(one.protocol, one.host_address, one.host_port, one.guest_address, one.guest_port) for one in forwards]
    assert plain[:2] == plain[2:]
    assert forwards[0].mark is not None
    assert (forwards[0].mark.line, forwards[0].mark.column) == (8, 21)


def test_a_forward_knows_its_place() -> None:
    text = 'guests: {web: {disk: a, nics: [{user: true, forwards: ["1:2", 3:4]}]}}'
    forwards = parse(text, str(Path("qlan.yaml"))).guests[0].nics[0].forwards
    assert [one.mark.column for one in forwards if one.mark] == [text.index('"1:2"') + 1, text.index("3:4") + 1]

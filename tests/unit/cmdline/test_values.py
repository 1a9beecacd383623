"""Numbers, sizes and addresses are read as C reads them."""

from __future__ import annotations

import ctypes
import ctypes.util
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlan.cmdline.values import parse_integer, parse_ipv4, parse_nic_mac, parse_number, parse_size


def by_libc(text: str) -> int | None:
    """strtoll of the C library: the oracle."""
    libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    libc.strtoll.restype = ctypes.c_longlong
    end = ctypes.c_char_p()
    raw = ctypes.c_char_p(text.encode())
    ctypes.set_errno(0)
    value: int = libc.strtoll(raw, ctypes.byref(end), 0)
    return value if text and end.value == b"" and not ctypes.get_errno() else None


@given(st.text(alphabet="0123789abxX-+ \t", max_size=8))
def test_numbers_as_libc_has_them(text: str) -> None:
    expected = by_libc(text) if any(letter.isdigit() for letter in text) else None
    try:
        found: int | None = parse_number(text)
    except ValueError:
        found = None
    if "b" in text.lower() and "x" not in text.lower():
        return  # 0b101 depends on the C library's age
    assert found == expected


@given(st.text(alphabet="0127.xXf ", max_size=16))
def test_addresses_as_inet_aton_has_them(text: str) -> None:
    try:
        expected: bytes | None = socket.inet_aton(text)
    except OSError:
        expected = None
    try:
        found: bytes | None = parse_ipv4(text).packed
    except ValueError:
        found = None
    assert found == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("1k", 1024),
        ("1.5M", 1536 << 10),
        ("0x10", 16),
        ("2G", 2 << 30),
        ("16B", 16),
        ("1.0", 1),
        ("8t", 8 << 40),
    ],
)
def test_sizes(text: str, value: int) -> None:
    assert parse_size(text) == value


@pytest.mark.parametrize("text", ["", "-1", "1kb", "1.5", "x", "1 k", "99999999T", "0x1.8", "1e3"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "kind"), [("65536", "uint16"), ("-1", "uint32"), ("4294967296", "int32"), ("", "int")]
)
def test_limits(text: str, kind: str) -> None:
    with pytest.raises(ValueError, match="number"):
        parse_integer(text, kind)


@pytest.mark.parametrize(
    ("text", "mac"),
    [("5", "00:00:00:00:00:05"), ("2:54:0:98:76:54", "02:54:00:98:76:54"), ("52-54-00-12-34-57", "52:54:00:12:34:57")],
)
def test_macs_of_nic(text: str, mac: str) -> None:
    assert parse_nic_mac(text) == mac

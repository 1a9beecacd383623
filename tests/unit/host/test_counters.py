from qlan.host.counters import Bytes, parse, read

# Linux 6.18, `cat /proc/net/dev`
SAID = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    2940      35    0    0    0     0          0         0     2940      35    0    0    0     0       0          0
web.0:12345678901   99    0    0    0     0          0         0  77     3    0    0    0     0       0          0
"""  # noqa: E501


def test_parse() -> None:
    assert parse(SAID) == {"lo": Bytes(2940, 2940), "web.0": Bytes(12345678901, 77)}


def test_read_of_our_own_and_of_nobody() -> None:
    assert "lo" in read(None)
    assert read(2**22 + 1) == {}

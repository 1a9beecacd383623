"""What is wanted beside the file, and what slirp says of its connections."""

from __future__ import annotations

from ipaddress import IPv4Address

from qlan.forwarding import parse_usernet, short
from qlan.journal import Record, unsaved
from qlan.realm import Realm
from qlan.resources.model import PortForward, Resources
from qlan.values import replace

# `info usernet` of QEMU 7.2 with one open connection through a forward, and one that the guest made.
USERNET = """\
Hub -1 (net0):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
  TCP[ESTABLISHED]   22       127.0.0.1 28022       10.0.2.15    22     0     0
  TCP[SYN_SENT]      24       127.0.0.1 28022       10.0.2.15    22     0     0
  TCP[ESTABLISHED]   23       10.0.2.15 40970  192.168.178.10    80     0     0
  TCP[HOST_FORWARD]  13       127.0.0.1 28022       10.0.2.15    22     0     0
  UDP[HOST_FORWARD]  14       127.0.0.1 28053       10.0.2.15    53     0     0
"""


def forward(port: int, protocol: str = "tcp") -> PortForward:
    return PortForward("web", 0, protocol, IPv4Address("127.0.0.1"), port, None, 22)


def test_connections_through_a_forward_are_counted() -> None:
    assert parse_usernet(USERNET, forward(28022)) == 2
    assert parse_usernet(USERNET, forward(28053, "udp")) == 0


def test_what_goes_back_cancels_out() -> None:
    one, two = forward(1), forward(2)
    record = Record("x", Realm.ROOTLESS, None, "", {one.key: one})
    both: Resources = {one.key: one, two.key: two}
    added, of_file = unsaved(record, both)
    assert (added, of_file) == ((f"+ {two.key}",), {})
    record = Record("x", Realm.ROOTLESS, None, "", both, added)
    assert unsaved(record, {one.key: one}) == ((), {})
    assert unsaved(record, {two.key: two}) == ((f"+ {two.key}", f"- {one.key}"), {one.key: one})


def test_what_comes_back_otherwise_is_told() -> None:
    one = forward(1)
    other, third = replace(one, guest_port=80), replace(one, guest_port=81)
    record = Record("x", Realm.ROOTLESS, None, "", {one.key: one})
    for wanted, sign in ((None, "-"), (other, "~"), (None, "-"), (third, "~"), (None, "-"), (one, "")):
        now: Resources = {wanted.key: wanted} if wanted else {}
        lines, of_file = unsaved(record, now)
        assert lines == ((f"{sign} {one.key}",) if sign else ())
        assert of_file == ({one.key: one} if sign else {})
        record = replace(record, wanted=now, unsaved=lines, of_file=of_file)


def test_a_forward_is_said_as_it_is_written() -> None:
    assert short(forward(2222)) == "2222:22"
    assert short(PortForward("web", 0, "udp", IPv4Address("0.0.0.0"), 53, None, 53)) == "udp:0.0.0.0:53:53"

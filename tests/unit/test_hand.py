"""Words for a QEMU that somebody starts by hand: nothing is taken that they cannot say."""

from pathlib import Path

import pytest

from qlan import hand
from qlan.errors import UsageError
from qlan.topology.short import parse_nics


@pytest.mark.parametrize(
    "said", ["rate=1mbit", "isolated=true", "vlan=5", "mtu=1400", "address=10.0.0.9", "link=down", "boot=network"]
)
def test_what_is_for_guests_of_the_file_alone(said: str) -> None:
    nics = parse_nics([f"lan,{said}"], [], Path("/"))
    with pytest.raises(UsageError, match=f"`{said.partition('=')[0]}` is for guests that qlan starts"):
        hand.words(None, nics, short=False)


def test_a_port_that_is_forwarded_twice() -> None:
    nics = parse_nics(["user"], ["2222:22", "2222:23"], Path("/"))
    with pytest.raises(UsageError, match="tcp port 2222 is forwarded twice"):
        hand.words(None, nics, short=False)
    fine = parse_nics(["user"], ["2222:22", "udp:2222:22", "127.0.0.2:2222:23"], Path("/"))
    assert hand.words(None, fine, short=True)[0] == "-nic"

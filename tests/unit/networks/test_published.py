"""Whose callers a guest of a rootless lab sees by their own addresses."""

from __future__ import annotations

import pytest

from qlan.resources.model import PublishedPort
from qlan.topology.model import Realm
from tests import samples

TEXT = """\
lab: x
networks: {out: {kind: nat, subnet: 10.1.0.0/24}, far: {kind: nat, subnet: 10.2.0.0/24}, lan: host-only}
guests: {a: {kernel: k, nics: [%s]}, b: {kernel: k, nics: [out]}}
"""
NIC = '{network: %s, forwards: ["%s"]}'


def filters(nics: str, realm: Realm = Realm.ROOTLESS) -> list[str]:
    """Of each port, the rules that lead answers to its callers' own addresses."""
    found = samples.parsed(TEXT % nics, realm)
    return [one.filter for one in found.values() if isinstance(one, PublishedPort)]


@pytest.mark.parametrize("forward", ["0.0.0.0:80:80", "198.51.100.2:80:80", "udp:0.0.0.0:80:80"])
@pytest.mark.parametrize("beside", ["", "lan, "])
def test_of_the_nic_that_leads_outside(forward: str, beside: str) -> None:
    assert filters(beside + NIC % ("out", forward)) == ["filter/out"]
    assert filters(NIC % ("out", forward), Realm.HOST) == [""], "there the kernel leads them"


def test_not_from_one_family_to_the_other() -> None:
    assert filters(NIC % ("out", "[::]:80:10.1.0.5:80")) == [""], "from one family to the other"


@pytest.mark.parametrize(
    "nics",
    [
        NIC % ("out", "80:80"),
        NIC % ("lan", "0.0.0.0:80:80"),
        "far, " + NIC % ("out", "0.0.0.0:80:80"),
        NIC % ("out", "0.0.0.0:80:80") + ", user",
        NIC % ("out", "0.0.0.0:80:80") + ", out",
    ],
)
def test_not_of_loopback_nor_where_the_guest_may_answer_elsewhere(nics: str) -> None:
    assert filters(nics) == [""]

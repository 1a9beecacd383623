"""A star of bridges is no other format's: each says that it does not say it."""

from __future__ import annotations

import pytest

from qlan.interop.formats import EXPORTS
from qlan.interop.settled import settle
from qlan.topology import addressing, load
from qlan.topology.model import Picks
from qlan.values import replace
from tests import samples


@pytest.mark.parametrize("name", ["qemu", "networkd", "netplan", "networkmanager", "ifupdown", "libvirt"])
@pytest.mark.parametrize("count", [1000, 1001])
def test_more_nics_than_ports_are_told(name: str, count: int) -> None:
    nics = ", ".join(["lan"] * count)
    text = "lab: x\nnetworks: {lan: {kind: host-only, subnet: 10.0.0.0/16}}\n"
    text += f"guests: {{a: {{kernel: k, nics: [{nics}]}}}}"
    topology = load.parse(text, "/x/qlan.yaml")
    facts = replace(samples.FACTS, run_as=1000)
    lab = settle(topology, addressing.complete(topology, Picks({}, {}, {}), facts), facts)
    said = "".join(file.text for file in EXPORTS[name].export_lab(lab))
    assert ("further bridges" in said) is (count > 1000)

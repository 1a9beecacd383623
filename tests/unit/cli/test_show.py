"""What `qlan show NETWORK` says of who reaches whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from qlan.cli.show import _network_data, _network_lines, _View
from qlan.lab import Lab
from qlan.networks.expand import network_reach
from qlan.render.layout import Layout
from qlan.resources.model import Bridge
from qlan.topology import load
from qlan.topology.model import Realm
from qlan.values import asdict
from tests import samples


@pytest.mark.parametrize("realm", list(Realm))
@pytest.mark.parametrize("network", ["lan", "back"])
def test_kind_and_reach_are_the_topology_s(network: str, realm: Realm) -> None:
    """A private network's DHCP server has an address on the bridge too, and it is not the host's."""
    topology = load.parse(samples.DEMO, "/lab/qlan.yaml")
    known = samples.expanded(topology, realm)
    bridge = known[f"bridge/{network}"]
    assert isinstance(bridge, Bridge)
    lab = Lab(Layout(Path("/nowhere"), Path("/nowhere"), "demo"), topology)
    data = _network_data(bridge, _View(lab, known, (), True))
    kind = topology.network(network).kind
    assert data["kind"] == kind
    reach = network_reach(topology.network(network))
    assert data["reach"] == {**asdict(reach), "outside6": reach.outside}
    assert bool(data["addresses"]) is (kind == "host-only")
    assert ("this machine, and" in "\n".join(_network_lines(data))) is (kind == "host-only")

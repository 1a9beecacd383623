"""Exports of networks that are no bridge made for the lab: golden/interop/exported/kinds/<format>.txt."""

from __future__ import annotations

from types import ModuleType

import pytest

from qlan.cli.export import stream
from qlan.interop import document, libvirt, qemu
from qlan.interop.formats import EXPORTS
from qlan.interop.imported import Source
from qlan.topology import load
from tests.samples import GOLDEN
from tests.unit import golden

from .labs import KINDS, settled


@pytest.mark.parametrize("name", EXPORTS)
def test_text(name: str) -> None:
    text = stream(EXPORTS[name].export_lab(settled(KINDS)), name)
    golden.compare(text, GOLDEN / "interop" / "exported" / "kinds" / f"{name}.txt")


@pytest.mark.parametrize("form", [qemu, libvirt], ids=["qemu", "libvirt"])
def test_each_kind_comes_back(form: ModuleType) -> None:
    """By libvirt's XML alone nobody can know that a bridge has a NIC of the machine in it."""
    before = settled(KINDS)
    files = form.export_lab(before)
    text = document.write(form.import_sources([Source(file.path, file.text) for file in files]))
    after = load.parse(text, "/lab/qlan.yaml")
    kinds = {
        (guest.name, index): (before.topology.network(nic.network).kind, after.network(new.network).kind)
        for guest in before.topology.guests
        for index, (nic, new) in enumerate(zip(guest.nics, after.guest(guest.name).nics, strict=True))
        if nic.network and new.network
    }
    lost = {place: pair for place, pair in kinds.items() if pair[0] != pair[1]}
    assert len(kinds) == 7
    assert lost == ({("gate", 2): ("public", "bridge")} if form is libvirt else {})
    assert after.network(after.guest("gate").nics[0].network or "").uplink == "eth1"

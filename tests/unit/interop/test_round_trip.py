"""import(export(lab)) is the lab, but for what the format cannot say: that is listed here."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlan.interop import document, libvirt, qemu
from qlan.interop.imported import Source
from qlan.topology import load
from qlan.topology.model import Topology

from .labs import EVERYTHING, differences, settled

# path -> (in the lab, after the way there and back); everything else must be the same
LOST: dict[ModuleType, dict[str, tuple[object, object]]] = {
    qemu: {
        # only virtio has host_mtu=; a cable is pulled by the monitor, not by a word
        "guests.web.nics.1.link_up": (False, True),
        "guests.web.nics.1.mtu_bytes": (8000, None),
    },
    libvirt: {
        "networks.lan.ipv6.slaac": (True, False),  # it has either DHCPv6 or SLAAC
        # libvirt's DHCP server needs an address of the host's on the network
        "networks.back.subnet": (settled(EVERYTHING).topology.network("back").subnet, None),
        "networks.back.address": (settled(EVERYTHING).topology.network("back").address, None),
        "networks.back.dhcp": (differences, None),  # a Dhcp
        "guests.web.nics.1.address": (differences, None),
        "guests.db.nics.0.address": (differences, None),
        # passt stands for user mode where there are forwards, and has no such words
        "guests.box.nics.0.user.backend": ("slirp", "passt"),
        "guests.box.nics.0.user.subnet": (differences, None),
        "guests.box.nics.0.user.search": (["lab.example"], []),
        "guests.box.nics.0.user.ipv6": (False, None),
        "guests.box.nics.0.user.hostname": ("box", None),
        "guests.box.nics.0.forwards.2.guest_address": (differences, None),
        "guests.shut.nics.0.user.restrict": (True, False),
        # whoever has no words for a format says the address in a reservation, and quiet has no DHCP
        "guests.db.nics.1.address": (differences, None),
    },
}


def there_and_back(form: ModuleType, text: str) -> tuple[Topology, Topology, str]:
    lab = settled(text)
    files = form.export_lab(lab)
    written = document.write(form.import_sources([Source(file.path, file.text) for file in files]))
    return lab.topology, load.parse(written, "/lab/qlan.yaml"), written


@pytest.mark.parametrize("form", [qemu, libvirt], ids=["qemu", "libvirt"])
def test_everything_but_what_is_listed(form: ModuleType) -> None:
    before, after, _ = there_and_back(form, EVERYTHING)
    found = differences(before, after)
    found = {path: pair for path, pair in found.items() if not _same_name(path, pair)}
    if form is qemu:  # NICs of a network without DHCP have no reservation to read their address from
        assert found.pop("guests.db.nics.1.address")[1] is None
    assert found.keys() == LOST[form].keys()
    for path, (old, new) in LOST[form].items():
        assert found[path][1] == new
        assert old is differences or found[path][0] == old


def _same_name(path: str, pair: tuple[object, object]) -> bool:
    """QEMU is told the guest's name as the host name where the file says none."""
    return path.endswith(".user.hostname") and pair[0] is None and path.split(".")[1] == pair[1]


NAMES = st.sampled_from(["web", "db", "a", "router-1", "on", "n0", "x9"])
MODELS = st.sampled_from(["virtio", "e1000", "rtl8139", "usb"])


@st.composite
def labs(draw: st.DrawFn) -> str:
    """Labs of what both formats can say: networks with their subnets and DHCP, NICs on them, user mode, no NIC."""
    networks = draw(st.lists(NAMES, unique=True, max_size=3))
    lines = ["lab: shop", "networks:"]
    for index, name in enumerate(networks):
        kind = draw(st.sampled_from(["private", f"{{kind: host-only, subnet: 10.7.{index}.0/24, ipv6: no}}", "more"]))
        if kind == "more":
            low = draw(st.integers(2, 100))
            lease = draw(st.sampled_from(["2m", "1h", "7d"]))
            mtu = draw(st.sampled_from(["", ", mtu: 1400"]))
            kind = (
                f"{{kind: host-only, subnet: 10.7.{index}.0/25, dhcp: {{range: 10.7.{index}.{low}-10.7.{index}.126, "
                f"lease: {lease}}}{mtu}, ipv6: no}}"
            )
        lines.append(f"  {name}: {kind}")
    lines.append("guests:")
    for number, name in enumerate(draw(st.lists(NAMES, unique=True, min_size=1, max_size=3))):
        memory, cpus = draw(st.integers(16, 4096)), draw(st.integers(1, 8))
        lines.append(f"  {name}:")
        lines.append(f"    disk: {{path: /i/{number}.img, format: {draw(st.sampled_from(['raw', 'qcow2']))}}}")
        lines += [f"    memory: {memory}M", f"    cpus: {cpus}", "    nics:"]
        for plug in draw(st.lists(st.sampled_from(["user", *networks]), max_size=3)):
            lines.append(f"      - {plug},model={draw(MODELS)}")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("form", [qemu, libvirt], ids=["qemu", "libvirt"])
@given(text=labs())
def test_any_lab_that_the_format_can_say(form: ModuleType, text: str) -> None:
    before, after, written = there_and_back(form, text)
    found = differences(before, after)
    if form is libvirt and not before.networks:
        found.pop("lab", None)  # its name is the networks' DNS domain
    assert {path for path, pair in found.items() if not _same_name(path, pair)} == set(), written


def test_what_is_lost_is_said_in_the_export() -> None:
    lab = settled(EVERYTHING)
    xml = "".join(file.text for file in libvirt.export_lab(lab))
    for words in ("DHCP is not said", "search: lab.example", "restrict: True", "passt", "guest address 10.0.5.15"):
        assert words in xml
    [script] = qemu.export_lab(lab)
    for words in ("set_link nic1 off", "e1000 has no host_mtu=", "NIC 1 has no DHCP: set 10.10.20."):
        assert words in script.text, words

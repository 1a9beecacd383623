"""What `status` knows of guests' addresses, from the record and the leases' file alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from qlan import status
from qlan.host import leases
from qlan.render.layout import Layout
from qlan.resources.model import Nic, Resources
from tests import samples

LAB = """\
lab: demo
networks:
  lan: {kind: host-only, ipv6: {slaac: %s}}
guests:
"""


def lab(guests: int, *, slaac: bool = False) -> Resources:
    lines = [f"  g{number}: {{kernel: vmlinuz, nics: [lan]}}\n" for number in range(guests)]
    return samples.parsed(LAB % str(slaac).lower() + "".join(lines))


def nics(known: Resources) -> list[Nic]:
    return [one for one in known.values() if isinstance(one, Nic)]


def seen(folder: Path, known: Resources, lines: list[str]) -> list[tuple[str, str, str, str]]:
    """Address and how, of both families, a guest each."""
    layout = Layout(folder, folder, "demo")
    path = layout.leases("lan")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    found = [guest.nics[0] for guest in status.guests(layout, known, known, {})]
    return [(one.address, one.address_state, one.address6, one.address6_state) for one in found]


def test_how_addresses_are_known(tmp_path: Path) -> None:
    known = lab(4)
    given = nics(known)
    reserved = seen(tmp_path, known, [])
    assert {(how, how6) for _, how, _, how6 in reserved} == {("reserved", "reserved")}
    lines = [
        f"1795800000 {given[0].mac} 10.1.2.3 g0 *",
        "duid 00:01:00:01:2a:2a:2a:2a:52:00:00:00:00:01",
        f"1795800000 7 fd00::1:3 g1 00:03:00:01:{given[1].mac}",
        f"1795800000 8 {reserved[2][2]} g2 00:02:00:00:ab:11:01:02",
        "1795800000 9 fd00::77 other 00:02:00:00:ab:11:01:03",
    ]
    assert seen(tmp_path, known, lines) == [
        ("10.1.2.3", "lease", reserved[0][2], "reserved"),
        (reserved[1][0], "reserved", "fd00::1:3", "lease"),
        (*reserved[2][:3], "lease"),
        reserved[3],
    ]


def test_without_a_lease_it_is_what_the_guest_makes_of_its_mac(tmp_path: Path) -> None:
    [(_, _, address6, how6)] = seen(tmp_path, lab(1, slaac=True), [])
    assert how6 == "slaac"
    assert "ff:fe" in address6


def test_a_network_s_leases_are_read_once_for_all_its_guests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0
    read = leases.files.read_text

    def counted(path: Path) -> str:
        nonlocal count
        count += 1
        return read(path)

    monkeypatch.setattr(leases.files, "read_text", counted)
    assert len(seen(tmp_path, lab(100), [])) == 100
    assert count == 2, "a family each"

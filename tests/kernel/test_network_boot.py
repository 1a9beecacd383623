"""A folder that the server of a network may not read is refused before anything is made."""

from __future__ import annotations

from .place import Place

LAB = """\
lab: boot
networks:
  lan: {kind: host-only, tftp: files, bootfile: boot.ipxe}
"""


def test_a_closed_folder_is_refused_and_an_open_one_served(place: Place) -> None:
    files = place.folder / "files"
    files.mkdir()
    (files / "boot.ipxe").write_text("#!ipxe\n")
    (files / "boot.ipxe").chmod(0o600)
    (place.folder / "qlan.yaml").write_text(LAB)
    empty = place.snapshot()
    refused = place.qlan("up", check=False)
    assert refused.returncode != 0
    assert f"chmod o+r {files}/boot.ipxe" in refused.stderr
    assert place.snapshot() == empty
    for path in (files, files / "boot.ipxe"):
        path.chmod(0o755)
    place.qlan("up")
    assert f"TFTP root is {files}" in (place.run_dir / "boot/dnsmasq/lan/log").read_text()
    assert place.plan(place.folder / "qlan.yaml") == []
    place.qlan("down")

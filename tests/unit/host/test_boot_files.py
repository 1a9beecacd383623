"""What dnsmasq may read, by the rights of files; a real dnsmasq reads them in tests/guest/test_network_boot.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from qlan.host.boot_files import find_fault


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """pytest's own folders are closed to others: what is above is not looked at in the rootless cases."""
    files = tmp_path / "boot"
    files.mkdir()
    files.chmod(0o755)
    (files / "boot.ipxe").write_text("#!ipxe\n")
    (files / "boot.ipxe").chmod(0o644)
    return files


def test_what_everybody_may_read_is_fine(folder: Path) -> None:
    assert find_fault(folder, "boot.ipxe", on_host=False) is None
    assert find_fault(folder, "/boot.ipxe", on_host=False) is None
    assert find_fault(folder, "http://10.1.1.1/x", on_host=False) is None
    assert find_fault(folder, None, on_host=False) is None


def test_a_file_that_others_may_not_read(folder: Path) -> None:
    (folder / "boot.ipxe").chmod(0o640)
    fault = find_fault(folder, "boot.ipxe", on_host=False)
    assert fault is not None
    assert fault[0].endswith(f"{folder}/boot.ipxe is not")
    assert fault[1].startswith(f"chmod o+r {folder}/boot.ipxe")


def test_on_the_host_every_folder_above_counts(folder: Path) -> None:
    folder.parent.chmod(0o700)
    fault = find_fault(folder, "boot.ipxe", on_host=True)
    assert fault is not None
    assert "may not enter" in fault[0]


def test_a_file_in_place_of_the_folder(folder: Path) -> None:
    file = folder / "boot.ipxe"
    file.chmod(0o600)
    for on_host in (False, True):
        fault = find_fault(file, None, on_host=on_host)
        assert fault == (f"{file} is a file, and `tftp` wants a folder", "name one: /srv/tftp is the usual one")


def test_what_is_missing_is_told_elsewhere(folder: Path) -> None:
    assert find_fault(folder / "missing", None, on_host=False) is None
    assert find_fault(folder, "missing", on_host=False) is None

"""`qlan run`: one guest without a file.  The disk is empty and the machine paused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ..kernel.place import IS_ROOT, Place
from .conftest import USER_LINE

AS_USER = ["--user", USER_LINE.split()[1]] if IS_ROOT else []
TINY = [*AS_USER, "--memory", "16M", "--accel", "tcg"]


@pytest.fixture
def disk(place: Place) -> Path:
    path = place.folder / "Tiny_Disk.v2.img"
    path.write_bytes(b"\0" * (1 << 20))
    path.chmod(0o666)
    return path


def test_run_and_down(place: Place, disk: Path) -> None:
    done = place.qlan("run", disk.name, *TINY, "--", "-S")
    found = re.fullmatch(
        r"guest tiny-disk runs \(\d+\.\d s\)\n"
        r"  127\.0\.0\.1:(\d+) -> 22/tcp   qlan ssh tiny-disk\n"
        r"  serial console: qlan console tiny-disk\n"
        r"  take it down:   qlan down -l tiny-disk\n",
        done.stdout,
    )
    assert found, done.stdout
    again = place.qlan("run", disk.name, *TINY, "--", "-S")
    assert again.stdout.startswith("guest tiny-disk runs already: nothing to do\n")
    other = place.qlan("run", disk.name, *TINY, "--cpus", "2", "--", "-S", check=False)
    assert other.returncode == 4
    assert "a guest named `tiny-disk` is up already, started with other words" in other.stderr
    assert place.qlan("down", "-l", "tiny-disk", "--force").stdout == "lab tiny-disk: removed 1 guest\n"
    assert place.processes() == []
    port = found[1]
    assert f":{port} -> 22" in place.qlan("run", disk.name, *TINY, "--", "-S").stdout  # the same one again
    place.qlan("down", "tiny-disk", "--force")  # it is the only guest of that name
    assert place.processes() == []


def forwards(place: Place, disk: Path, *words: str) -> list[tuple[str, int]]:
    done = place.qlan("run", disk.name, *TINY, "--json", *words, "--", "-S")
    place.qlan("down", "-l", "tiny-disk", "--force")
    return [(one["protocol"], one["guest_port"]) for one in json.loads(done.stdout)["forwards"]]


def test_forwards(place: Place, disk: Path) -> None:
    assert forwards(place, disk) == [("tcp", 22)]
    assert forwards(place, disk, "-p", "auto:80", "-p", "udp:auto:53") == [("tcp", 80), ("udp", 53), ("tcp", 22)]
    assert forwards(place, disk, "-p", "auto:22") == [("tcp", 22)]
    assert forwards(place, disk, "--nic", "none") == []


def test_the_nic_and_the_machine(place: Place, disk: Path) -> None:
    words = [*TINY, "--nic", "user,model=e1000,restrict=true", "--machine", "pc", "--cpus", "2", "--name", "odd"]
    place.qlan("run", disk.name, *words, "--", "-S", "-rtc", "base=localtime")
    shown = json.loads(place.qlan("show", "odd", "--json").stdout)["guest"]
    assert (shown["machine"], shown["cpus"], shown["memory_bytes"]) == ("pc", 2, 16 << 20)
    assert (shown["nics"][0]["model"], shown["nics"][0]["gateway"]) == ("e1000", "")
    [(_, line)] = [one for one in place.processes() if "-name odd" in one[1]]
    assert line.rstrip().endswith("-S -rtc base=localtime")
    place.qlan("down", "odd", "--force")


def test_a_lab_of_that_name_is_left_alone(place: Place, disk: Path) -> None:
    (place.folder / "qlan.yaml").write_text(f"lab: tiny-disk\n{USER_LINE}guests: {{}}\nnetworks: {{lan: private}}\n")
    place.qlan("up")
    done = place.qlan("run", disk.name, *TINY, check=False)
    assert done.returncode == 4
    assert f"a lab named `tiny-disk` is up, from {place.folder / 'qlan.yaml'}" in done.stderr
    place.qlan("down")


def test_what_cannot_be(place: Place, disk: Path) -> None:
    done = place.qlan("run", "nosuch.img", *TINY, check=False)
    assert done.returncode == 2
    assert "there is no disk" in done.stderr
    done = place.qlan("run", disk.name, *TINY, "--", "-nosuch-option", check=False)
    assert done.returncode == 3
    assert "QEMU does not start: -nosuch-option: invalid option" in done.stderr
    assert place.processes() == []
    assert place.qlan("status", "--all").stdout == "no lab is up\n"

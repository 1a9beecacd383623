"""systemd-resolved, a real one in a mount and a network namespace of the test's own, learns of a lab's names."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .box import DBUS, box
from .place import IS_ROOT, Place
from .test_edit import edit

_PACKAGES = Path(os.environ.get("QLAN_BENCH_PEERS", "/nonexistent"))
_PACKAGE = next(iter(_PACKAGES.glob("systemd-resolved_*.deb")), None)

pytestmark = [
    pytest.mark.skipif(not IS_ROOT, reason="of the machine's own links, which are root's: in the run as root"),
    pytest.mark.skipif(_PACKAGE is None, reason="without Debian's systemd-resolved (scripts/fetch_peers.sh)"),
    pytest.mark.skipif(DBUS is None, reason="without dbus-daemon"),
]

LAB = f"""\
lab: shop
user: {os.environ.get("QLAN_TEST_USER", "nobody")}
networks:
  lan: {{kind: host-only, subnet: 10.81.0.0/24}}
  more: {{kind: host-only, subnet: 10.82.0.0/24}}
  mute: {{kind: host-only, subnet: 10.83.0.0/24, dns: false}}
guests:
  web: {{qemu_args: [-S], memory: 16M, accel: tcg, nics: [{{network: lan, address: 10.81.0.9}}]}}
  box: {{qemu_args: [-S], memory: 16M, accel: tcg, nics: [{{network: more, address: 10.82.0.9}}]}}
"""
# $1: the unpacked package
BOX = """
cp "$1/usr/bin/resolvectl" /run/bin
mount --bind /run/bin /usr/local/sbin
"$(ls -d "$1"/lib/systemd/systemd-resolved "$1"/usr/lib/systemd/systemd-resolved 2>/dev/null | head -n 1)" || :
"""


@pytest.fixture
def there(place: Place, tmp_path: Path) -> Iterator[Place]:
    assert _PACKAGE is not None
    subprocess.run(["dpkg-deb", "-x", str(_PACKAGE), str(tmp_path / "x")], check=True)
    with box(place, tmp_path, BOX, str(tmp_path / "x")) as (one, process):
        deadline = time.monotonic() + 20
        while "Global" not in one.run("resolvectl", "dns", check=False).stdout:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.1)
        yield one


def known(place: Place, what: str) -> str:
    """What it says of links that have any."""
    lines = place.run("resolvectl", what).stdout.splitlines()
    return "\n".join(line.partition("(")[2] for line in lines if line.startswith("Link") and line.rstrip()[-1] != ":")


def asks(place: Place, name: str) -> str:
    return place.run("resolvectl", "query", "--legend=no", name, check=False).stdout


def test_the_machine_resolves_names_of_guests(there: Place) -> None:
    file = there.folder / "qlan.yaml"
    file.write_text(LAB)
    there.qlan("up", "--no-wait")
    assert there.plan(file) == []
    assert sorted(line.split()[-1] for line in known(there, "dns").splitlines()) == ["10.81.0.1", "10.82.0.1"]
    assert [line.split()[-1] for line in known(there, "domain").splitlines()] == ["~shop", "~shop"]
    assert "10.81.0.9" in asks(there, "web.shop")
    assert "10.82.0.9" in asks(there, "box.shop"), "that the other network's server does not know it is no answer"
    bridge = known(there, "dns").partition(")")[0]
    there.run("resolvectl", "revert", bridge)
    assert [line.split()[:2] for line in there.plan(file)] in ([["+", "linkdns/lan"]], [["+", "linkdns/more"]])
    there.qlan("up", "--no-wait")
    assert len(known(there, "dns").splitlines()) == 2
    edit(file, "subnet: 10.82.0.0/24}", "subnet: 10.82.0.0/24, dns: false}")
    there.qlan("up", "--no-wait")
    assert len(known(there, "dns").splitlines()) == 1
    there.qlan("down", "--force")
    assert known(there, "dns") == ""


def test_where_it_has_ended_the_lab_goes_on(there: Place) -> None:
    file = there.folder / "qlan.yaml"
    file.write_text(LAB)
    there.qlan("up", "--no-wait")
    there.run("sh", "-c", "kill $(pidof systemd-resolved); while pidof systemd-resolved; do sleep 0.1; done; :")
    there.qlan("status")
    there.qlan("up", "--no-wait")
    there.qlan("down", "--force")
    assert there.processes() == []

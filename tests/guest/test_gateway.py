"""examples/gateway.yaml: a client on a private network reaches the outside through a guest, and only through it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.place import IS_ROOT, throw_away
from tests.kernel.world import BEYOND, HERE, World, world

from .driver import GuestShell
from .lab import TEST_USER
from .machine import GuestImage
from .test_ways_out import PAGE, web_server

EXAMPLE = Path(__file__).parents[2] / "examples" / "gateway.yaml"


@pytest.fixture
def there(guest_image: GuestImage) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="ql") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with throw_away(folder) as place, world(place) as one, web_server(one, folder / "www"):
            (folder / "guest").mkdir()
            for path in (guest_image.vmlinux, guest_image.initrd_full):
                shutil.copy(path, folder / "guest")
            user = f"user: {TEST_USER}\n" if IS_ROOT else ""
            text = EXAMPLE.read_text(encoding="utf-8").replace("memory:", "accel: tcg\n    memory:")
            (folder / "qlan.yaml").write_text(user + text)
            one.machine.qlan("up", "--timeout", "240", timeout=300)
            try:
                yield one
            finally:
                one.machine.qlan("down", "--force")


def shell(there: World, name: str) -> GuestShell:
    return GuestShell(there.machine.run_dir / "gateway" / "guest" / name / "serial")


def test_a_client_gets_out_by_the_router_alone(there: World) -> None:
    words = next(line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if "masquerade" in line)
    command = words.partition("echo '")[2].rpartition("' | qlan console gateway")[0]
    with shell(there, "gateway") as gateway, shell(there, "client") as client:
        assert client.run("ip route show default").split()[:3] == ["default", "via", "10.20.60.254"]
        get = f"timeout 3 wget -qO- http://{BEYOND}/"
        assert client.try_run(get).status != 0, "its address means nothing beyond the gateway"
        gateway.run(command)
        assert client.wait_for(get, timeout_s=30).strip() == PAGE
        assert HERE in (there.machine.folder / "www" / "log").read_text()
        gateway.run("echo 0 >/proc/sys/net/ipv4/ip_forward")
        assert client.try_run(get).status != 0, "there is no other way"

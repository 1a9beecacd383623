"""A booted guest behind passt: its addresses, a page through a forward, the way outside, and passt killed under it."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.place import throw_away
from tests.kernel.world import BEYOND, HERE, HERE6, World, run, world

from .lab import filled
from .machine import GuestImage
from .test_ways_out import PAGE, guest, web_server

pytestmark = pytest.mark.guest

LAB = """\
lab: demo
guests:
  web: {KERNEL, nics: [{user: {backend: passt}, forwards: ["18080-18081:80-81", "0.0.0.0:18090:80"]}]}
"""
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"


@pytest.fixture(scope="module")
def there(guest_image: GuestImage) -> Iterator[World]:
    """The lab up on a machine with both families, and a web server outside."""
    with tempfile.TemporaryDirectory(prefix="ql") as folder:
        Path(folder).chmod(0o755)
        with throw_away(Path(folder)) as place, world(place) as one, web_server(one, Path(folder) / "www"):
            (place.folder / "qlan.yaml").write_text(filled(guest_image, LAB))
            one.machine.qlan("up")
            try:
                yield one
            finally:
                one.machine.qlan("down", "--force")


def fetched(there: World, url: str, *, outside: bool = False) -> str:
    """A page, as a program on the machine or outside gets it."""
    return run(*(there.outside if outside else there.here), sys.executable, "-c", FETCH, url).strip()


def test_the_guest_gets_its_addresses_and_reaches_outside(there: World) -> None:
    with guest(there, "web") as web:
        assert str(web.wait_for_lease(timeout_s=120)) == "10.0.2.15/24"
        assert PAGE in web.run(f"wget -qO- http://{BEYOND}/")
        web.wait_for(f"ip -6 addr show dev eth0 | grep {HERE6[:-2]}")
    assert HERE in (there.machine.folder / "www" / "log").read_text()


def test_a_page_through_its_forwards(there: World) -> None:
    with guest(there, "web") as web:
        web.wait_for_lease(timeout_s=120)
        web.run("httpd -p 81 -h /www")
    page = fetched(there, "http://127.0.0.1:18080/")
    assert page
    assert fetched(there, "http://127.0.0.1:18081/") == page
    assert fetched(there, f"http://{HERE}:18090/", outside=True) == page
    with pytest.raises(Exception, match="non-zero exit status"):
        fetched(there, f"http://{HERE}:18080/", outside=True)


def test_passt_killed_is_drift_and_up_plugs_the_nic_in_anew(there: World) -> None:
    page = fetched(there, "http://127.0.0.1:18080/")
    [(pid, _)] = [one for one in there.machine.processes() if one[1].startswith("passt ")]
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    status = json.loads(there.machine.qlan("status", "--json", check=False).stdout)["labs"][0]
    assert status["guests"][0]["nics"][0]["link"] == "cut"
    there.machine.qlan("up")
    with guest(there, "web") as web:
        web.wait_for("ip -4 addr show dev eth0 | grep 10.0.2.15")
    assert fetched(there, "http://127.0.0.1:18080/") == page
    assert there.machine.plan(there.machine.folder / "qlan.yaml") == []

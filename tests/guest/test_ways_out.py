"""Booted guests on networks that lead outside: who reaches whom, and who does not."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from tests.kernel.place import IS_ROOT, throw_away
from tests.kernel.world import BEYOND, BEYOND6, HERE, HERE6, THERE, World, world

from .driver import GuestShell
from .lab import filled
from .machine import GuestImage

PAGE = "a page from outside"
LAB = """\
lab: demo
networks:
  out: nat
  far: {kind: nat, reach: out}
  lan: host-only
guests:
  web: {KERNEL, nics: [{network: out, forwards: ["0.0.0.0:8080:80", "8081:80"]}]}
  far: {KERNEL, nics: [far]}
  in: {KERNEL, nics: [{network: lan, forwards: ["0.0.0.0:8090:80"]}]}
"""


@pytest.fixture(scope="module")
def there(guest_image: GuestImage) -> Iterator[World]:
    """The lab up, with a web server outside."""
    with tempfile.TemporaryDirectory(prefix="ql") as folder:
        Path(folder).chmod(0o755)
        with throw_away(Path(folder)) as place, world(place) as one, web_server(one, Path(folder) / "www"):
            (place.folder / "qlan.yaml").write_text(filled(guest_image, LAB))
            one.machine.qlan("up", "--timeout", "240", timeout=300)
            try:
                yield one
            finally:
                one.machine.qlan("down", "--force")


@contextmanager
def web_server(there: World, folder: Path) -> Iterator[None]:
    folder.mkdir()
    (folder / "index.html").write_text(PAGE)
    words = [*there.outside, "python3", "-m", "http.server", "80", "--bind", "::", "--directory", str(folder)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            yield
        finally:
            server.kill()
            server.wait()


def guest(there: World, name: str) -> GuestShell:
    return GuestShell(there.machine.run_dir / "demo" / "guest" / name / "serial")


def address(there: World, name: str, family: str = "") -> str:
    guests = json.loads(there.machine.qlan("status", "--json").stdout)["labs"][0]["guests"]
    return next(str(one["nics"][0][f"address{family}"]) for one in guests if one["name"] == name)


def gateway(there: World, name: str, family: str = "") -> str:
    own = address(there, name, family)
    return str(IPv6Network(f"{own}/64", strict=False)[1]) if family else own.rpartition(".")[0] + ".1"


def reaches(shell: GuestShell, to: str) -> bool:
    return shell.try_run(f"ping -c 1 -W 2 {to}").status == 0


def test_guests_reach_the_outside_behind_the_host_s_address(there: World) -> None:
    with guest(there, "web") as web:
        web.wait_for("ip -6 route show default | grep via", timeout_s=60)
        web.wait_for("ip -6 address show dev eth0 | grep global | grep -v tentative", timeout_s=60)
        for target in (BEYOND, f"[{BEYOND6}]"):
            assert web.run(f"wget -qO- http://{target}/").strip() == PAGE
        assert reaches(web, BEYOND6)
    log = (there.machine.folder / "www" / "log").read_text()
    assert HERE in log and HERE6 in log
    with guest(there, "in") as inner:
        for target in (BEYOND, f"[{BEYOND6}]"):
            assert inner.try_run(f"wget -qO- http://{target}/").status != 0, "a host-only network leads nowhere"


def test_published_ports_and_whom_the_guest_sees(there: World) -> None:
    """From beyond the LAN, from the machine itself, by its loopback address, and from the guest's own network."""

    def caller(fetch: Callable[..., str], port: int, host: str = HERE) -> str:
        return fetch("curl", "-s", "--noproxy", "*", "--max-time", "20", f"http://{host}:{port}/cgi-bin/peer").strip()

    own, inner = gateway(there, "web"), gateway(there, "in")
    assert caller(there.at_outside, 8080) == THERE, "the client's own address"
    assert caller(there.on_machine, 8080) == HERE
    assert caller(there.on_machine, 8080, "127.0.0.1") == own
    assert caller(there.on_machine, 8081, "127.0.0.1") == own
    assert caller(there.at_outside, 8090) == inner, "who knows no gateway is called from next to it"
    if IS_ROOT:
        with guest(there, "web") as web:  # hairpin
            assert web.run(f"wget -qO- http://{HERE}:8080/cgi-bin/peer").strip() == own
        words = ("nft", "-j", "list", "table", "inet", "qlan.demo.out.ports")
        rules = [row["rule"]["expr"] for row in json.loads(there.on_machine(*words))["nftables"] if "rule" in row]
        [led] = [rule[-2]["counter"]["packets"] for rule in rules if {"accept": None} in rule]
        assert led > 0


@pytest.mark.parametrize("family", ["", "6"])
def test_networks_reach_each_other_only_as_the_file_says(there: World, family: str) -> None:
    web, far, inner = (address(there, name, family) for name in ("web", "far", "in"))
    with guest(there, "far") as shell:
        assert reaches(shell, web), "far says `reach: out`"
        assert not reaches(shell, inner)
        assert reaches(shell, gateway(there, "far", family))
    with guest(there, "web") as shell:
        assert not reaches(shell, far), "out says nothing of far"
        assert not reaches(shell, inner)
        assert reaches(shell, gateway(there, "web", family))


@pytest.mark.skipif(not IS_ROOT, reason="a rootless lab's addresses are nowhere to be routed to: in the run as root")
@pytest.mark.parametrize(("family", "host"), [("", HERE), ("6", HERE6)])
def test_the_outside_does_not_reach_guests(there: World, family: str, host: str) -> None:
    web = address(there, "web", family)
    there.at_outside("ip", "route", "add", web, "via", host)
    ping = [*there.outside, "ping", "-c", "1", "-W", "2", web]
    assert subprocess.run(ping, capture_output=True, check=False).returncode != 0
    there.on_machine("ping", "-c", "1", "-W", "2", web)

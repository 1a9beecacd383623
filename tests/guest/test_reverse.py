"""`qlan forward --reverse`: a service of this machine for one guest on a bridged network, and for no other."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from qlan import reversing
from qlan.errors import UsageError
from qlan.resources.model import ReversePort

from .lab import BootedLab, booted
from .machine import GuestImage

pytestmark = pytest.mark.guest

TEXT = """\
lab: back
networks:
  lan: {kind: host-only, subnet: 10.87.0.0/24}
  apart: private
guests:
  web: {KERNEL, nics: [lan, user]}
  db: {KERNEL, nics: [lan, apart]}
"""

LISTED = '[{network: lan, reverse: ["5432:%d"]}, apart]'


@contextmanager
def service(answer: bytes) -> Iterator[int]:
    """On this machine's loopback: says its word to whoever connects; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def qlan(*words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "qlan", *words], text=True, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done.stderr if code else done.stdout


def said(lab: BootedLab, guest: str, port: int) -> str:
    return lab.shell(guest).try_run(f"nc -w 5 10.87.0.1 {port} < /dev/null", timeout_s=20).output.strip()


def test_a_service_of_this_machine_for_one_guest(guest_image: GuestImage) -> None:
    with booted(guest_image, TEXT) as lab, service(b"hello from here\n") as port, service(b"second\n") as other:
        text = qlan("forward", "add", "back/web", f"5432:{port}", "--reverse")
        assert text == f"web: 10.87.0.1:5432/tcp -> 127.0.0.1:{port} of this machine\n"
        assert said(lab, "web", 5432) == "hello from here"
        assert "hello" not in said(lab, "db", 5432), "nobody else is let through"
        [one] = reversing.add(lab.lab, "db", [f"5433:127.0.0.1:{other}"], 0)
        assert isinstance(one, ReversePort)
        assert said(lab, "db", 5433) == "second"
        assert f"10.87.0.1:5432 -> 127.0.0.1:{port}/tcp" in qlan("forward", "list", "-l", "back")
        assert not lab.lab.status().drift
        assert "+ reverse/web/0/tcp:10.87.0.1:5432" in lab.lab.status().unsaved
        refuses(lab, port)

        outlet = next(row.owner for row in reversing.listed(lab.lab)).split()[-1].rstrip(")")
        subprocess.run(["kill", "-9", outlet], check=True)
        assert lab.lab.status().drift
        lab.lab.repair()
        assert said(lab, "web", 5432) == "hello from here", "repaired"

        qlan("forward", "remove", "back/db", "5433", "--reverse")
        assert "Connection refused" in said(lab, "db", 5433)
        assert said(lab, "web", 5432) == "hello from here"
        qlan("forward", "remove", "back/web", f"5432:{port}", "--reverse")
        assert "Connection refused" in said(lab, "web", 5432)
        assert lab.lab.status().unsaved == ()
        assert not lab.lab.layout.outlet.exists(), "with the last one the process goes"


def test_written_in_the_file(guest_image: GuestImage) -> None:
    with service(b"from the file\n") as port, booted(guest_image, TEXT.replace("[lan, apart]", LISTED % port)) as lab:
        for guest in ("db", "web"):  # the server has noted its lease a moment before it has it itself
            lab.shell(guest).wait_for_lease()
        assert said(lab, "db", 5432) == "from the file"
        assert "from the file" not in said(lab, "web", 5432), "nobody else is let through"
        assert not lab.lab.plan()
        source = lab.lab.record.source if lab.lab.record else None
        assert source is not None
        qlan("forward", "add", "back/web", f"6000:{port}", "--reverse", "--save")
        assert f'{{network: lan, reverse: ["6000:{port}"]}}' in source.read_text()
        assert lab.lab.status().unsaved == ()
        qlan("forward", "remove", "back/db", "5432", "--reverse", "--save")
        assert "5432" not in source.read_text()
        qlan("up", "--no-wait", "-f", str(source))
        assert said(lab, "web", 6000) == "from the file", "`up` of the file keeps it"
        assert "Connection refused" in said(lab, "db", 5432)
        qlan("nic", "detach", "back/web/0")
        assert not reversing.listed(lab.lab), "it goes with its NIC"


def refuses(lab: BootedLab, port: int) -> None:
    text = qlan("forward", "add", "back/web", "7000:7001", "--reverse", "--nic", "1", code=2)
    assert "NIC 1 of guest `web` is on user-mode networking, which takes no more while it runs" in text
    assert "hint:  10.0.2.2:7001 is this machine's 127.0.0.1 in the guest" in text
    assert "leads already to 127.0.0.1" in qlan("forward", "add", "back/db", f"5432:{port}", "--reverse", code=4)
    assert "NIC 1 of guest `db` is on nothing" in qlan(
        "forward", "add", "back/db", "1:1", "--reverse", "--nic", "1", code=2
    )
    with pytest.raises(UsageError, match="names an address on the guest's side"):
        reversing.add(lab.lab, "db", ["10.87.0.1:80:80"])
    with pytest.raises(UsageError, match="has no `auto` port"):
        reversing.add(lab.lab, "db", ["auto:80"])
    with pytest.raises(UsageError, match="has no reverse forward of port 1/tcp"):
        reversing.remove(lab.lab, "db", ["1"])

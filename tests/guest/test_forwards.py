"""A page fetched through each way into a booted guest, the caller as the guest's own web server sees it, and changes
while it runs."""

from __future__ import annotations

import hashlib
import socket
import urllib.request

import pytest

from qlan import forwarding

from .lab import BootedLab, booted
from .machine import GuestImage

pytestmark = pytest.mark.guest

TEXT = """\
lab: ports
networks:
  lan: {kind: host-only, subnet: 10.66.0.0/24}
guests:
  web: {KERNEL, nics: [{network: lan, forwards: ["auto:80", "auto:8080"]}, {user: true, forwards: ["auto:80"]}]}
"""


def ports(lab: BootedLab) -> list[int]:
    [guest] = lab.lab.status().guests
    return [int(word.split(" ")[0].rpartition(":")[2]) for nic in guest.nics for word in nic.forwards]


def fetch(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30) as page:
        return bytes(page.read())


def seen_as(port: int) -> str:
    return fetch(port, "cgi-bin/peer").decode().strip()


def test_a_page_through_every_way_in(guest_image: GuestImage) -> None:
    with booted(guest_image, TEXT) as lab:
        web, nobody, slirp = ports(lab)
        assert seen_as(web) == "10.66.0.1"
        assert seen_as(slirp) == "10.0.2.2"
        lab.sh("web", "dd if=/dev/urandom of=/www/big bs=1k count=2000")
        checksum = lab.sh("web", "md5sum /www/big").split()[0]
        assert hashlib.md5(fetch(web, "big"), usedforsecurity=False).hexdigest() == checksum
        for nic, seen in ((0, "10.66.0.1"), (1, "10.0.2.2")):
            _, [one] = forwarding.add(lab.lab, "web", ["auto:80"], nic)
            assert seen_as(one.host_port) == seen
            with socket.create_connection(("127.0.0.1", one.host_port), timeout=20) as early:
                early.sendall(b"GET /cgi-bin/peer HTTP/1.0\r\n")
                forwarding.remove(lab.lab, "web", [str(one.host_port)])
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", one.host_port), timeout=20)
                early.sendall(b"\r\n")  # what is open goes on
                early.settimeout(20)
                assert seen.encode() in b"".join(iter(lambda: early.recv(9000), b""))
        with pytest.raises(ConnectionResetError), socket.create_connection(("127.0.0.1", nobody), timeout=20) as one:
            one.recv(1)

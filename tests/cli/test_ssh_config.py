"""`qlan ssh-config`: real ssh, through the real network of a lab, to something that speaks at the guest's address."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ..kernel.place import IS_ROOT, Place

SPEAKER = """
import socket, sys
server = socket.create_server((sys.argv[1], 22))
print("ready", flush=True)
client, _ = server.accept()
client.sendall(b"SSH-2.0-speaker\\r\\n")
print(client.recv(200).split(b"\\r\\n")[0].decode(), flush=True)
"""
needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh is installed")


def in_home(place: Place, *words: str) -> str:
    return place.run("env", f"HOME={place.folder}", sys.executable, "-m", "qlan", *words).stdout


@needs_ssh
def test_ssh_by_name_reaches_the_guests_address(shop_up: Place) -> None:
    status = json.loads(shop_up.qlan("status", "--json").stdout)
    web = next(one for one in status["labs"][0]["guests"] if one["name"] == "web")
    address = web["nics"][0]["address"]
    [bridge] = re.findall(r"bridge +(\S+)", shop_up.qlan("show", "lan").stdout)
    shop_up.qlan("exec", "--", "ip", "address", "add", f"{address}/24", "dev", bridge)
    config = shop_up.folder / "ssh.conf"
    config.write_text(shop_up.qlan("ssh-config").stdout)
    argv = [*shop_up.enter, sys.executable, "-m", "qlan", "exec", "--", "python3", "-c", SPEAKER, address]
    speaker = subprocess.Popen(
        argv, stdout=subprocess.PIPE, text=True, cwd=shop_up.folder, env=dict(shop_up.environment)
    )
    try:
        assert speaker.stdout and speaker.stdout.readline() == "ready\n"
        shop_up.run("ssh", "-v", "-F", str(config), "-o", "BatchMode=yes", "web.shop", "true", check=False, timeout=30)
        assert speaker.stdout.readline().startswith("SSH-2.0-OpenSSH")
    finally:
        speaker.kill()
        speaker.wait()


@needs_ssh
def test_who_is_not_there_is_told(shop_up: Place) -> None:
    config = shop_up.folder / "ssh.conf"
    config.write_text(shop_up.qlan("ssh-config").stdout)
    said = shop_up.run("ssh", "-F", str(config), "wep.shop", "true", check=False, timeout=30).stderr
    assert "no guest `wep` in this lab" in said
    shown = shop_up.run("ssh", "-G", "-F", str(config), "web.other").stdout
    assert "proxycommand" not in shown


@needs_ssh
def test_a_guest_without_a_server_is_told_in_words(shop_up: Place) -> None:
    """The guest's address is the bridge's own here: it refuses, as a guest without an sshd does."""
    status = json.loads(shop_up.qlan("status", "--json").stdout)
    address = next(one for one in status["labs"][0]["guests"] if one["name"] == "web")["nics"][0]["address"]
    [bridge] = re.findall(r"bridge +(\S+)", shop_up.qlan("show", "lan").stdout)
    shop_up.qlan("exec", "--", "ip", "address", "add", f"{address}/24", "dev", bridge)
    config = shop_up.folder / "ssh.conf"
    config.write_text(shop_up.qlan("ssh-config").stdout)
    said = [shop_up.run("ssh", "-F", str(config), "web.shop", "true", check=False, timeout=30).stderr]
    if not IS_ROOT:  # in the host realm ssh itself connects
        said.append(shop_up.qlan("ssh", "web", "true", check=False, timeout=30).stderr)
    for text in said:
        assert text.splitlines()[:2] == [
            f"qlan: error: connection refused by {address} (guest `shop/web`): nothing listens on port 22 there",
            "  hint:  start its SSH server: qlan console shop/web",
        ]


def test_install_is_idempotent_and_taken_back(shop_up: Place) -> None:
    folder = shop_up.folder / ".ssh"
    folder.mkdir(mode=0o700)
    config = folder / "config"
    config.write_text("Host old\n    User me\n")
    config.chmod(0o600)
    assert "works now" in in_home(shop_up, "ssh-config", "--install")
    first = config.read_text()
    assert first.endswith("Host old\n    User me\n")
    assert "Include qlan/*.conf" in first
    assert "already" in in_home(shop_up, "ssh-config", "--install")
    assert config.read_text() == first
    assert (folder / "qlan" / "shop.conf").read_text() == in_home(shop_up, "ssh-config")
    assert config.stat().st_mode & 0o777 == 0o600
    in_home(shop_up, "ssh-config", "--uninstall")
    assert config.read_text() == "Host old\n    User me\n"
    assert sorted(path.name for path in folder.iterdir()) == ["config"]
    assert "was not" in in_home(shop_up, "ssh-config", "--uninstall")


def test_a_home_without_ssh(shop_up: Place) -> None:
    in_home(shop_up, "ssh-config", "--install")
    config = Path(shop_up.folder) / ".ssh" / "config"
    assert config.stat().st_uid == os.geteuid()
    assert config.stat().st_mode & 0o077 == 0

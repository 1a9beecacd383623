"""Bridges that somebody else made: TAPs of ours come and go on them, and nothing else about them changes.

An ordinary user gets there by QEMU's own setuid helper.  Those tests run in a mount namespace with copies of /etc, of
the helper's folder and of dpkg's data, so that they may give and take what this machine must not notice.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from qlan.host.bridge_access import find_helper
from tests.unit.host.test_bridge_access import LISTS

from .place import IS_ROOT, Place, throw_away

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="only root makes bridges in this machine's network")

USER = os.environ.get("QLAN_TEST_USER", "nobody")
HELPER = find_helper()
LAB = """\
lab: demo
%snetworks: {office: {kind: bridge, bridge: br0}, lan: {kind: private}}
guests:
  web: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [office, lan]}
"""


def wrote(place: Place, text: str = LAB % f"user: {USER}\n") -> str:
    file = place.folder / "qlan.yaml"
    file.write_text(text)
    file.chmod(0o644)
    return str(file)


def make_bridge(place: Place) -> None:
    place.run("ip", "link", "add", "br0", "address", "02:00:00:00:00:99", "type", "bridge")
    place.run("ip", "link", "set", "br0", "mtu", "1400", "up")


def row(place: Place, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(place.run("ip", "-j", "-d", "link", "show", "dev", name).stdout)[0]
    return {key: found.get(key) for key in ("ifname", "mtu", "address", "ifalias", "group", "ifindex")}


def ports(place: Place) -> list[str]:
    rows = json.loads(place.run("ip", "-j", "link", "show", "master", "br0").stdout or "[]")
    return [row["ifname"] for row in rows if row]


def test_a_tap_comes_and_goes_and_the_bridge_stays_as_it_was(place: Place) -> None:
    make_bridge(place)
    file = wrote(place)
    before = row(place, "br0")
    place.qlan("up", "-f", file)
    [tap] = ports(place)
    assert row(place, tap)["mtu"] == 1400, "a smaller port would lower the bridge's MTU, a larger one would be cut"
    assert str(row(place, tap)["address"]).startswith("fe:"), "a low MAC would become the bridge's"
    assert place.plan(Path(file)) == []
    place.run("ip", "link", "set", "dev", tap, "nomaster")
    assert place.plan(Path(file)) == ["~ tap/web/0  bridge:  -> br0"]
    place.qlan("up", "-f", file)
    assert ports(place) == [tap]
    assert row(place, "br0") == before
    place.qlan("down", "-f", file, "--force")
    assert ports(place) == []
    assert row(place, "br0") == before


def test_a_bridge_made_anew_gets_its_ports_back(place: Place) -> None:
    make_bridge(place)
    file = wrote(place)
    place.qlan("up", "-f", file)
    place.run("ip", "link", "del", "br0")
    refused = place.qlan("up", "-f", file, check=False)
    assert refused.returncode == 2
    assert "there is no bridge `br0` on this machine" in refused.stderr
    make_bridge(place)
    place.qlan("up", "-f", file)
    assert len(ports(place)) == 1
    place.run("ip", "link", "del", "br0")
    place.qlan("down", "-f", file, "--force")
    assert place.processes() == []


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        ([], "there is no bridge `br0` on this machine"),
        (["link add br0 type veth peer name br1"], "`br0` is no bridge but a veth"),
        (["link add br0 type bridge"], "the bridge `br0` is down"),
        (
            ["link add br0 type bridge", "link set br0 alias qlan:other:bridge/br0 up"],
            "the bridge `br0` is lab other's, and goes with it",
        ),
    ],
)
def test_what_is_no_bridge_for_us(place: Place, commands: list[str], words: str) -> None:
    for command in commands:
        place.run("ip", *command.split())
    done = place.qlan("up", "-f", wrote(place), check=False)
    assert done.returncode == 2
    assert words in done.stderr


# --- by QEMU's helper


class UsersPlace(Place):
    """The same network, and a mount namespace of its own; `qlan` runs as an ordinary user."""

    def as_user(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        drop = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "env", f"HOME={self.folder}")
        return self.run(*drop, sys.executable, "-m", "qlan", *words, check=check)


@pytest.fixture
def users() -> Iterator[UsersPlace]:
    if USER == "nobody":
        pytest.skip("needs an ordinary user: QLAN_TEST_USER=NAME")
    if HELPER is None:
        pytest.skip("QEMU's bridge helper is not installed")
    with tempfile.TemporaryDirectory(prefix="ql") as name, throw_away(Path(name)) as place:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.chown(folder, USER)
        copies = [Path("/etc"), HELPER.parent, *(path for path in [Path("/var/lib/dpkg")] if path.exists())]
        binds = "".join(f"cp -a {path} $M/{number} && mount --bind $M/{number} {path} && "
                        for number, path in enumerate(copies))  # fmt: skip
        script = f"M={folder}/m; mkdir $M && mount -t tmpfs -o mode=755 m $M && {binds} echo ok && exec sleep infinity"
        holder = subprocess.Popen(
            [*place.enter, "unshare", "--mount", "--propagation", "private", "sh", "-ec", script],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert holder.stdout is not None
        try:
            if holder.stdout.readline() != b"ok\n":
                pytest.skip("no mount namespace with copies of /etc here")
            (folder / "r").mkdir()
            shutil.chown(folder / "r", USER)
            (folder / "s").mkdir()
            shutil.chown(folder / "s", USER)
            enter = ("nsenter", f"--target={holder.pid}", "--net", "--mount")
            one = UsersPlace(enter, place.run_dir, place.state_dir, folder)
            one.run("rm", "-rf", "/etc/qemu")
            one.run("chmod", "0755", str(HELPER))
            make_bridge(one)
            yield one
        finally:
            holder.kill()
            holder.wait()


def test_what_is_missing_is_said_and_put_right_and_taken_back(users: UsersPlace) -> None:
    file = wrote(users, LAB % "")
    refused = users.as_user("up", "-f", file, check=False)
    assert f"{HELPER} has no setuid bit" in refused.stderr
    assert "hint: sudo qlan host allow br0" in refused.stderr
    users.run("chmod", "4755", str(HELPER))
    refused = users.as_user("up", "-f", file, check=False)
    assert "there is no /etc/qemu/bridge.conf, and so nothing is allowed" in refused.stderr
    users.run("chmod", "0755", str(HELPER))
    before = tree(users)

    not_yet = users.qlan("host", "allow", "br0", check=False)
    assert not_yet.returncode == 2
    assert tree(users) == before, "nobody said yes"
    shown = users.qlan("host", "allow", "br0", "--yes").stdout
    assert "  + allow br0" in shown
    assert str(HELPER) in shown
    assert users.qlan("host", "allow", "br0", "--yes").stdout == "br0 is allowed already: nothing to do\n"

    users.as_user("up", "-f", file)
    [tap] = ports(users)
    assert tap.startswith("tap")
    assert "! " not in users.as_user("status", "-f", file).stdout
    said = users.as_user("show", "-f", file, "office").stdout
    assert f"TAPs on bridge br0, which somebody else made; {HELPER} makes them" in said
    users.run("ip", "link", "set", "dev", tap, "nomaster")
    plan = users.as_user("plan", "-f", file, check=False).stdout
    assert "nic/web/0" in plan, "the helper's TAP is off the bridge"
    users.as_user("restart", "-f", file, "--force", "web")  # a paused guest lets no card go
    assert len(ports(users)) == 1
    users.as_user("down", "-f", file, "--force")
    assert ports(users) == []

    users.qlan("host", "revoke", "br0", "--yes")
    assert tree(users) == before


def test_one_user_alone(users: UsersPlace) -> None:
    users.run("mkdir", "-m", "755", "/etc/qemu")
    users.run("sh", "-c", "printf 'deny secret\\n# end' >/etc/qemu/bridge.conf; chmod 644 /etc/qemu/bridge.conf")
    before = tree(users)
    users.qlan("host", "allow", "br0", "--user", USER, "--yes")
    own = users.run("stat", "-c", "%a %U %G", f"/etc/qemu/{USER}.conf").stdout.split()
    assert own == ["640", "root", USER]
    file = wrote(users, LAB % "")
    users.as_user("up", "-f", file)
    assert len(ports(users)) == 1
    users.as_user("nic", "-f", file, "attach", "web", "office")
    assert len(ports(users)) == 2, "QEMU has its helper make another while it runs"
    assert "! " not in users.as_user("status", "-f", file).stdout
    users.as_user("down", "-f", file, "--force")
    stranger = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    other = users.run(*stranger, str(HELPER), "--br=br0", "--fd=9", check=False)
    assert "access denied by acl file" in other.stderr, "a stranger got in"
    denied = users.qlan("host", "allow", "secret", "--yes", check=False)
    assert "`deny secret` wins over any allow\n  where: /etc/qemu/bridge.conf:1\n" in denied.stderr
    users.qlan("host", "revoke", "br0", "--user", USER, "--yes")
    assert tree(users) == before


def test_the_helper_reads_its_list_as_we_do(users: UsersPlace) -> None:
    """Its own words for every list that tests/unit/host/test_bridge_access.py has an opinion on."""
    users.run("mkdir", "-m", "755", "/etc/qemu")
    for text, why in LISTS:
        users.run("sh", "-c", 'printf %s "$1" >/etc/qemu/bridge.conf', "sh", text)
        said = users.run(str(HELPER), "--use-vnet", "--br=br0", "--fd=9", check=False).stderr
        refused = "access denied by acl file" in said or "failed to parse default acl file" in said
        assert refused == (why is not None), f"{text!r}: {said}"


def tree(place: Place) -> str:
    """Mode, owner, name and text of all that a grant may touch."""
    script = (
        f"stat -c '%a %u %g %n' {HELPER}; find /etc/qemu -exec stat -c '%a %u %g %n' {{}} + 2>/dev/null | sort; "
        "cat /etc/qemu/* 2>/dev/null; dpkg-statoverride --list 2>/dev/null; true"
    )
    return place.run("sh", "-c", script).stdout

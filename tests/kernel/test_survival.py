"""Killed parts, full disks, missing tools, many at once: the next `up` completes, the next `down` removes all."""

from __future__ import annotations

import json
import os
import pwd
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .place import IS_ROOT, Place

USER = f"user: {os.environ.get('QLAN_TEST_USER', 'nobody')}\n" if IS_ROOT else ""
LAB = (
    USER
    + """\
networks:
  lan: {kind: host-only}
  back: {kind: private, dhcp: true}
guests:
  web: {qemu_args: [-S], memory: 16M, accel: tcg, nics: [lan, back, {user: true, forwards: ["auto:22"]}]}
"""
)


def write(place: Place, name: str, text: str = LAB) -> str:
    file = place.folder / f"{name}.yaml"
    file.write_text(f"lab: {name}\n{text}")
    return str(file)


def up(place: Place, file: str, *words: str) -> subprocess.CompletedProcess[str]:
    return place.qlan("up", "--no-wait", "-f", file, *words, check=False)


def down(place: Place, file: str) -> subprocess.CompletedProcess[str]:
    return place.qlan("down", "--force", "-f", file, check=False)


def pids(place: Place, word: str) -> list[int]:
    return [pid for pid, words in place.processes() if words.startswith(word)]


def test_twenty_labs_at_once(place: Place) -> None:
    files = [write(place, f"lab{number}") for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        for done in pool.map(lambda file: up(place, file), files):
            assert done.returncode == 0, done.stderr
    labs = json.loads(place.qlan("status", "--all", "--json").stdout)["labs"]
    nics = [nic for lab in labs for guest in lab["guests"] for nic in guest["nics"]]
    addresses = [nic["address"] for nic in nics if nic["network"] != "user"]
    forwards = [str(word) for nic in nics for word in nic["forwards"]]
    assert (len(labs), len(nics), len(addresses), len(forwards)) == (20, 60, 40, 20)
    assert len({nic["mac"] for nic in nics}) == 60
    assert len(set(addresses)) == 40
    assert len(set(forwards)) == 20
    assert all(lab["drift"] == [] for lab in labs)
    with ThreadPoolExecutor(20) as pool:
        for done in pool.map(lambda file: down(place, file), files):
            assert done.returncode == 0, done.stderr
    assert place.processes() == []
    assert not place.run_dir.exists()


def test_two_ups_of_one_lab_at_once(place: Place) -> None:
    file = write(place, "demo")
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: up(place, file), range(2)))
    assert [done.returncode for done in both] == [0, 0], both
    assert sum("nothing to do" in done.stdout + done.stderr for done in both) == 1
    down(place, file)


def test_who_waits_too_long_is_told_who_holds_the_lock(place: Place) -> None:
    file = write(place, "demo")
    holder = subprocess.Popen(
        [*place.enter, sys.executable, "-c",
         "import sys, time, pathlib\nfrom qlan.lab import Lab\n"
         "with Lab.load(pathlib.Path(sys.argv[1])).locked():\n print(flush=True)\n time.sleep(60)", file],
        stdout=subprocess.PIPE, env=place.environment,
    )  # fmt: skip
    try:
        assert holder.stdout and holder.stdout.readline()
        done = up(place, file, "--lock-wait", "0.2")
        assert done.returncode == 4
        assert f"process {holder.pid}" in done.stderr
    finally:
        holder.kill()
        holder.wait()


def test_a_killed_qemu_comes_back(place: Place) -> None:
    file = write(place, "demo")
    up(place, file)
    (qemu,) = pids(place, "/usr/bin/qemu")
    os.kill(qemu, signal.SIGKILL)
    done = up(place, file)
    assert done.returncode == 0, done.stderr
    assert place.plan(Path(file)) == []
    assert len(pids(place, "/usr/bin/qemu")) == 1
    down(place, file)
    assert place.processes() == []


def test_who_is_not_named_is_left_alone(place: Place, lab: Path) -> None:
    """Neither `restart` nor `down` of one guest starts another that has ended, or plugs its cards anew."""
    place.qlan("up", "--no-wait")

    def guests() -> dict[str, dict[str, Any]]:
        [found] = json.loads(place.qlan("status", "--json").stdout)["labs"]
        return {one["name"]: one for one in found["guests"]}

    os.kill(guests()["box"]["pid"], signal.SIGKILL)
    for verb in (("restart", "--no-wait"), ("down",)):
        place.qlan(*verb, "--force", "web")
        assert guests().get("box", {}).get("state") != "running"
    place.qlan("up", "--no-wait")
    assert place.plan(lab) == []
    place.qlan("down", "--force")
    assert place.processes() == []


@pytest.mark.skipif(IS_ROOT, reason="the host realm has no holder: the same in the rootless run")
def test_a_killed_holder_comes_back_and_cut_guests_with_it(place: Place) -> None:
    file = write(place, "demo")
    up(place, file)
    record = place.run_dir / "demo" / "namespace" / "realm"
    os.kill(int(record.read_text().split()[0]), signal.SIGKILL)
    status = place.qlan("status", "-f", file).stdout
    assert "namespace/realm" in status
    done = up(place, file)
    assert done.returncode == 0, done.stderr
    assert place.plan(Path(file)) == []
    assert len(pids(place, "/usr/bin/qemu")) == 1
    down(place, file)
    assert place.processes() == []


@pytest.mark.skipif(IS_ROOT, reason="in the host realm subnets are shared: the same in the rootless run")
def test_two_labs_with_the_same_subnet_side_by_side(place: Place) -> None:
    text = LAB.replace("lan: {kind: host-only}", "lan: {kind: host-only, subnet: 10.99.0.0/24}")
    one, two = write(place, "one", text), write(place, "two", text)
    for file in (one, two):
        done = up(place, file)
        assert done.returncode == 0, done.stderr
        assert "10.99.0.1/24" in place.qlan("exec", "-f", file, "--", "ip", "-br", "address").stdout
    for file in (one, two):
        assert down(place, file).returncode == 0


@pytest.mark.skipif(not IS_ROOT, reason="only in the host realm do labs share subnets: the same in the run as root")
def test_a_subnet_of_another_lab_is_an_error_that_says_whose(place: Place) -> None:
    text = LAB.replace("lan: {kind: host-only}", "lan: {kind: host-only, subnet: 10.99.0.0/24}")
    one, two = write(place, "one", text), write(place, "two", text)
    assert up(place, one).returncode == 0
    done = up(place, two)
    assert done.returncode == 2
    assert "lab one" in done.stderr
    down(place, one)


@pytest.mark.skipif(not IS_ROOT, reason="mounting a small disk needs root: the same in the run as root")
def test_a_full_disk_at_every_file(place: Place) -> None:
    file = write(place, "demo")
    up(place, file)
    down(place, file)
    empty = {**place.snapshot(), "files": []}
    place.run_dir.mkdir()
    failed = 0
    for inodes in range(2, 60):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"nr_inodes={inodes},mode=755", "qlan-test", str(place.run_dir)],
                       check=True)  # fmt: skip
        try:
            done = up(place, file)
            assert "Traceback" not in done.stderr, done.stderr
            if done.returncode == 0:
                down(place, file)
                break
            failed += 1
            assert "No space left" in done.stderr or done.returncode in (3, 5, 6), done.stderr
            gone = down(place, file)
            assert gone.returncode == 0, f"{inodes}: {gone.stderr}"
            assert {**place.snapshot(), "files": []} == empty, f"{inodes} inodes"
        finally:
            subprocess.run(["umount", str(place.run_dir)], check=True)
    else:
        pytest.fail("it never had room enough")
    assert failed > 10


def test_a_missing_tool_is_named_with_its_package(place: Place) -> None:
    tools = place.folder / "bin"
    tools.mkdir()
    for name in ("ip", "unshare", "nsenter", "sh", "env", "sleep", "setpriv", "qemu-system-x86_64", "python3"):
        found = subprocess.run(["sh", "-c", f"command -v {name}"], text=True, capture_output=True, check=True,
                               env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})  # fmt: skip
        (tools / name).symlink_to(found.stdout.strip())
    file = write(place, "demo")
    code = ("import sys; from qlan.host import run; run._PATH = sys.argv.pop(1); "
            "from qlan.cli.main import main; sys.exit(main())")  # fmt: skip
    done = place.run("env", f"PATH={tools}", sys.executable, "-c", code, str(tools), "up", "--no-wait", "-f", file,
                     check=False)  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "dnsmasq is not installed" in done.stderr
    assert "dnsmasq-base" in done.stderr or "dnsmasq" in done.stderr.split("hint")[1]
    assert place.processes() == []


@pytest.mark.skipif(IS_ROOT, reason="root needs no user namespace: the same in the rootless run")
def test_forbidden_user_namespaces_are_explained(place: Place) -> None:
    file = write(place, "demo")
    script = 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"'
    done = place.run("unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c", script, "sh",
                     sys.executable, "-m", "qlan", "up", "--no-wait", "-f", file, check=False)  # fmt: skip
    assert done.returncode == 3
    assert "sudo sysctl -w user.max_user_namespaces=" in done.stderr
    assert place.processes() == []


@pytest.mark.skipif(not IS_ROOT, reason="making a device node needs root: the same in the run as root")
def test_a_closed_dev_net_tun_is_explained(place: Place) -> None:
    file = write(place, "demo", LAB.removeprefix(USER))
    node = place.folder / "tun"
    os.mknod(node, 0o600 | stat.S_IFCHR, os.makedev(10, 200))
    mount = 'mount --bind "$0" /dev/net/tun && exec setpriv --reuid="$1" --clear-groups --inh-caps=-all "$2" -m qlan '
    place.folder.chmod(0o777)
    done = place.run("unshare", "--mount", "sh", "-c", f"{mount} up --no-wait -f {file}", str(node),
                     str(pwd.getpwnam(os.environ.get("QLAN_TEST_USER", "nobody")).pw_uid), sys.executable,
                     check=False)  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "/dev/net/tun is not open to this user (mode 0600)" in done.stderr
    assert "sudo chmod 0666 /dev/net/tun" in done.stderr
    assert place.processes() == []


def test_the_other_user_s_realm_is_refused(place: Place) -> None:
    file = write(place, "demo")
    done = up(place, file, "--realm", "rootless" if IS_ROOT else "host")
    assert done.returncode == 3
    assert "hint" in done.stderr
    assert place.processes() == []


def test_a_disk_that_another_guest_has_is_named_with_its_user(place: Place) -> None:
    disk = place.folder / "disk.qcow2"
    place.run("qemu-img", "create", "-q", "-f", "qcow2", str(disk), "1M")
    disk.chmod(0o666)
    guest = "{disk: disk.qcow2, qemu_args: [-S], memory: 16M, accel: tcg, nics: []}"
    one, two = (write(place, name, f"{USER}guests:\n  {name}: {guest}\n") for name in ("one", "two"))
    assert up(place, one).returncode == 0
    done = up(place, two)
    assert done.returncode == 3
    assert "Failed to get" in done.stderr
    assert "qemu:one (process" in done.stderr
    assert down(place, one).returncode == 0
    assert up(place, two).returncode == 0
    down(place, two)


@pytest.mark.skipif(IS_ROOT, reason="in the host realm exec is the command itself: the same in the rootless run")
def test_tcpdump_inside_a_rootless_lab(place: Place) -> None:
    """It drops its rights on its own, which the kernel refuses in a namespace with one user."""
    file = write(place, "demo")
    up(place, file)
    script = "tcpdump -Z root -lnc 1 -i lo icmp 2>&1 & sleep 1; ping -c 1 127.0.0.1 >/dev/null; wait"
    shown = place.qlan("exec", "-f", file, "--", "sh", "-c", script, timeout=30).stdout
    down(place, file)
    assert "ICMP echo request" in shown, shown

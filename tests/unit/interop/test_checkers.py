"""What is exported, judged by the programs that it is for."""

from __future__ import annotations

import json
import pwd
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from qlan.interop import dot, ifupdown, libvirt, mermaid, netplan, networkd, networkmanager, qemu, svg
from qlan.interop.settled import File

from .conftest import Tool
from .labs import EVERYTHING, KINDS, settled

BARE = "lab: bare\nguests:\n  one: {kernel: /boot/vmlinuz}\n"
NAME = "a-name-of-as-many-letters-as-qlan"[:32]
LONG = f"""\
lab: {NAME}
networks:
  {NAME}: {{kind: host-only, mtu: 1400}}
guests:
  {NAME}: {{kernel: /k, nics: [{NAME}]}}
"""
LABS = {"everything": EVERYTHING, "kinds": KINDS, "bare": BARE, "long": LONG}

every_lab = pytest.mark.parametrize("text", LABS.values(), ids=LABS)


def written(files: Sequence[File], folder: Path) -> list[Path]:
    """The files on disk, readable as they want to be."""
    paths = []
    for file in files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)
        path.chmod(0o600 if file.secret else 0o644)
        paths.append(path)
    return paths


def check_servers(paths: Sequence[Path], tool: Tool) -> int:
    """dnsmasq's own opinion of the files that are for it."""
    found = [path for path in paths if path.name.endswith(".dnsmasq.conf")]
    for path in found:
        assert "syntax check OK" in tool("dnsmasq", "--test", f"--conf-file={path}").stderr
    return len(found)


@every_lab
def test_libvirt(text: str, tool: Tool, tmp_path: Path) -> None:
    for path in written(libvirt.export_lab(settled(text)), tmp_path):
        tool("virt-xml-validate", path, "network" if path.parent.name == "networks" else "domain")


@every_lab
def test_netplan(text: str, tool: Tool, tmp_path: Path) -> None:
    lab = settled(text)
    paths = written(netplan.export_lab(lab), tmp_path)
    done = tool("netplan", "generate", "--root-dir", tmp_path)
    assert done.stdout + done.stderr == ""
    made = {path.name for path in (tmp_path / "run" / "systemd" / "network").glob("*.netdev")}
    assert len(made) == len(lab.bridged)
    if text is EVERYTHING:
        assert "Address=10.10.10.1/24" in (tmp_path / "run/systemd/network/10-netplan-br-lan.network").read_text()
        assert check_servers(paths, tool) == 1


@every_lab
def test_networkmanager(text: str, tool: Tool, tmp_path: Path) -> None:
    """What `nmcli` reads and writes again has every line of ours (it leaves defaults out)."""
    paths = written(networkmanager.export_lab(settled(text)), tmp_path)
    for path in paths:
        if path.suffix != ".nmconnection":
            continue
        again = tool("nmcli", "--offline", "connection", "modify", "connection.autoconnect", "yes",
                     stdin=path.read_text())  # fmt: skip
        assert again.stderr == ""
        ours = {line for line in path.read_text().splitlines() if "=" in line and not line.startswith("#")}
        assert ours - {"autoconnect=true", "stp=true"} <= set(again.stdout.splitlines())
    if text is EVERYTHING:
        assert check_servers(paths, tool) == 1


@every_lab
def test_ifupdown(text: str, tool: Tool, tmp_path: Path) -> None:
    [stanzas, *_] = written(ifupdown.export_lab(settled(text)), tmp_path)
    run = ("--no-act", "--verbose", "--all", "--force", "--no-loopback", f"--interfaces={stanzas}")
    up = tool("ifup", *run)
    said = [line for line in (up.stdout + up.stderr).splitlines() if line.startswith("ifup:")]
    assert all("configuring interface" in line for line in said), said
    if text is EVERYTHING:
        assert re.search(
            r"^ip addr add 10\.10\.10\.1/255\.255\.255\.0 .*dev br-lan", up.stderr + up.stdout, re.MULTILINE
        )
        assert "ip link set dev $IFACE mtu 9000 master br-back up" in up.stderr + up.stdout


@every_lab
def test_qemu_lines_are_shell_and_qemu_takes_them(text: str, tool: Tool, tmp_path: Path) -> None:
    """As far as the machine: files that are not there are what it stumbles over, and nothing before."""
    lab = settled(text)
    [script] = written(qemu.export_lab(lab), tmp_path)
    tool("bash", "-n", script)
    lines = [shlex.split(line) for line in script.read_text().splitlines() if line.startswith("qemu-system-")]
    assert len(lines) == len(lab.topology.guests)
    for line in lines:
        words = [re.sub(r"^tap,(.*),ifname=[^,]*,script=no,downscript=no", r"user,\1", word) for word in line]
        done = tool("qemu-system-x86_64", *words[1:], "-S", check=False)
        assert re.search(r"[Cc]ould not open|could not load|bridge helper failed|Bad file descriptor", done.stderr), (
            done.stderr
        )


def test_comments_of_the_qemu_export_are_shell(tool: Tool) -> None:
    [script] = qemu.export_lab(settled(EVERYTHING))
    commands = [line[1:].strip() for line in script.text.splitlines() if line.startswith("#   ")]
    assert len(commands) > 20
    tool("bash", "-n", stdin="\n".join(commands))


@every_lab
def test_dot(text: str, tool: Tool, tmp_path: Path) -> None:
    lab = settled(text)
    [path] = written(dot.export_lab(lab), tmp_path)
    made = tool("dot", "-Tjson", path)
    assert made.stderr == ""
    names = {node["name"] for node in json.loads(made.stdout).get("objects", [])}
    assert {f"guest {guest.name}" for guest in lab.topology.guests} <= names


@every_lab
def test_svg(text: str, tool: Tool, tmp_path: Path) -> None:
    lab = settled(text)
    [path] = written(svg.export_lab(lab), tmp_path)
    tool("xmllint", "--noout", path)
    tool("rsvg-convert", path, "-o", tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 1000
    for guest in lab.topology.guests:
        assert f">{guest.name}</text>" in path.read_text()


@every_lab
def test_mermaid(text: str) -> None:
    """No parser of it is packaged; its lines must be of the four forms that we use, and name only what was defined."""
    [file] = mermaid.export_lab(settled(text))
    known = set()
    for line in file.text.split("flowchart LR\n")[1].splitlines():
        node = re.fullmatch(
            r'  ((?:net|vm)-[a-z0-9-]+|host|outside)(\(\[|\(\(|\[\[|\[)"[^"]+"(\]\)|\)\)|\]\]|\])', line
        )
        if node:
            known.add(node[1])
            continue
        wire = re.fullmatch(r'  ([a-z0-9-]+) (?:---|-\.-|-->)\|"[^"]+"\| ([a-z0-9-]+)', line)
        assert wire, line
        assert {wire[1], wire[2]} <= known


NETWORKD = """
mount --make-rprivate /
mount -t sysfs -o ro sysfs /sys  # networkd does not wait for udev then
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/network
chown -R systemd-network:systemd-network /run/systemd/netif
cp "$1"/etc/systemd/network/* /run/systemd/network/
SYSTEMD_LOG_LEVEL=info SYSTEMD_LOG_TARGET=console /lib/systemd/systemd-networkd &
daemon=$!
for _ in $(seq 100); do
    ip -j address show | grep -q '"10.10.20.1"' && ip -j link show | grep -q '"master":"br-wire"' && break
    sleep 0.1
done
kill $daemon
wait $daemon
ip -d -j address show
"""


IFUPDOWN = """
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/network
ifup --all --force --no-loopback --interfaces="$1/etc/network/interfaces.d/qlan-shop" || exit 1
ip -d -j address show
pgrep -cF /run/br-lan.dnsmasq.pid
ifdown --all --force --no-loopback --interfaces="$1/etc/network/interfaces.d/qlan-shop" || exit 1
ip -j link show
"""


@pytest.mark.root
def test_ifupdown_makes_it_and_takes_it_back(tool: Tool, tmp_path: Path) -> None:
    for path in written(ifupdown.export_lab(settled(EVERYTHING)), tmp_path):
        own = path.read_text().replace("/etc/qlan", f"{tmp_path}/etc/qlan").replace("/var/lib/misc", str(tmp_path))
        path.write_text(own)  # so that nothing is left on this machine
    script = tmp_path / "run.sh"
    script.write_text(IFUPDOWN)
    tool("ifup", "--version")
    done = tool("unshare", "--mount", "--net", "--uts", "--pid", "--mount-proc", "--fork", "--kill-child", "bash",
                script, tmp_path)  # fmt: skip
    up, server, down = done.stdout.strip().splitlines()
    assert server == "1"
    links = {link["ifname"]: link for link in json.loads(up)}
    assert links["br-lan"]["addr_info"][0]["local"] == "10.10.10.1"
    assert links["tap-web-1"]["master"] == "br-back" and links["tap-web-1"]["mtu"] == 9000
    assert [link["ifname"] for link in json.loads(down)] == ["lo"]


@pytest.mark.root
def test_networkd_itself_makes_it(tool: Tool, tmp_path: Path) -> None:
    """The daemon runs in namespaces of the test's own, and the kernel says what became of its files."""
    written(networkd.export_lab(settled(EVERYTHING)), tmp_path)
    script = tmp_path / "run.sh"
    script.write_text(NETWORKD)
    tool("/lib/systemd/systemd-networkd", "--version")
    done = tool("unshare", "--mount", "--net", "--uts", "--fork", "--kill-child", "bash", script, tmp_path)
    assert not re.search(r"Unknown|ignoring|Invalid|Failed to parse", done.stdout + done.stderr), done.stderr
    links = {link["ifname"]: link for link in json.loads(done.stdout.strip().splitlines()[-1])}
    addresses = {name: [(one["local"], one["prefixlen"]) for one in link["addr_info"]] for name, link in links.items()}
    assert addresses["br-lan"][0] == ("10.10.10.1", 24)
    assert re.fullmatch(r"fd[0-9a-f:]+::1", addresses["br-lan"][1][0])
    assert addresses["br-quiet"] == [("10.10.20.1", 24)]
    assert addresses["br-back"] == addresses["br-wire"] == []
    assert links["br-quiet"]["mtu"] == 1400
    assert links["br-lan"]["linkinfo"]["info_data"]["forward_delay"] == 0
    masters = {name: link.get("master") for name, link in links.items() if name.startswith("tap-")}
    assert masters == {"tap-web-0": "br-lan", "tap-web-1": "br-back", "tap-db-0": "br-back", "tap-db-1": "br-quiet",
                       "tap-db-2": "br-wire"}  # fmt: skip
    owner = links["tap-web-0"]["linkinfo"]["info_data"]["user"]
    assert owner == "1000" or pwd.getpwnam(owner).pw_uid == 1000


def test_networkd_says_what_it_is_asked_for() -> None:
    text = "\n".join(file.text for file in networkd.export_lab(settled(EVERYTHING)))
    for line in ("PoolOffset=2", "PoolSize=99", "EmitRouter=no", "DefaultLeaseTimeSec=1800", "Address=10.10.10.10"):
        assert line in text
    assert "Not said here: DHCP of 10.10.30.0/24" in text

"""The guest itself, in a plain QEMU: what the other guest tests take for granted is so."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from .driver import GuestError
from .machine import GuestImage, Machine, start_machine, tell

pytestmark = [
    pytest.mark.guest,
    pytest.mark.skipif(os.geteuid() == 0, reason="of the guest alone, whoever starts it: the same in the rootless run"),
]

# QEMU's name of the model, and the driver that Linux has for it. The place in this table is the NIC's number.
MODELS = {
    "virtio-net-pci": "virtio_net",
    "e1000": "e1000",
    "rtl8139": "8139cp",
    "e1000e": "e1000e",
    "vmxnet3": "vmxnet3",
    "pcnet": "pcnet32",
    "ne2k_pci": "ne2k-pci",
    "tulip": "tulip",
    "i82559er": "e100",
}


# Debian keeps the system's tools out of a user's PATH.
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
    return {"web": free_port(stream), "ssh": free_port(stream), "tcp": free_port(stream), "udp": free_port(datagram)}


@pytest.fixture(scope="module")
def ssh_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = tmp_path_factory.mktemp("ssh") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    return key


@pytest.fixture(scope="module")
def many(
    guest_image: GuestImage, ports: dict[str, int], ssh_key: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """One guest with a NIC of every model, each on a user network of its own; forwards to the first."""
    here = "127.0.0.1"
    forwards = (
        f"hostfwd=tcp:{here}:{ports['web']}-:80,hostfwd=tcp:{here}:{ports['ssh']}-:22,"
        f"hostfwd=tcp:{here}:{ports['tcp']}-:7,hostfwd=udp:{here}:{ports['udp']}-:7"
    )
    words = ["-machine", "pc", "-m", "128"]
    for number, model in enumerate(MODELS):
        options = f",{forwards},dnssearch=lab.test" if number == 0 else ""
        words += ["-netdev", f"user,id=n{number},net=10.1.{number}.0/24{options}"]
        words += ["-device", f"{model},netdev=n{number},mac=52:54:00:00:00:{number:02x},romfile="]
    public = ":".join(ssh_key.with_suffix(".pub").read_text().split()[:2])
    append = f'qlan.hostname=many qlan.web="a page of two words" qlan.key={public}'
    folder = tmp_path_factory.mktemp("many")
    with start_machine(folder, (guest_image.vmlinux, guest_image.initrd), words, append=append) as machine:
        yield machine


@pytest.mark.parametrize("number, driver", list(enumerate(MODELS.values())), ids=list(MODELS))
def test_model(many: Machine, number: int, driver: str) -> None:
    """NIC n of the command line is eth<n>, has its driver, and gets a lease from its network."""
    device = f"/sys/class/net/eth{number}"
    assert many.shell.run(f"cat {device}/address") == f"52:54:00:00:00:{number:02x}\n"
    assert many.shell.run(f"basename $(readlink {device}/device/driver)") == f"{driver}\n"
    assert many.shell.wait_for_lease(f"eth{number}") == IPv4Interface(f"10.1.{number}.15/24")


def test_console_log_says_ready(many: Machine) -> None:
    many.shell.run("true")
    assert "QLAN-GUEST READY" in many.log


def test_lspci_shows_the_models(many: Machine) -> None:
    seen = many.shell.run("lspci")
    assert re.search(r"^00:03\.0 0200: 8086:100e e1000$", seen, re.MULTILINE)
    assert seen.count(" 0200: ") == len(MODELS)


def test_routes_and_names(many: Machine) -> None:
    many.shell.wait_for_lease("eth0")
    assert many.shell.run("hostname") == "many\n"
    assert "nameserver 10.1.0.3" in many.shell.run("cat /etc/resolv.conf")
    assert "search lab.test" in many.shell.run("cat /etc/resolv.conf")
    assert "via 10.1.0.2 dev eth0" in many.shell.run("ip route get 192.0.2.1")
    many.shell.run("ping -c 1 -W 5 10.1.0.2")


def test_page_is_served(many: Machine, ports: dict[str, int]) -> None:
    many.shell.wait_for_lease("eth0")
    url = f"http://127.0.0.1:{ports['web']}"
    assert urllib.request.urlopen(url, timeout=10).read() == b"a page of two words\n"
    assert urllib.request.urlopen(f"{url}/cgi-bin/peer", timeout=10).read() == b"10.1.0.2\n"


def test_udp_echo_survives_many_datagrams_and_peers(many: Machine, ports: dict[str, int]) -> None:
    many.shell.wait_for_lease("eth0")
    for peer in range(3):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.settimeout(10)
            sender.connect(("127.0.0.1", ports["udp"]))
            for number in range(50):
                said = f"{peer} {number}".encode()
                sender.send(said)
                assert sender.recv(100) == said


def test_tcp_echo(many: Machine, ports: dict[str, int]) -> None:
    many.shell.wait_for_lease("eth0")
    with socket.create_connection(("127.0.0.1", ports["tcp"]), timeout=10) as connection:
        connection.sendall(b"to and fro")
        assert connection.recv(100) == b"to and fro"


def test_ssh(many: Machine, ports: dict[str, int], ssh_key: Path) -> None:
    many.shell.wait_for_lease("eth0")
    trust = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"]
    command = [
        "ssh",
        *trust,
        "-F",
        "none",
        "-i",
        str(ssh_key),
        "-p",
        str(ports["ssh"]),
        "root@127.0.0.1",
        "hostname; exit 3",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("many\n", 3), done.stderr


def test_plugged_in_later(many: Machine) -> None:
    """A NIC that comes over QMP gets its driver and its address; when it is pulled the interface goes."""
    many.shell.run("true")
    name = f"eth{len(MODELS)}"
    tell(many.qmp, "netdev_add", {"type": "user", "id": "late", "net": "10.9.0.0/24"})
    tell(many.qmp, "device_add", {"driver": "virtio-net-pci", "id": "late-nic", "netdev": "late"})
    assert many.shell.wait_for_lease(name) == IPv4Interface("10.9.0.15/24")
    tell(many.qmp, "device_del", {"id": "late-nic"})
    many.shell.wait_for(f"! test -e /sys/class/net/{name}")


def test_shell_driver(many: Machine) -> None:
    """What the driver promises: statuses, quotes, lines, syntax errors, timeouts, and life after each."""
    shell = many.shell
    assert shell.run("printf 'it'\\''s $HOME \\303\\244'") == "it's $HOME ä"
    assert shell.run("cd /tmp\npwd") == shell.run("pwd") == "/tmp\n"
    assert shell.try_run("echo so; exit_is_no_word").status == 127
    assert shell.try_run("if then").status == 2
    assert shell.run("cat") == ""  # reads nothing, and none of ours
    assert len(shell.run("seq 1 5000").split()) == 5000
    with pytest.raises(GuestError, match=r"no end after 0\.5 s of: sleep 60"):
        shell.run("sleep 60", timeout_s=0.5)
    with pytest.raises(GuestError, match="exit status 1 from: false"):
        shell.run("false")
    shell.close()
    assert shell.run("echo again") == "again\n"


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_static_addresses_and_power_button(guest_image: GuestImage, tmp_path: Path, machine: str) -> None:
    """ip= for each of several NICs, by the packaged kernel; then the power button ends the guest, not force."""
    words = ["-machine", machine, "-m", "192"]
    for number, model in enumerate(("e1000", "virtio-net-pci", "virtio-net-pci")):
        words += ["-netdev", f"user,id=n{number}", "-device", f"{model},netdev=n{number},romfile="]
    append = (
        "ip=10.0.2.77::10.0.2.2:255.255.255.0:fixed:eth1:off:10.0.2.3 "
        "ip=192.0.2.1:::255.255.255.252::eth0:none qlan.dhcp=no"
    )
    kernel = (guest_image.vmlinuz, guest_image.initrd)
    with start_machine(tmp_path, kernel, words, append=append) as guest:
        addresses = guest.shell.run("ip -o -4 addr")
        assert re.findall(r"(eth\d) +inet (\S+)", addresses) == [("eth0", "192.0.2.1/30"), ("eth1", "10.0.2.77/24")]
        assert guest.shell.run("hostname; cat /etc/resolv.conf") == "fixed\nnameserver 10.0.2.3\n"
        assert guest.shell.run("pidof udhcpc || echo none") == "none\n"
        guest.shell.run("ping -c 1 -W 5 10.0.2.2")
        pressed = time.monotonic()
        tell(guest.qmp, "system_powerdown")
        assert guest.process.wait(timeout=60) == 0
        assert time.monotonic() - pressed < 10


def test_full_image(guest_image: GuestImage, tmp_path: Path) -> None:
    """initrd-full.gz has the tools and what the kernel of the machine that runs the tests may lack."""
    words = ["-m", "192", "-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,romfile="]
    with start_machine(tmp_path, (guest_image.vmlinux, guest_image.initrd_full), words) as guest:
        shell = guest.shell
        assert '"ifname":"lo"' in shell.run("ip -j link show dev lo")
        shell.run("ip link add lan type bridge vlan_filtering 1; ip link add v0 type veth peer name v1")
        shell.run("ip link set v0 master lan; bridge vlan add dev v0 vid 7")
        assert "7" in shell.run("bridge vlan show dev v0").split()
        shell.wait_for_lease("eth0")
        shell.run("tc qdisc replace dev eth0 root netem delay 300ms")
        times = re.search(r"time=([\d.]+) ms", shell.run("ping -c 1 -W 5 10.0.2.2"))
        assert times and float(times[1]) >= 300
        shell.run("nft add table bridge t; nft add chain bridge t c '{ type filter hook input priority 0; }'")
        shell.run("nft add rule bridge t c meta ibrname lan reject; nft add table inet t")
        assert 'meta ibrname "lan" reject' in shell.run("nft list ruleset")
        shell.run("modprobe vhost_net; test -c /dev/vhost-net")


def test_a_ctrl_c_while_it_boots_leaves_the_shell_as_it_should_be(guest_image: GuestImage, tmp_path: Path) -> None:
    """The driver begins with one, and again until the shell answers: one that ends /etc/profile leaves no aliases."""
    with start_machine(tmp_path, (guest_image.vmlinux, guest_image.initrd), ["-m", "192", "-nic", "none"]) as guest:
        deadline = time.monotonic() + 60
        log = tmp_path / "console.log"
        while not log.exists() or "QLAN-GUEST READY" not in guest.log:
            assert time.monotonic() < deadline, "it does not boot"
            time.sleep(0.001)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as console:
            console.connect(str(guest.shell.path))
            for _ in range(200):
                console.sendall(b"\x03")
                time.sleep(0.002)
        assert guest.shell.run("alias poweroff") == "poweroff='poweroff -f'\n"
        with pytest.raises(GuestError, match=r"no end after 0\.3 s"):
            guest.shell.run("sleep 60", timeout_s=0.3)
        guest.shell.run("true", timeout_s=10)  # ^C was heard


def test_a_disk_of_fat_can_be_read(guest_image: GuestImage, tmp_path: Path) -> None:
    """As a cloud-init seed is one. Then `poweroff` without -f ends the guest too."""
    disk = tmp_path / "seed.img"
    disk.write_bytes(bytes(1 << 20))
    words = ["-m", "128", "-drive", f"file={disk},format=raw,if=virtio"]
    with start_machine(tmp_path, (guest_image.vmlinux, guest_image.initrd), words) as guest:
        guest.shell.run("mkdosfs -n CIDATA /dev/vda && mount -t vfat /dev/vda /mnt")
        guest.shell.run("echo 'instance-id: one' >/mnt/meta-data && umount /mnt && mount -o ro /dev/vda /mnt")
        assert guest.shell.run("cat /mnt/meta-data") == "instance-id: one\n"
        guest.shell.run("(usleep 300000; poweroff) &")
        try:
            assert guest.process.wait(timeout=60) == 0
        except subprocess.TimeoutExpired:
            state = tell(guest.qmp, "query-status")
            pytest.fail(f"it runs on: {state}; its processes: {guest.shell.run('ps')}")
    assert b"instance-id: one" in disk.read_bytes()


@pytest.fixture
def lan(tmp_path: Path) -> Iterator[list[str]]:
    """The words that run a command in a user and network namespace with the bridge `lan`, two TAPs on it, and DHCP."""
    holder = ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*holder, "true"], check=False).returncode != 0:
        pytest.skip("this machine allows no user and network namespaces (unshare --user --net)")
    with ExitStack() as stack:
        ready = [*holder, "sh", "-c", "echo; exec sleep infinity"]  # it speaks when its user is mapped, not before
        sleeper = stack.enter_context(subprocess.Popen(ready, stdout=subprocess.PIPE))
        stack.callback(sleeper.kill)
        assert sleeper.stdout is not None and sleeper.stdout.readline() == b"\n"
        inside = ["nsenter", "--preserve-credentials", "--user", "--net", "--target", str(sleeper.pid)]
        lines = "link set lo up\nlink add lan type bridge\naddr add 10.5.5.254/24 dev lan\nlink set lan up\n"
        lines += "".join(f"tuntap add tap{n} mode tap\nlink set tap{n} master lan up\n" for n in (1, 2))
        subprocess.run([*inside, "ip", "-batch", "-"], input=lines, text=True, check=True, env={"PATH": PATH})
        dnsmasq = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--port=0"]
        dnsmasq += ["--interface=lan", "--bind-interfaces", "--user=root", "--group=", "--dhcp-authoritative"]
        dnsmasq += ["--dhcp-range=10.5.5.50,10.5.5.60", f"--dhcp-leasefile={tmp_path / 'leases'}"]
        dnsmasq += ["--dhcp-option=option:mtu,1400", "--dhcp-option=option:domain-search,one.test,two.test"]
        dnsmasq += ["--dhcp-option=option:classless-static-route,192.0.2.0/24,10.5.5.253,0.0.0.0/0,10.5.5.254"]
        server = stack.enter_context(subprocess.Popen([*inside, *dnsmasq], env={"PATH": PATH}))
        stack.callback(server.kill)
        yield inside


def test_two_guests_on_a_bridge_without_root(guest_image: GuestImage, lan: list[str], tmp_path: Path) -> None:
    """One with a fixed address, one by DHCP: they reach each other, and nothing else."""
    appends = ("ip=10.5.5.1:::255.255.255.0:fixed:eth0:off", "qlan.hostname=dynamic")
    kernel = (guest_image.vmlinux, guest_image.initrd)
    with ExitStack() as stack:
        fixed, dynamic = (
            stack.enter_context(
                start_machine(tmp_path / f"{number}", kernel, tap_words(number), append=append, prefix=lan)
            ).shell
            for number, append in enumerate(appends, start=1)
        )
        address = dynamic.wait_for_lease("eth0")
        assert "dynamic" in (tmp_path / "leases").read_text().split()  # the name that it sent
        fixed.run(f"ping -c 1 -W 5 {address.ip}")
        assert fixed.run(f"wget -qO- http://{address.ip}/") == "dynamic\n"
        assert dynamic.run("wget -qO- http://10.5.5.1/cgi-bin/peer") == f"{address.ip}\n"
        assert fixed.try_run("ping -c 1 -W 1 198.51.100.1").status != 0
        assert dynamic.run("cat /sys/class/net/eth0/mtu") == "1400\n"
        assert dynamic.run("cat /etc/resolv.conf").startswith("search one.test two.test\n")
        assert "via 10.5.5.253 " in dynamic.run("ip route get 192.0.2.1")
        assert "via 10.5.5.254 " in dynamic.run("ip route get 198.51.100.1")


def tap_words(number: int) -> list[str]:
    nic = f"virtio-net-pci,netdev=lan,mac=52:54:00:00:01:{number:02x},romfile="
    return ["-m", "128", "-netdev", f"tap,id=lan,ifname=tap{number},script=no,downscript=no", "-device", nic]

"""What a script does before it starts QEMU, in the many ways in which people write it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest

from qlan import cmdline
from qlan.interop import qemu
from qlan.interop.imported import Imported, Source
from qlan.topology.model import Network

START = (
    "qemu-system-x86_64 -hda d.img -netdev tap,id=n,ifname=tap0,script=no -device e1000,netdev=n,"
    "mac=52:54:00:00:00:01\n"
)


def imported(script: str) -> Imported:
    return qemu.import_sources([Source("run.sh", script + "\n" + START)])


def network(script: str) -> Network:
    [found] = imported(script).topology.networks
    return found


@pytest.mark.parametrize(
    "script",
    [
        "ip link add name br0 type bridge; ip addr add 10.3.0.1/24 dev br0; ip link set tap0 master br0",
        "sudo ip l add br0 type bridge\nsudo ip a add 10.3.0.1/24 dev br0\nsudo ip l set dev tap0 up master br0",
        "brctl addbr br0 && brctl addif br0 tap0 && ifconfig br0 10.3.0.1 netmask 255.255.255.0 up",
        "# ip link add br0 type bridge\n#  ip addr add 10.3.0.1/24 dev br0\n# ip link set tap0 master br0",
        "BR=br0 ; T=tap0\nip link add $BR type bridge\nip address add 10.3.0.1/24 dev ${BR}\nip link set $T master $BR",
        "tunctl -t tap0 -u bob\n/sbin/ip addr replace 10.3.0.1/24 dev tap0",
        "if true; then ip tuntap add tap0 mode tap; ip addr add 10.3.0.1/24 dev tap0; fi",
    ],
)
def test_a_bridge_with_an_address_is_host_only(script: str) -> None:
    found = network(script)
    assert found.kind == "host-only"
    assert (found.subnet, found.address) == (IPv4Network("10.3.0.0/24"), IPv4Interface("10.3.0.1/24").ip)
    assert (found.dhcp, found.dns) == (None, False)


@pytest.mark.parametrize(
    ("words", "lease_s"),
    [
        ("-i br0 -F 10.3.0.10,10.3.0.20", 3600),
        ("--interface=br0 --dhcp-range=10.3.0.10,10.3.0.20,255.255.255.0,30m", 1800),
        ("--interface br0 --dhcp-range set:x,10.3.0.10,10.3.0.20,12h", 43200),
        ("-ibr0 -F10.3.0.10,10.3.0.20,600", 600),
        ("--bind-interfaces --interface=br0 --dhcp-range=10.3.0.10,10.3.0.20,2d", 172800),
        ("--interface=br0 --dhcp-range=10.3.0.10,10.3.0.20,1w", 604800),
    ],
)
def test_dnsmasq(words: str, lease_s: int) -> None:
    bridge = "ip link add br0 type bridge; ip addr add 10.3.0.1/24 dev br0; ip link set tap0 master br0\n"
    found = network(f"{bridge}dnsmasq {words} --dhcp-host=52:54:00:00:00:01,10.3.0.15")
    assert found.dhcp is not None
    assert (str(found.dhcp.first), str(found.dhcp.last), found.dhcp.lease_time_s) == ("10.3.0.10", "10.3.0.20", lease_s)
    result = imported(f"{bridge}dnsmasq {words} --dhcp-host=52:54:00:00:00:01,10.3.0.15,web --port=0")
    assert result.topology.networks[0].dns is False
    assert str(result.topology.guests[0].nics[0].address) == "10.3.0.15"


def test_what_nics_boot_from() -> None:
    bridge = "ip link add br0 type bridge; ip addr add 10.3.0.1/24 dev br0; ip link set tap0 master br0\n"
    server = "dnsmasq -i br0 -F 10.3.0.10,10.3.0.20 --enable-tftp --tftp-root=/srv/tftp "
    found = network(f"{bridge}{server} --dhcp-boot=pxelinux.0")
    assert (found.tftp, found.bootfile) == (Path("/srv/tftp"), "pxelinux.0")
    elsewhere = imported(f"{bridge}{server} --dhcp-boot=pxelinux.0,boothost,10.3.0.9")
    assert elsewhere.topology.networks[0].bootfile is None
    assert "dnsmasq --dhcp-boot=pxelinux.0,boothost,10.3.0.9" in str(elsewhere.notes.by_place)


def test_a_server_in_a_namespace_is_a_private_network() -> None:
    found = network(
        "ip link add br0 mtu 1400 type bridge; ip link set tap0 master br0; ip netns add s\n"
        "ip link add v0 type veth peer name v1; ip link set v1 netns s; ip link set v0 master br0\n"
        "ip -n s addr add 10.3.0.1/24 dev v1; ip netns exec s dnsmasq -i v1 -F 10.3.0.10,10.3.0.20\n"
    )
    assert (found.kind, found.subnet, found.mtu_bytes) == ("private", IPv4Network("10.3.0.0/24"), 1400)
    assert found.dhcp is not None


NAT = (
    "ip link add br0 type bridge stp_state 1; ip addr add 10.3.0.1/24 dev br0; ip -6 addr add fd00:3::1/64 dev br0\n"
    "dnsmasq -i br0 -F 10.3.0.10,10.3.0.20 --dhcp-option=option:ntp-server,10.3.0.1 --dhcp-option=66,boot.example\n"
    "ip link set tap0 master br0; bridge link set dev tap0 isolated on\n"
)


def test_a_machine_that_masks_and_forwards_is_a_nat() -> None:
    rule = "iptables -t nat -A POSTROUTING -s 10.3.0.0/24 -o eth1 -j MASQUERADE"
    result = imported(NAT + f"sysctl -w net.ipv4.ip_forward=1\n{rule}\n")
    [found] = result.topology.networks
    assert (found.kind, found.uplink, found.stp, found.bridge_name) == ("nat", "eth1", True, None)
    assert found.dhcp and found.dhcp.ntp == (IPv4Address("10.3.0.1"),)
    assert found.dhcp.options == (("66", "boot.example"),)
    assert found.ipv6 and str(found.ipv6.prefix) == "fd00:3::/64" and not found.ipv6.slaac and not found.ipv6.dhcp
    assert f"its kind does this by itself: {rule}" in result.notes.at(("networks", "br0"))
    assert result.notes.at(()) == []


def test_a_machine_that_forwards_alone_is_a_router() -> None:
    [found] = imported(NAT + "echo 1 > /proc/sys/net/ipv4/ip_forward\n").topology.networks
    assert (found.kind, found.uplink) == ("routed", None)


def test_a_rule_for_another_subnet_masks_nothing_here() -> None:
    rule = "iptables -t nat -A POSTROUTING -s 10.4.0.0/24 -j MASQUERADE"
    result = imported(NAT + f"sysctl -w net.ipv4.ip_forward=1\n{rule}\n")
    assert result.topology.networks[0].kind == "routed"
    assert rule in "".join(result.notes.at(()))


def test_nothing_of_a_script_is_dropped_silently() -> None:
    result = imported(
        "modprobe tun\nip link set eth0 master br0\nip link add br0 type bridge\nip link set tap0 master br0\n"
        "ip route add 10.9.0.0/16 via 10.3.0.2\nip6tables -A X\nnft add table x\nip -6 addr add fd00::1/64 dev br0\n"
        "for i in 1 2; do ovs-vsctl add-port br0 tap$i; done\ndnsmasq --enable-tftp --tftp-root=/srv -i br0\n"
    )
    assert result.topology.networks[0].uplink == "eth0"
    said = "\n".join(note for notes in result.notes.by_place.values() for note in notes)
    for words in ("modprobe tun", "ip route add", "ip6tables", "nft add table", "fd00::1/64",
                  "ovs-vsctl add-port br0 tap$i", "--tftp-root=/srv"):  # fmt: skip
        assert words in said, words


def test_variables_of_the_script() -> None:
    script = (
        'MEM=512\nOPTS="-smp 3 -nographic"\nqemu-system-x86_64 -m $MEM $OPTS -hda "${IMG:-my disk.img}" -nic $NET\n'
    )
    [guest] = qemu.import_sources([Source("x.sh", script)]).topology.guests
    assert (guest.memory_bytes, guest.cpus, guest.display) == (512 << 20, 3, "none")
    assert str(guest.disks[0].path) == "my disk.img"


@pytest.mark.parametrize(
    "line",
    [
        "sudo apt-get install qemu-kvm",
        "dnf install -y qemu-kvm -net",
        "man qemu",
        "cd qemu",
        "which qemu-system-x86_64",
        "command -v qemu-system-x86_64",
        "sudo -u qemu id",
        "sudo pkill -f qemu-system-x86_64",
        "ip link show dev qemu",
        "ls -l /dev/kvm",
        "echo qemu-system-x86_64 -nic user",
        "docker run --net host qemu",
        "qlan export --to qemu",
        "qlan import -- qemu-system-x86_64 -nic user",
    ],
)
def test_a_program_as_the_argument_of_another_command_is_no_guest(line: str) -> None:
    result = imported(line)
    assert [guest.name for guest in result.topology.guests] == ["d"]
    assert f"not done: {line}" in result.notes.at(())
    assert len(cmdline.read_script(f"{line}\n{START}")) == 1


@pytest.mark.parametrize(
    "lead",
    [
        "sudo -E -u bob",
        "/usr/bin/sudo /usr/bin/env -i A=b",
        "exec nohup",
        "timeout -k 5 10 taskset -c 0-3 nice -n 5",
        "numactl --membind 0 -N 1",
        "sudo ip netns exec red sudo -Eu bob --",
        "if !",
        "function boot {",
        "screen -dmS vm",
        "ip -n red vrf exec blue",
        "gdb -ex run --args",
        "$SUDO",
        "MacBook:~ me$",
        "A=b",
        "",
    ],
)
def test_a_program_behind_what_starts_programs_is_a_guest(lead: str) -> None:
    for program in ("/usr/libexec/qemu-kvm", "$QEMU"):
        [reading] = cmdline.read_script(f"{lead} {program} -nic user -hda d.img")
        assert reading.line.program and reading.line.program.text == program


@pytest.mark.parametrize(
    "lead", ["tmux new-session -d -s vm", "cpulimit -l 50 --", "xterm -e", "mac%", "1.", "$A nice"]
)
def test_a_program_by_its_name_behind_what_nobody_knows_is_a_guest(lead: str) -> None:
    [reading] = cmdline.read_script(f"{lead} qemu-system-x86_64 -nic user -hda d.img")
    assert reading.line.program and reading.line.program.text == "qemu-system-x86_64"

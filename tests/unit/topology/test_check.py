"""What golden/errors cannot show: what is right, the realms, and topologies that were made in Python."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlan import names
from qlan.facts.machine import Facts, QemuFacts, UsedPort, UsedSubnet
from qlan.topology.check import check
from qlan.topology.model import Dhcp, Disk, Forward, Guest, Network, Nic, Realm, Topology, UserNetwork
from qlan.values import replace

FACTS = Facts(
    seed="s",
    uid=1000,
    arch="x86_64",
    used_subnets=(UsedSubnet(IPv4Network("192.168.1.0/24"), "the address 192.168.1.7 of eth0"),),
)
CLASHING = Network("lan", "host-only", IPv4Network("192.168.0.0/16"))
LOOPBACK, ANY = IPv4Address("127.0.0.1"), IPv4Address("0.0.0.0")


def words(topology: Topology, facts: Facts = FACTS) -> list[str]:
    return [problem.what for problem in check(topology, facts, lambda path: True)]


def lab(*networks: Network, nic: Nic | None = None, realm: Realm | None = None) -> Topology:
    guest = Guest("web", disks=(Disk(Path("web.img")),), nics=(nic,) if nic else ())
    return Topology("shop", networks, (guest,), realm)


def forwarding(port: int, address: IPv4Address = LOOPBACK, protocol: str = "tcp") -> Topology:
    forward = Forward(protocol, address, port, None, 80)  # type: ignore[arg-type]
    return lab(nic=Nic(user=UserNetwork(), forwards=(forward,)))


@pytest.mark.parametrize(
    ("realm", "uid", "run_as", "clash"),
    [
        (None, 1000, None, False),
        (None, 0, None, True),
        (None, 1000, 1000, True),  # root, with QEMU as somebody else
        (Realm.ROOTLESS, 0, None, False),
        (Realm.HOST, 1000, None, True),
    ],
)
def test_a_subnet_of_the_host_clashes_in_its_own_realm_only(
    realm: Realm | None, uid: int, run_as: int | None, clash: bool
) -> None:
    found = words(lab(CLASHING, realm=realm), replace(FACTS, uid=uid, run_as=run_as))
    assert bool(found) is clash


def test_a_private_network_meets_the_host_nowhere() -> None:
    assert words(lab(replace(CLASHING, kind="private"), realm=Realm.HOST)) == []


def test_a_lab_that_is_up_does_not_clash_with_itself() -> None:
    used = (UsedSubnet(IPv4Network("10.1.0.0/24"), "lab shop"),)
    ports = (UsedPort("tcp", LOOPBACK, 2222, "lab shop"),)
    topology = forwarding(2222)
    topology = replace(topology, networks=(Network("lan", "host-only", used[0].subnet),), realm=Realm.HOST)
    assert words(topology, replace(FACTS, used_subnets=used, used_ports=ports)) == []
    assert len(words(replace(topology, lab="other"), replace(FACTS, used_subnets=used, used_ports=ports))) == 2


@pytest.mark.parametrize(
    ("wanted", "used", "taken"),
    [
        (LOOPBACK, LOOPBACK, True),
        (LOOPBACK, ANY, True),
        (ANY, LOOPBACK, True),
        (LOOPBACK, IPv4Address("192.168.1.7"), False),
    ],
)
def test_ports_overlap_by_address(wanted: IPv4Address, used: IPv4Address, taken: bool) -> None:
    facts = replace(FACTS, used_ports=(UsedPort("tcp", used, 8080, "nginx (process 7)"),))
    found = words(forwarding(8080, wanted), facts)
    assert found == (
        [f"NIC 0 of guest `web`: tcp port 8080 of {wanted} is taken by nginx (process 7)"] if taken else []
    )
    assert words(forwarding(8080, wanted, "udp"), facts) == []


@pytest.mark.parametrize(
    ("floor", "port", "free"), [(1024, 1023, False), (1024, 1024, True), (80, 80, True), (0, 1, True)]
)
def test_low_ports(floor: int, port: int, free: bool) -> None:
    assert (words(forwarding(port), replace(FACTS, free_port_floor=floor)) == []) is free


@pytest.mark.parametrize(
    ("wanted", "realm", "dns", "taken"),
    [
        (ANY, Realm.HOST, True, True),
        (IPv4Address("10.0.0.1"), Realm.HOST, True, True),
        (IPv4Address("192.168.1.7"), Realm.HOST, True, False),
        (ANY, Realm.HOST, False, False),
        (ANY, Realm.ROOTLESS, True, False),
    ],
)
def test_the_port_of_the_lab_s_own_dns_server(wanted: IPv4Address, realm: Realm, dns: bool, taken: bool) -> None:
    """It listens on the network's own address, which in a rootless lab is none of this machine's namespace."""
    network = Network("lan", "nat", IPv4Network("10.0.0.0/24"), IPv4Address("10.0.0.1"), dns=dns)
    topology = lab(network, nic=Nic("lan", forwards=(Forward("udp", wanted, 53, None, 53),)), realm=realm)
    what = f"NIC 0 of guest `web`: udp port 53 of {wanted} is the DNS server of network `lan`'s, too"
    facts = replace(FACTS, uid=0 if realm is Realm.HOST else 1000, free_port_floor=0)
    assert [one for one in words(topology, facts) if "port" in one] == ([what] if taken else [])


def test_an_address_inside_the_dhcp_range_is_reserved() -> None:
    dhcp = Dhcp(IPv4Address("10.0.0.10"), IPv4Address("10.0.0.20"))
    network = Network("lan", "host-only", IPv4Network("10.0.0.0/24"), dhcp=dhcp)
    for address in ("10.0.0.15", "10.0.0.99"):
        assert words(lab(network, nic=Nic("lan", address=IPv4Address(address)))) == []


@pytest.mark.parametrize("model", ["virtio", "virtio-net-pci", "ne2k", "e1000"])
def test_models_by_their_usual_names(model: str) -> None:
    models = dict.fromkeys(("virtio-net-pci", "ne2k_pci", "e1000"), "")
    qemu = {"x86_64": QemuFacts("/usr/bin/qemu-system-x86_64", (7, 2, 0), (), "q35", models)}
    assert words(lab(nic=Nic(user=UserNetwork(), model=model)), replace(FACTS, qemu=qemu)) == []


def test_what_cannot_be_looked_at_is_not_there() -> None:
    def exists(path: Path) -> bool:
        raise PermissionError(path)

    (problem,) = check(lab(), FACTS, exists)
    assert problem.what == "guest `web`: there is no disk `web.img`"


@pytest.mark.parametrize(
    ("topology", "what"),
    [
        (lab(Network("lan", "lan")), "`kind` of network `lan`: `lan` is not known here"),
        (
            lab(Network("lan", "private", IPv4Network("10.0.0.0/31"))),
            "`subnet` of network `lan`: 10.0.0.0/31 is too small: /8 to /30 is possible",
        ),
        (lab(Network("lan", "private", mtu_bytes=20)), "`mtu` of network `lan`: 20 is not from 576 to 65521"),
        (lab(nic=Nic()), "NIC 0 of guest `web` needs either a network or `user`"),
        (lab(nic=Nic("user\n", UserNetwork())), "NIC 0 of guest `web` needs either a network or `user`"),
        (
            lab(nic=Nic(user=UserNetwork(), mac="52-54-00-00-00-0A")),
            "`mac` of NIC 0 of guest `web`: `52-54-00-00-00-0A` is not in the usual spelling 52:54:00:00:00:0a",
        ),
        (
            lab(nic=Nic(user=UserNetwork(domain="a,b"))),
            "`domain` of NIC 0 of guest `web`: `a,b` is not a domain name",
        ),
        (forwarding(70000), "NIC 0 of guest `web`: host port 70000 is not from 1 to 65535"),
        (
            Topology("shop", guests=(Guest("web", disks=(Disk(Path("a")),), cpus=0),)),
            "guest `web`: 0 CPUs are not from 1 to 1024",
        ),
        (
            Topology("shop", guests=(Guest("web", disks=(Disk(Path("a")),), memory_bytes=5),)),
            "guest `web`: 5 bytes of memory are not from 1M to 16T",
        ),
    ],
)
def test_topologies_made_in_python_are_checked_as_well(topology: Topology, what: str) -> None:
    assert words(topology) == [what]


@given(st.text(max_size=40))
def test_only_plain_names_pass(text: str) -> None:
    """Nothing that a shell, dnsmasq, QEMU or a path would read as more than a name."""
    topology = Topology(text, (Network(text, "private"),), (Guest(text, disks=(Disk(Path("a")),)),))
    found = words(topology)
    if names.is_name(text):
        assert all(re.search("reads like|is a word|stands for|is the lab's|is every machine's", word) for word in found)
    else:
        assert {word.partition(" name: ")[0] for word in found} == {"lab", "network", "guest"}
    if not found:
        assert re.fullmatch(r"[a-z0-9-]{1,32}", text, re.ASCII)


@given(st.text(max_size=20))
def test_only_plain_texts_reach_qemu_and_dnsmasq(text: str) -> None:
    for user in (
        UserNetwork(domain=text),
        UserNetwork(search=("ok.example", text)),
        UserNetwork(hostname=text),
        UserNetwork(bootfile=text),
    ):
        if not words(lab(nic=Nic(user=user))):
            assert re.fullmatch(r"[A-Za-z0-9._/+:-]+", text, re.ASCII)


def test_many_networks_are_compared_quickly() -> None:
    networks = tuple(Network(f"n{i}", "private", IPv4Network((0x0A000000 + i * 256, 24))) for i in range(5000))
    inside = Network("last", "private", IPv4Network("10.0.7.128/25"))
    assert words(Topology("shop", (*networks, inside))) == [
        "network `last`: 10.0.7.128/25 overlaps 10.0.7.0/24 of network `n7`"
    ]

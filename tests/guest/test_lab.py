"""The main job: guests of every kind boot, get their addresses and names, reach what they should and nothing else.

Run by an ordinary user this is the rootless realm, run by root the host realm (then in a network namespace that
scripts/test made for the whole run).
"""

from __future__ import annotations

import os
import re
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from qlan.host.process import wait_gone
from qlan.lab import Lab
from qlan.resources.model import Dnsmasq
from qlan.status import offloads
from qlan.topology.model import Realm

from .lab import IS_ROOT, BootedLab, booted
from .machine import GuestImage

pytestmark = pytest.mark.guest

LAB = """\
lab: shop
networks:
  lan:
    kind: host-only
    subnet: 10.77.0.0/24
    dhcp: {routes: {10.99.0.0/16: 10.77.0.200}, ntp: 10.77.0.9, options: {domain-search: [shop, shop.example]}}
    dns: {records: {repo.example: 10.77.0.9}}
  back: {kind: private, subnet: 10.78.0.0/24}
  served: {kind: private, dhcp: true}
guests:
  web: {KERNEL, nics: [lan, {network: served, model: rtl8139}]}
  db: {KERNEL, nics: [{network: lan, model: e1000, address: 10.77.0.200}, {network: back, address: 10.78.0.2}]}
  cache: {KERNEL, nics: [{network: back, address: 10.78.0.3}, {network: back, link: down}]}
  box: {KERNEL, nics: [{user: true, forwards: ["auto:80", "udp:127.0.0.1:auto:7"]}]}
  suspect: {KERNEL, nics: []}
"""


@pytest.fixture(scope="module")
def shop(guest_image: GuestImage) -> Iterator[BootedLab]:
    with booted(guest_image, LAB) as one:
        yield one


def pings(shop: BootedLab, guest: str, target: str) -> bool:
    return not shop.fails(guest, f"ping -c 1 -W 2 {target}")


def test_every_nic_has_the_address_that_status_tells(shop: BootedLab) -> None:
    for guest in shop.lab.status().guests:
        for nic in guest.nics:
            if nic.link == "up" and nic.address:
                assert f"inet {nic.address}/" in shop.sh(guest.name, f"ip -o -4 addr show dev eth{nic.index}")


def test_what_a_guest_takes_unfinished_is_shown(shop: BootedLab) -> None:
    """Linux' virtio driver agrees to all that the TAP has, an rtl8139 knows nothing of it."""
    found = offloads(shop.lab.layout, shop.lab.read()[0], "web")
    assert set(found["tap/web/0"]) >= {"checksum", "TSO", "TSO6"}
    assert found["tap/web/1"] == ()


def test_the_reserved_address_is_the_leased_one(shop: BootedLab) -> None:
    db = next(guest for guest in shop.lab.status().guests if guest.name == "db")
    assert (db.nics[0].address, db.nics[0].address_state) == ("10.77.0.200", "lease")


def test_guests_of_a_host_only_network_reach_each_other_and_the_host(shop: BootedLab) -> None:
    assert pings(shop, "web", "10.77.0.200")
    assert pings(shop, "db", shop.address("web"))
    assert pings(shop, "web", "10.77.0.1")


def test_the_host_reaches_guests_of_a_host_only_network(shop: BootedLab) -> None:
    page = shop.in_realm("curl", "-sS", "--max-time", "10", f"http://{shop.address('web')}/").stdout
    assert page.strip() == "web"


def test_names_with_and_without_the_lab(shop: BootedLab) -> None:
    for name in ("db", "db.shop"):
        assert "10.77.0.200" in shop.sh("web", f"nslookup {name}")
    assert pings(shop, "web", "db")
    assert shop.fails("web", "nslookup nobody.shop")


def test_guests_of_a_private_network_reach_each_other(shop: BootedLab) -> None:
    assert pings(shop, "cache", "10.78.0.2")


def test_a_private_network_leads_nowhere_else(shop: BootedLab) -> None:
    for target in ("10.77.0.1", "10.77.0.200", "10.78.0.1", "10.0.2.2", "192.0.2.1"):
        assert not pings(shop, "cache", target), target
    # not even when the guest tries to make the host a gateway
    shop.sh("cache", "ip route add default dev eth0")
    for target in ("10.77.0.1", shop.address("web")):
        assert not pings(shop, "cache", target), target
    shop.sh("cache", "ip route del default")


def test_the_host_is_not_on_a_private_network(shop: BootedLab) -> None:
    """Neither its bridge nor an address, of either family, is where the host's own are."""
    links = [line.split()[1] for line in shop.in_realm("ip", "-o", "link").stdout.splitlines()]
    assert any(name.startswith("lan") for name in links)
    assert not [name for name in links if name.startswith(("back", "served", "cache"))]
    addresses = shop.in_realm("ip", "-o", "-6", "address").stdout.splitlines()
    there = {line.split()[3].partition("/")[0] for line in addresses if line.split()[1].startswith("lan")}
    assert [one for one in there if not one.startswith("fe80:")] == [host_address6(shop)], (
        "somebody renumbered the host"
    )


def host_address6(shop: BootedLab) -> str:
    server = shop.lab.record.wanted["dnsmasq/lan"]  # type: ignore[union-attr]
    assert isinstance(server, Dnsmasq) and server.ipv6
    return str(server.ipv6.address.ip)


def test_guests_are_told_what_the_file_says(shop: BootedLab) -> None:
    """A route, a search list, a name of the file's, and names of guests on a network that a guest here is on too."""
    assert "10.99.0.0/16 via 10.77.0.200" in shop.sh("web", "ip -4 route")
    assert "shop.example" in shop.sh("web", "cat /etc/resolv.conf")
    assert "10.77.0.9" in shop.sh("web", "nslookup -type=a repo.example 10.77.0.1")
    assert "10.78.0.3" in shop.sh("db", "nslookup -type=a cache.shop 10.77.0.1"), "db is on both networks"
    assert shop.fails("web", "timeout 5 nslookup -type=a nowhere.example 10.77.0.1")
    shop.sh("web", "printf '#!/bin/sh\\necho ntpsrv=$ntpsrv\\n' >/run/told; chmod +x /run/told")
    offer = shop.sh("web", "udhcpc -f -n -q -t 5 -T 1 -O ntpsrv -i eth0 -s /run/told 2>&1")
    assert "ntpsrv=10.77.0.9" in offer


def test_guests_have_ipv6_beside_ipv4(shop: BootedLab) -> None:
    """By router advertisements: an address of the lab's own prefix, names for it, no way outside."""
    prefix = host_address6(shop).removesuffix(":1")
    made = shop.shell("web").wait_for(f"ip -6 -o addr show dev eth0 scope global | grep {prefix}", timeout_s=30)
    address = made.split()[3].partition("/")[0]
    assert pings(shop, "web", host_address6(shop))
    shop.shell("db").wait_for(f"ping -6 -c 1 -W 2 {address}", timeout_s=30)
    assert "default" not in shop.sh("web", "ip -6 route"), "nothing leads outside"
    answer = shop.shell("db").wait_for(f"nslookup -type=aaaa web.shop | grep {address}", timeout_s=30)
    assert address in answer


def test_all_who_answer_on_a_private_network_are_its_guests(shop: BootedLab) -> None:
    """IPv6 finds everyone on a link: each answer to a ping of all nodes must come from a guest's own address."""
    own = [line.split()[3].split("/")[0] for guest, nic in (("cache", "eth0"), ("db", "eth1"))
           for line in shop.sh(guest, f"ip -o -6 addr show dev {nic}").splitlines()]  # fmt: skip
    text = shop.shell("cache").try_run("ping -6 -c 3 -W 2 -I eth0 ff02::1").output
    answers = set(re.findall(r"from (fe80:[0-9a-f:]+[0-9a-f])", text))
    assert answers <= set(own), (answers, own)


def test_a_private_network_with_dhcp_gives_addresses_and_nothing_more(shop: BootedLab) -> None:
    routes = shop.sh("web", "ip route show dev eth1")
    assert "default" not in routes
    server = re.search(r"server=(\S+)|siaddr=(\S+)", shop.sh("web", "cat /run/lease/eth1 || true"))
    own = shop.address("web", 1)
    assert own.startswith(routes.split("/")[0].rsplit(".", 1)[0])
    assert server is None or own != server[1]


def test_a_forward_leads_to_the_web_server_and_udp_to_the_echo(shop: BootedLab) -> None:
    box = next(guest for guest in shop.lab.status().guests if guest.name == "box")
    ports = {word.rsplit("/", 1)[1]: int(re.search(r":(\d+) ->", word)[1]) for word in box.nics[0].forwards}  # type: ignore[index]
    with urllib.request.urlopen(f"http://127.0.0.1:{ports['tcp']}/", timeout=10) as page:
        assert page.read().strip() == b"box"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        for _ in range(3):  # UDP may lose one while the guest's ARP entry is made
            udp.sendto(b"hello", ("127.0.0.1", ports["udp"]))
            try:
                assert udp.recv(100) == b"hello"
                return
            except TimeoutError:
                continue
    pytest.fail("no echo")


def test_forwards_listen_on_loopback_alone(shop: BootedLab) -> None:
    box = next(guest for guest in shop.lab.status().guests if guest.name == "box")
    assert all(word.startswith("127.0.0.1:") for word in box.nics[0].forwards)


def test_a_guest_without_nics_has_none(shop: BootedLab) -> None:
    assert shop.sh("suspect", "ls /sys/class/net").split() == ["lo"]
    assert "Ethernet" not in shop.sh("suspect", "lspci")


def test_models_as_the_guest_sees_them(shop: BootedLab) -> None:
    drivers = {("web", 0): "virtio_net", ("web", 1): "8139cp", ("db", 0): "e1000"}
    for (guest, index), driver in drivers.items():
        found = shop.sh(guest, f"readlink /sys/class/net/eth{index}/device/driver").rsplit("/", 1)[1].strip()
        assert found == driver, (guest, index)
    nics = {nic.index: nic.mac for guest in shop.lab.status().guests if guest.name == "web" for nic in guest.nics}
    for index, mac in nics.items():
        assert shop.sh("web", f"cat /sys/class/net/eth{index}/address").strip() == mac


def test_a_link_that_is_down_at_first_is_seen_down(shop: BootedLab) -> None:
    assert shop.sh("cache", "cat /sys/class/net/eth0/carrier").strip() == "1"
    assert shop.sh("cache", "cat /sys/class/net/eth1/carrier").strip() == "0"


def test_dnsmasq_listens_on_its_bridge_alone(shop: BootedLab) -> None:
    rows = shop.in_realm("ss", "-Hlnup").stdout.splitlines()
    local = [row.split()[3] for row in rows if "dnsmasq" in row]
    assert local, "dnsmasq is not there"
    for address in local:
        ours = (
            r"10\.77\.0\.1:53|0\.0\.0\.0%lan[^:]*:67|\[fe80::[0-9a-f:]+\]%lan[^:]*:53"
            r"|\[fd[0-9a-f:]+::1\]:53|\[::\]%lan[^:]*:547"
        )
        assert re.fullmatch(ours, address), address


def test_bridges_don_t_swallow_the_first_frames(shop: BootedLab) -> None:
    import json

    rows = json.loads(shop.in_realm("ip", "-j", "-d", "link", "show", "type", "bridge").stdout)
    assert rows
    for row in rows:
        data = row["linkinfo"]["info_data"]
        assert (data["stp_state"], data["forward_delay"]) == (0, 0)


def test_status_has_no_drift_and_a_second_up_does_nothing(shop: BootedLab) -> None:
    assert shop.lab.status().drift == ()
    assert not Lab.load(shop.lab.topology.source).up().plan  # type: ignore[union-attr, arg-type]


def test_qemu_is_never_root(shop: BootedLab) -> None:
    for guest in shop.lab.status().guests:
        uids = re.search(r"^Uid:\s+(\d+)\s+(\d+)", Path(f"/proc/{guest.pid}/status").read_text(), re.MULTILINE)
        assert uids and "0" not in uids.groups()
        assert IS_ROOT or int(uids[1]) == os.geteuid()


def test_each_qemu_holds_its_own_taps_and_nobody_else_s(shop: BootedLab) -> None:
    for guest in shop.lab.status().guests:
        infos = [path.read_text() for path in Path(f"/proc/{guest.pid}/fdinfo").iterdir()]
        held = [found[1] for text in infos if (found := re.search(r"^iff:\s+(\S+)", text, re.MULTILINE))]
        assert len(held) == sum(nic.network != "user" for nic in guest.nics), (guest.name, held)
        assert all(name.startswith(guest.name[:3]) for name in held), (guest.name, held)


def test_the_realm_is_where_it_should_be(shop: BootedLab) -> None:
    outside = os.popen("ip -o link").read()
    assert shop.lab.realm is (Realm.HOST if IS_ROOT else Realm.ROOTLESS)
    assert ("lan-" in outside) is IS_ROOT
    assert IS_ROOT or " lan:" not in outside


def test_a_bridge_deleted_behind_qlan_s_back_is_drift_and_up_repairs_it(shop: BootedLab) -> None:
    shop.in_realm("ip", "link", "del", "lan" if not IS_ROOT else bridge_name(shop, "lan"))
    assert any("bridge/lan" in line for line in shop.lab.status().drift)
    Lab.load(shop.lab.topology.source).up()  # type: ignore[union-attr, arg-type]
    assert shop.lab.status().drift == ()
    shop.shell("web").wait_for("ping -c 1 -W 1 10.77.0.200")
    assert "10.77.0." in shop.sh("web", "udhcpc -f -n -q -t 5 -T 1 -i eth0 -s /bin/true 2>&1"), "DHCP is deaf"


def bridge_name(shop: BootedLab, network: str) -> str:
    from qlan.resources.model import Bridge

    bridge = shop.lab.record.wanted[f"bridge/{network}"]  # type: ignore[union-attr]
    assert isinstance(bridge, Bridge)
    return bridge.name


def test_a_killed_dnsmasq_comes_back(shop: BootedLab) -> None:
    text = shop.in_realm("ss", "-Hlnup").stdout
    pid = re.search(r'"dnsmasq",pid=(\d+)', text)
    assert pid
    os.kill(int(pid[1]), 9)
    assert wait_gone([int(pid[1])], 10) == []  # a signal is sent before it is obeyed
    assert any("dnsmasq/lan" in line for line in shop.lab.status().drift)
    Lab.load(shop.lab.topology.source).up()  # type: ignore[union-attr, arg-type]
    assert shop.lab.status().drift == ()
    assert "10.77.0.200" in shop.sh("web", "nslookup db")


def test_a_guest_can_be_taken_down_and_keeps_its_address(shop: BootedLab) -> None:
    before = shop.address("web")
    lab = Lab.load(shop.lab.topology.source)  # type: ignore[union-attr, arg-type]
    lab.down(["web"], grace_s=20)
    assert [guest.name for guest in lab.status().guests if guest.name == "web"] == []
    assert pings(shop, "db", "10.77.0.1"), "the others go on"
    shop.shell("web").close()
    lab.up(["web"])
    lab.wait(["web"], time_limit_s=120)
    assert shop.address("web") == before
    shop.shell("db").wait_for(f"ping -c 1 -W 1 {before}", timeout_s=10)  # the lease is seen before the guest sets it

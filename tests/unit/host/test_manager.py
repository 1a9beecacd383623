"""A NIC's profile as its manager has it on disk, and what of it the bridge gets."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess
from textwrap import dedent

import pytest

from qlan.facts.manager import NETWORKD, NETWORKMANAGER, Manager
from qlan.host import manager
from qlan.render.manager import back, files
from qlan.resources.model import Bridge, Uplink

UUID = "0dc1f2ab-3ae2-4ea2-8a4f-1e6a38ee6a55"
ROW = {"ifname": "eth0", "ifindex": 2}
BRIDGE = Bridge("lan", "br-lan", "52:54:00:00:00:01")


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text))


def test_networkds_file_with_its_drop_ins(tmp_path: Path) -> None:
    put(tmp_path / "run/systemd/netif/links/2", """\
        # This is private data. Do not parse.
        ADMIN_STATE=configured
        NETWORK_FILE=/etc/systemd/network/20-wired.network
        DHCP_LEASE=/run/systemd/netif/leases/2
        DHCP6_CLIENT_IAID=0x558c01b
        """)  # fmt: skip
    put(tmp_path / "run/systemd/netif/leases/2", "CLIENTID=ff0558c01b00020000ab110033bdebf95e192c\n")
    put(tmp_path / "etc/systemd/network/20-wired.network", """\
        # the office
        [Match]
        Name=eth*
        MACAddress=52:54:00:00:00:01
        [Link]
        MTUBytes=1400
        [Network]
        DHCP=yes
        VLAN=eth0.7
        DNS=192.0.2.1 \\
            192.0.2.2
        [Address]
        Address=192.0.2.7/24
        [Address]
        Address=192.0.2.8/24
        """)  # fmt: skip
    put(tmp_path / "etc/systemd/network/20-wired.network.d/b.conf", "[DHCPv4]\nRouteMetric=77\n")
    put(tmp_path / "usr/lib/systemd/network/20-wired.network.d/b.conf", "[DHCPv4]\nRouteMetric=1\n")
    put(tmp_path / "run/systemd/network/20-wired.network.d/a.conf", "[Network]\nLLDP=yes\n")
    found = manager.find(ROW, tmp_path)
    assert found == Manager(
        NETWORKD,
        "/etc/systemd/network/20-wired.network",
        (
            ("Network", ("DHCP=yes", "DNS=192.0.2.1      192.0.2.2")),
            ("Address", ("Address=192.0.2.7/24",)),
            ("Address", ("Address=192.0.2.8/24",)),
            ("Network", ("LLDP=yes",)),
            ("DHCPv4", ("RouteMetric=77",)),
            ("DHCPv4", ("IAID=89702427",)),
            ("DHCPv6", ("IAID=89702427",)),
        ),
    )
    there = dict(files(found, Uplink("lan", "eth0", "br-lan"), BRIDGE))
    assert list(map(str, there)) == [
        "/run/systemd/network/0-qlan-eth0.network",
        "/run/systemd/network/0-qlan-br-lan.network",
        "/run/systemd/network/0-qlan-br-lan-taps.network",
    ]
    assert "Unmanaged=yes" in next(iter(there.values()))
    assert [*there.values()][1].startswith("[Match]\nName=br-lan\n\n[Network]\nDHCP=yes\n")
    assert back(found, Uplink("lan", "eth0", "br-lan")) == [("networkctl", "reload")]


@pytest.mark.parametrize(
    ("made", "token"),
    [
        (["2001:db8::aa:bb"], "static:::aa:bb"),
        (["2001:db8::aa:bb", "2001:db8:1::aa:bb"], "static:::aa:bb"),
        (["2001:db8::aa:bb", "2001:db8:1::cc:dd"], "prefixstable"),  # it would make four of two
        ([], "prefixstable"),
    ],
)
def test_networkds_address_of_the_nics_name(tmp_path: Path, made: list[str], token: str) -> None:
    put(
        tmp_path / "run/systemd/netif/links/2",
        "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/20-a.network\n",
    )
    put(tmp_path / "etc/systemd/network/20-a.network", """\
        [Network]
        Address=2001:db8::7/64
        [IPv6AcceptRA]
        Token=prefixstable
        UseDNS=no
        """)  # fmt: skip
    here = [{"family": "inet6", "scope": "global", "prefixlen": 64, "local": one} for one in ("2001:db8::7", *made)]
    found = manager.find(ROW | {"addr_info": here}, tmp_path)
    assert found
    assert dict(found.profile)["IPv6AcceptRA"] == (f"Token={token}", "UseDNS=no")


def test_a_file_that_would_come_before_ours(tmp_path: Path) -> None:
    put(
        tmp_path / "run/systemd/netif/links/2", "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/-x.network\n"
    )
    found = manager.find(ROW, tmp_path)
    assert found
    assert "comes before any of ours" in found.obstacle


NM_STATE = f"[device]\nmanaged=true\nconnection-uuid={UUID}\nroute-metric-default-effective=100\n"
PROFILE = """\
[connection]
id=office
type=802-3-ethernet
[802-3-ethernet]
mtu=1400
cloned-mac-address=random
[ipv4]
method=auto
[ipv6]
method=auto
address1=2001:db8::7/64
"""


@pytest.fixture
def in_networkmanager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    put(tmp_path / "run/NetworkManager/devices/2", NM_STATE)
    put(tmp_path / "office.nmconnection", PROFILE)
    listed = CompletedProcess([], 0, f"{UUID}:{tmp_path}/office.nmconnection\n", "")
    monkeypatch.setattr(manager, "run", lambda *_, **__: listed)
    monkeypatch.setattr(manager, "find_tool", lambda name: name)
    return tmp_path


def address(local: str, **more: object) -> dict[str, object]:
    return {"family": "inet6", "local": local, "prefixlen": 64, "scope": "global", **more}


def test_an_address_of_the_nic_is_the_bridge_s(in_networkmanager: Path) -> None:
    """Not one that the profile says, and not one that is for privacy, whatever their lifetimes."""
    rows = [address("2001:db8::7"), address("2001:db8::1:2:3:4", temporary=True), address("2001:db8::5:6:7:8")]
    found = manager.find({**ROW, "addr_info": rows}, in_networkmanager)
    assert found
    [ipv6] = [lines for section, lines in found.profile if section == "ipv6"]
    assert ipv6[-2:] == ("addr-gen-mode=eui64", "token=::5:6:7:8")
    assert "route-metric=100" in ipv6
    assert found.port == (("ethernet", ("mtu=1400",)),), "the MAC stays the one that is"


def test_nobodys(tmp_path: Path) -> None:
    assert manager.find(ROW, tmp_path) is None
    put(tmp_path / "run/systemd/netif/links/2", "ADMIN_STATE=unmanaged\n")
    assert manager.find(ROW, tmp_path) is None


def test_networkmanagers_profile_for_a_bridge() -> None:
    one = Manager(
        NETWORKMANAGER,
        UUID,
        (
            ("connection", ("zone=work",)),
            ("ipv4", ("method=auto",)),
            ("ipv6", ("method=auto", "addr-gen-mode=default")),
        ),
        (("ethernet", ("wake-on-lan=64",)),),
    )
    there = files(one, Uplink("lan", "eth0", "br-lan"), BRIDGE)
    (bridge_path, bridge), (_, port) = there
    assert str(bridge_path) == "/run/NetworkManager/system-connections/qlan-br-lan.nmconnection"
    assert "type=bridge\ninterface-name=br-lan\nzone=work\n" in bridge
    uuid = next(line for line in bridge.splitlines() if line.startswith("uuid=")).removeprefix("uuid=")
    assert f"master={uuid}\nslave-type=bridge\n" in port
    assert port.endswith("[ethernet]\nwake-on-lan=64\ncloned-mac-address=52:54:00:00:00:01\n")
    assert back(one, Uplink("lan", "eth0", "br-lan"))[0][-1] == UUID


def test_state_files_of_one_that_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine went from NetworkManager to systemd-networkd, and was not booted since."""
    monkeypatch.setattr(manager, "find_tool", lambda _: None)
    put(tmp_path / "run/NetworkManager/devices/2", NM_STATE)
    assert manager.find(ROW, tmp_path) is None
    put(tmp_path / "run/systemd/netif/links/2", "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/x.network\n")
    found = manager.find(ROW, tmp_path)
    assert found
    assert found.program == NETWORKD

"""What other programs and the kernel print, read: captured from the versions that the folders of golden/read name."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlan import names
from qlan.host import leases, link, packages, process, qemu, shaping, taken
from qlan.host.leases import Lease
from qlan.resources import codec
from qlan.resources.model import Address, Bridge, Resource, Resources, Shaping, Tap
from tests import samples

READ = samples.GOLDEN / "read"
ROOTLESS = READ / "iproute2-6.1.0" / "rootless"  # a lab that was up, with a stranger's links beside it
LINKS = (Bridge, Tap, Address)


def text(name: str) -> str:
    return (READ / name).read_text(encoding="utf-8")


# --- tc -j qdisc show


def test_what_netem_and_a_bucket_in_it_do_is_read() -> None:
    """Captured from Linux 6.1; tc's ticks make 12.34 ms of delay 12.339."""
    taps = [Tap("a", 0, "a.0-b60bc", "lan", "lan-f6836"), Tap("b", 0, "b.0-696fd", "lan", "lan-f6836")]
    rows = json.loads(text("iproute2-6.1.0/netem/qdisc.json"))
    first, second = shaping.parse(rows, {"b.0-696fd": "b.0.out-4df01"}, taps, {("b", 0): "b.0.out-4df01"})
    assert first == Shaping(
        "a", 0, "in", "a.0-b60bc", "a.0-b60bc", 8_000_000, 10_240, delay_us=12_340, jitter_us=1_230,
        loss_ppm=12_345, duplicate_ppm=10_000, corrupt_ppm=1_000, reorder_ppm=250_000,
    )  # fmt: skip
    assert second == Shaping("b", 0, "out", "b.0-696fd", "b.0.out-4df01", delay_us=1000)


# --- ip -j -d address show


def tables() -> dict[str, list[link.Row]]:
    return {
        "namespace/realm": json.loads((ROOTLESS / "realm.json").read_text(encoding="utf-8")),
        "namespace/back": json.loads((ROOTLESS / "back.json").read_text(encoding="utf-8")),
    }


def links(intents: dict[str, str] | None = None, lab: str = "capture") -> Resources:
    known = link.Intents(intents or {}, str(names.link_group(lab)))
    return {one.key: one for one in link.parse(tables(), lab, known)}


def wanted_links() -> Resources:
    """What the lab's record says was wanted."""
    record = json.loads((ROOTLESS / "lab.json").read_text(encoding="utf-8"))
    found: list[Resource] = [codec.decode(one) for one in record["wanted"]]
    return {one.key: one for one in found if isinstance(one, LINKS)}


def test_the_links_of_a_lab_are_read_as_they_were_wanted() -> None:
    """All but an address that somebody put on our bridge: it is seen, and is drift."""
    wanted = wanted_links()
    assert len(wanted) == 7
    odd = Address("bridge/lan", "lan", IPv4Interface("10.10.10.77/32"), "namespace/realm")
    assert links() == wanted | {odd.key: odd}


def test_a_stranger_s_links_are_not_ours() -> None:
    """No mark, another lab's mark, or our group without our intent."""
    everything = {row["ifname"] for row in tables()["namespace/realm"]}
    assert {"stranger", "odd", "other", "half"} <= everything
    found = {getattr(one, "name", getattr(one, "link", "")) for one in links().values()}
    assert not found & {"stranger", "odd", "other", "half"}
    other = links(lab="other").values()
    assert {getattr(one, "name", "") for one in other if isinstance(one, Bridge)} == {"other"}


def test_a_link_that_was_being_made_is_known_by_intent_and_group() -> None:
    """`half` has our group and no mark yet; `stranger` was intended too, but has another group: somebody else's."""
    found = links({"half": "bridge/half", "stranger": "bridge/stranger", "other": "bridge/mine"})
    assert isinstance(found["bridge/half"], Bridge)
    assert not {"bridge/stranger", "bridge/mine"} & found.keys()


def test_a_tap_that_lost_its_bridge() -> None:
    rows = tables()
    for row in rows["namespace/realm"] + rows["namespace/back"]:
        row.pop("master", None)
    known = link.Intents({}, "0")
    taps = [one for one in link.parse(rows, "capture", known) if isinstance(one, Tap)]
    assert len(taps) == 3
    assert all((one.bridge, one.network) == ("", "") for one in taps)


@pytest.mark.parametrize(
    ("alias", "key"),
    [("qlan:capture:tap/a/0", "tap/a/0"), ("qlan:capture2:tap/a/0", None), ("xqlan:capture:tap/a/0", None),
     ("qlan:cap", None), ("", None)],
)  # fmt: skip
def test_a_mark(alias: str, key: str | None) -> None:
    assert link.parse_alias({"ifalias": alias}, "capture") == key


# --- /proc/PID/stat


def test_a_stat_line_of_a_qemu() -> None:
    assert process.parse_stat(text("linux-6.18/stat")) == process.Stat(*_stat_of_the_file())


def _stat_of_the_file() -> tuple[int, int, str, int]:
    words = text("linux-6.18/stat").split()
    return int(words[0]), int(words[21]), words[2], int(words[3])  # proc(5): fields 1, 22, 3, 4


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=15))
def test_a_process_may_call_itself_anything(name: str) -> None:
    """Blanks, parentheses, digits, newlines: the name ends at the last parenthesis of the line."""
    words = text("linux-6.18/stat").split(" ", 2)
    odd = f"{words[0]} ({name}) {words[2]}"
    assert process.parse_stat(odd) == process.parse_stat(text("linux-6.18/stat"))


@pytest.mark.parametrize("line", ["", "1", "1 (x) S", "no numbers (x) " + "0 " * 30, "() " + "0 " * 30, "\0" * 100])
def test_what_is_no_stat_line(line: str) -> None:
    """A record that was cut off by a full disk."""
    with pytest.raises(ValueError):
        process.parse_stat(line)


def test_a_record_names_one_process_for_ever(tmp_path: Path) -> None:
    """The same id with another start time is somebody else."""
    record = tmp_path / "process"
    mine = Path("/proc/self/stat").read_text(encoding="utf-8")
    stat = process.parse_stat(mine)
    record.write_text(mine, encoding="utf-8")
    assert process.find_recorded(record) == stat.pid
    record.write_text(mine.replace(f" {stat.start} ", f" {stat.start - 1} "), encoding="utf-8")
    assert process.find_recorded(record) is None


def test_a_pid_file_counts_only_with_its_mark(tmp_path: Path) -> None:
    record = tmp_path / "pid"
    stat = process.parse_stat(Path("/proc/self/stat").read_text(encoding="utf-8"))
    record.write_text(f"{stat.pid}\n", encoding="utf-8")
    words = Path("/proc/self/cmdline").read_bytes().split(b"\0")
    assert process.find_recorded(record, mark=words[0].decode()) == stat.pid
    assert process.find_recorded(record, mark="/no/such/conf") is None
    assert process.find_recorded(tmp_path / "missing") is None


# --- dnsmasq's leases


def test_the_leases_of_two_guests() -> None:
    assert leases.parse(text("dnsmasq-2.90/leases")) == [
        Lease(1795554299, "52:43:d3:bf:5f:42", IPv4Address("10.10.20.64"), "web"),
        Lease(1795554295, "52:a6:7d:95:3f:3e", IPv4Address("10.10.20.65"), "db"),
    ]


def test_ipv6_leases() -> None:
    """The MAC is in the DUID, if its sort says it; the server's own DUID and a line that is cut off are none."""
    lines = (
        "1795554299 52:54:00:00:00:01 10.0.0.9 web *\n"
        "duid 00:01:00:01:30:b5:c4:43:52:54:00:00:00:ff\n"
        "1795554299 77 fd00:1::64 web 00:01:00:01:30:b5:c4:43:52:54:00:aa:bb:01\n"
        "0 T78 fd00:1::65 * 00:03:00:01:52:54:00:aa:bb:02\n"
        "5 79 fd00:1::66 box 00:02:00:00:ab:11:01:02:03:04:05:06:07:08\n"
        "5 80 fd00:1::"
    )
    assert leases.parse6(lines) == [
        Lease(1795554299, "52:54:00:aa:bb:01", IPv6Address("fd00:1::64"), "web"),
        Lease(0, "52:54:00:aa:bb:02", IPv6Address("fd00:1::65"), ""),
        Lease(5, "", IPv6Address("fd00:1::66"), "box"),
    ]
    assert [str(one.address) for one in leases.parse(lines)] == ["10.0.0.9"]


@pytest.mark.parametrize(
    ("line", "lease"),
    [
        ("0 52:54:00:AA:bb:01 10.0.0.9 * *", Lease(0, "52:54:00:aa:bb:01", IPv4Address("10.0.0.9"), "")),
        ("duid 00:01:00:01:2c:9f", None),
        ("1795554299 1668772 fd00::64 web 00:01:00:01", None),  # DHCPv6
        ("1795554299 52:54:00:aa:bb:01 10.0.0.9 we", None),  # being written
        ("1795554299 52:54:00:aa:bb:01 10.0.0. web *", None),
        ("", None),
    ],
)
def test_a_line_of_the_lease_file(line: str, lease: Lease | None) -> None:
    assert leases.parse(line) == ([lease] if lease else [])


@given(st.integers(0, 131))
def test_a_lease_file_that_is_cut_anywhere(length: int) -> None:
    """dnsmasq rewrites it while we read: never an error, and never a lease that was not there."""
    whole = text("dnsmasq-2.90/leases")
    for lease in leases.parse(whole[:length]):
        assert (lease.mac, lease.name) in {("52:43:d3:bf:5f:42", "web"), ("52:a6:7d:95:3f:3e", "db")}


# --- QEMU's help


def test_the_machines_of_a_qemu() -> None:
    machines, default = qemu.parse_machines(text("qemu-7.2.22/machines.txt"))
    assert default == "pc"  # the alias of pc-i440fx-7.2, which is the one marked (default)
    assert {"pc", "q35", "microvm", "none", "pc-q35-7.2"} <= set(machines)
    assert "Supported" not in machines


@pytest.mark.parametrize(
    ("lines", "default"),
    [("virt  x (alias of virt-9.0)\nvirt-9.0 y", "virt"), ("odd one\nother two", "odd"), ("", "")],
)
def test_a_qemu_without_a_default_machine(lines: str, default: str) -> None:
    assert qemu.parse_machines(f"Supported machines are:\n{lines}")[1] == default


def test_the_nics_of_a_qemu() -> None:
    models, buses = qemu.parse_devices(text("qemu-7.2.22/devices.txt"))
    assert models["e1000"] == "Intel Gigabit Ethernet"
    assert models["virtio-net-pci"] == ""
    assert buses["virtio-net-pci"] == "PCI"
    assert buses["usb-net"] == "usb-bus"
    assert buses["ne2k_isa"] == "ISA"
    assert models.keys() == buses.keys()
    others = {"virtio-blk-pci", "qemu-xhci", "VGA", "virtio-serial-pci"}
    assert not others & models.keys(), "disks, hosts and screens are no NICs"


# --- listening ports


@pytest.mark.parametrize(
    ("name", "state", "expected"),
    [
        ("tcp", "0A", {("127.0.0.1", 44625), ("127.0.0.1", 8081), ("127.0.0.1", 36201), ("0.0.0.0", 2024),
                       ("127.0.0.1", 33449)}),
        ("udp", "07", {("127.0.0.1", 52814), ("0.0.0.0", 5354)}),
        # [::] takes the port on IPv4 too, ::ffff:127.0.0.1 is 127.0.0.1
        ("tcp6", "0A", {("0.0.0.0", 9701), ("::", 9701), ("127.0.0.1", 9703), ("::1", 9702)}),
        ("missing", "0A", set()),
    ],
)  # fmt: skip
def test_who_listens(name: str, state: str, expected: set[tuple[str, int]]) -> None:
    """Connections that wait for their end (state 06) are in the same table and hold no port."""
    found = list(taken._sockets(READ / "linux-6.18" / name, state))
    assert {(str(address), port) for address, port, _ in found} == expected
    assert all(owner.startswith("socket:[") for _, _, owner in found)


# --- os-release


@pytest.mark.parametrize(
    ("name", "family", "hint"),
    [
        ("debian-12", "debian", "apt install dnsmasq-base"),
        ("ubuntu-24.04", "debian", "apt install dnsmasq-base"),
        ("fedora-41", "fedora", "dnf install dnsmasq"),
        ("rocky-9", "fedora", "dnf install dnsmasq"),
        ("arch", "arch", "pacman -S dnsmasq"),
        ("manjaro", "arch", "pacman -S dnsmasq"),
        ("alpine-3.20", "", "install the package that has `dnsmasq`"),
        ("missing", "", "install the package that has `dnsmasq`"),
    ],
)
def test_which_packages(name: str, family: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert packages.family(READ / "os-release" / name) == family
    monkeypatch.setattr(packages, "family", lambda: family)
    assert packages.install_hint("dnsmasq") == hint

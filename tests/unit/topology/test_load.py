"""Good files and what they mean; files that are refused before they are read."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from qlan.problems import Mark, TopologyError
from qlan.topology import document
from qlan.topology.load import SIZE_MAX_BYTES, lab_name, load, parse
from qlan.topology.model import Dhcp, Disk, Guest, Network, Nic, Realm, Topology, UserNetwork

SHOP = (Path(__file__).parents[2] / "golden/load/every-form/qlan.yaml").read_text(encoding="utf-8")


def bare(text: str, file: str = "/labs/shop/qlan.yaml") -> Topology:
    return parse(text, file)


def test_a_whole_file() -> None:
    topology = bare(SHOP)
    assert (topology.lab, topology.realm, topology.run_as) == ("shop", Realm.ROOTLESS, "alice")
    assert topology.source == Path("/labs/shop/qlan.yaml")
    lan, quiet, back = topology.networks
    assert (lan.kind, lan.subnet, lan.dns) == ("host-only", IPv4Network("10.10.10.0/24"), True)
    assert lan.dhcp
    assert (lan.dhcp.first, lan.dhcp.last) == (IPv4Address("10.10.10.2"), IPv4Address("10.10.10.100"))
    assert lan.dhcp.lease_time_s == 1800
    assert (quiet.dhcp, quiet.dns, quiet.mtu_bytes) == (None, False, 1400)
    assert (back.kind, back.subnet, back.dhcp) == ("private", None, None)


def test_a_whole_guest() -> None:
    web, db, box, plain, suspect = bare(SHOP).guests
    assert [disk.path for disk in web.disks] == [Path("/labs/shop/web.qcow2")]
    assert (web.memory_bytes, web.cpus, web.machine, web.arch, web.accel) == (1536 << 20, 2, "q35", "x86_64", "tcg")
    assert (web.cloud_init, web.qemu_args) == (True, ("-device", "virtio rng", "-snapshot"))
    one, two = web.nics
    assert (one.network, one.address, one.model, one.boot) == ("lan", IPv4Address("10.10.10.10"), "virtio", False)
    assert (two.mac, two.link_up, two.boot, two.mtu_bytes) == ("52:54:00:12:34:57", False, True, 1400)
    assert [(disk.path, disk.format, disk.interface, disk.read_only) for disk in db.disks] == [
        (Path("/images/db.qcow2"), None, "virtio", False),
        (Path.home() / "data.img", "raw", "ide", True),
    ]
    assert (box.kernel, box.append) == (Path("/labs/shop/vmlinuz"), 'console=ttyS0 x="a b"')
    assert box.qemu_args == ("-name", "on", "0x10")
    assert box.nics[0].user == UserNetwork(
        hostname="box", subnet=IPv4Network("10.0.5.0/24"), search=("lab.example",), ipv6=False
    )
    assert [nic.user for nic in plain.nics] == [UserNetwork()]
    assert suspect.nics == ()


def test_values_know_their_place() -> None:
    topology = bare(SHOP)
    lines = SHOP.splitlines()
    mark = topology.networks[0].marks["subnet"]
    assert lines[mark.line - 1][mark.column - 1 :].startswith("10.10.10.0/24")
    mark = topology.guests[0].nics[1].marks["mac"]
    assert lines[mark.line - 1][mark.column - 1 :].startswith("52:54:00:12:34:57")
    assert topology.guests[1].mark == Mark("/labs/shop/qlan.yaml", lines.index("  db:") + 1, 3)


def test_defaults_of_the_file_are_those_of_the_model() -> None:
    """What a file leaves out is what a topology made in Python has."""
    topology = bare("lab: x\nnetworks: {lan: {kind: private}}\nguests: {a: {disk: a.img, nics: [lan]}}")
    (network,), (guest,) = topology.networks, topology.guests
    assert network == Network("lan", "private", mark=network.mark)
    disk = Disk(Path("/labs/shop/a.img"), mark=guest.disks[0].mark)
    assert guest == Guest("a", disks=(disk,), nics=(Nic("lan", mark=guest.nics[0].mark),), mark=guest.mark)


@pytest.mark.parametrize("text", ["kind: host-only", "{kind: host-only, dhcp: true}", "{kind: host-only, dhcp: {}}"])
def test_host_only_serves_dhcp(text: str) -> None:
    text = text if text.startswith("{") else f"{{{text}}}"
    (network,) = bare(f"networks: {{lan: {text}}}").networks
    assert network.dhcp
    assert network.dhcp == Dhcp(mark=network.dhcp.mark)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("true", True), ("yes", True), ("On", True), ("false", False), ("NO", False), ("off", False), ('"no"', False)],
)
def test_booleans_where_booleans_are_due(text: str, meant: bool) -> None:
    assert bare(f"networks: {{lan: {{kind: private, dns: {text}}}}}").networks[0].dns is meant


@pytest.mark.parametrize("word", ["on", "no", "1e3", "1_000", "0x10", "1:30:00", "1.10", "null-1", "2001-01-01"])
def test_words_stay_the_words_they_are(word: str) -> None:
    """YAML 1.1 makes a boolean, number, time or date of each."""
    assert bare(f"guests: {{a: {{disk: {word}, qemu_args: [{word}]}}}}").guests[0].qemu_args == (word,)


@pytest.mark.parametrize(
    ("text", "size"),
    [("512M", 512 << 20), ("1G", 1 << 30), ("2048k", 2 << 20), ("1.5GiB", 1536 << 20), ("1 gb", 1 << 30)],
)
def test_memory(text: str, size: int) -> None:
    assert bare(f"guests: {{a: {{disk: a, memory: {text}}}}}").guests[0].memory_bytes == size


@pytest.mark.parametrize(
    ("folder", "name"),
    [("shop", "shop"), ("My Lab", "my-lab"), ("été_2024", "t-2024"), ("..", "lab"), ("-x-", "x"), ("a" * 99, "a" * 32)],
)
def test_a_lab_without_a_name_has_its_folder_s(folder: str, name: str) -> None:
    assert lab_name(folder) == name


def test_the_folder_is_the_file_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Some Lab").mkdir()
    (tmp_path / "Some Lab" / "qlan.yaml").write_text("guests: {a: {disk: a.img}}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    topology = load(Path("Some Lab/qlan.yaml"))
    assert topology.lab == "some-lab"
    assert topology.guests[0].disks[0].path == tmp_path / "Some Lab" / "a.img"
    assert topology.guests[0].mark == Mark("Some Lab/qlan.yaml", 1, 10)


def test_merge_keys_bring_what_is_not_written() -> None:
    text = "guests:\n  a: &base\n    disk: a.img\n    memory: 1G\n  b:\n    <<: *base\n    memory: 2G\n"
    _, guest = bare(text).guests
    assert (guest.disks[0].path.name, guest.memory_bytes) == ("a.img", 2 << 30)


def test_aliases_repeat_values() -> None:
    topology = bare("guests:\n  a: {disk: a.img, nics: &nics [user, user]}\n  b: {disk: b.img, nics: *nics}\n")
    assert topology.guests[0].nics == topology.guests[1].nics


def test_a_byte_order_mark_is_nothing() -> None:
    assert bare("\ufefflab: x\n").lab == "x"


def refused(path: Path) -> str:
    with pytest.raises(TopologyError) as caught:
        load(path)
    return str(caught.value).replace(str(path.parent), "DIR")


def test_a_missing_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "qlan.yaml") == (
        "DIR/qlan.yaml:1:1: there is no such file\n  hint: `qlan init` writes one; `-f FILE` names another"
    )


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    assert refused(tmp_path / "lab") == (
        "DIR/lab:1:1: this is a folder\n  hint: name the file in it, like DIR/lab/qlan.yaml"
    )


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "qlan.yaml"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    assert refused(path) == (
        "DIR/qlan.yaml:1:1: the file is 100 MB; more than 8 is not read\n  hint: is it a disk image?"
    )


def test_an_endless_file_is_not_read(tmp_path: Path) -> None:
    """A device says that it has no size."""
    (tmp_path / "zero").symlink_to("/dev/zero")
    assert refused(tmp_path / "zero") == "DIR/zero:1:1: more than 8 MB is not read\n  hint: is it a disk image?"


def test_the_largest_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "qlan.yaml"
    text = "lab: x\n#"
    path.write_text(text + "x" * (SIZE_MAX_BYTES - len(text)), encoding="utf-8")
    assert load(path).lab == "x"


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "qlan.yaml"
    path.symlink_to(path)
    assert refused(path) == "DIR/qlan.yaml:1:1: the file cannot be read: Too many levels of symbolic links"


def test_more_values_than_a_lab_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "NODES_MAX", 1000)
    with pytest.raises(TopologyError) as caught:
        bare("guests: [" + "1," * 1000 + "]")
    assert "more than 1000 values" in str(caught.value)


def test_deep_nesting_is_refused_at_once() -> None:
    """The C composer would recurse until the stack ends."""
    with pytest.raises(TopologyError) as caught:
        bare("[" * 4_000_000)
    assert "more than 32 levels deep" in str(caught.value)

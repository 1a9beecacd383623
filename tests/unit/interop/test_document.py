"""What is written loads, means what it was made of, and says what it leaves out."""

from __future__ import annotations

import time
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

from qlan.interop import document
from qlan.interop.imported import HEAD, Imported, Notes, our_name
from qlan.topology import load
from qlan.topology.check import check_written
from qlan.topology.checks.names import name_fault
from qlan.topology.model import Dhcp, Disk, Forward, Guest, Network, Nic, Topology, UserNetwork

from .labs import differences

FOLDER = Path("/lab")
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1)
odd_words = st.one_of(
    words, st.sampled_from(["null", "~", "on", "0x10", "1e3", "- a", "a: b", "#x", "{a}", "a #b", " a "])
)


def written(topology: Topology, notes: Notes | None = None) -> str:
    return document.write(Imported(topology, notes or Notes(), "a test"))


@given(
    odd_words,
    st.lists(odd_words, max_size=3),
    st.integers(1 << 10, 1 << 20),
    st.sampled_from(["ide", "virtio", "none"]),
)
def test_odd_words_come_back(text: str, args: list[str], memory_kb: int, interface: str) -> None:
    disk = Disk(Path("/images") / text.replace("/", "_"), "raw", interface)
    guest = Guest("web", (disk,), Path("/k"), append=text, memory_bytes=memory_kb << 10, qemu_args=tuple(args),
                  nics=(Nic(user=UserNetwork()),))  # fmt: skip
    topology = Topology("shop", guests=(guest,))
    text = written(topology)
    assert differences(topology, load.parse(text, "/lab/qlan.yaml")) == {}
    yaml.safe_load(text)  # other readers take it too


def test_everything_of_the_model() -> None:
    user = UserNetwork(
        IPv4Network("10.0.5.0/24"), IPv4Address("10.0.5.3"), IPv4Address("10.0.5.20"), IPv4Address("10.0.5.4"),
        "lab.example", ("a.example", "b.example"), "box", True, False, None, True, Path("/t"), "pxelinux.0", Path("/s"),
        ("tcp:10.0.5.100:80-cmd:cat",),
    )  # fmt: skip
    forwards = (
        Forward("udp", IPv4Address("127.0.0.1"), 53, IPv4Address("10.0.5.20"), 5353),
        Forward("tcp", IPv4Address(0), None, None, 22),
    )
    guests = (
        Guest("box", (Disk(Path("/d"), None, "virtio", True),), accel="kvm", display="spice", cloud_init=True,
              nics=(Nic(user=user, forwards=forwards, boot=True, link_up=False, mtu_bytes=1400, model="usb"),)),
        Guest("none", kernel=Path("/k"), initrd=Path("/i"), nics=()),
    )  # fmt: skip
    networks = (
        Network("lan", "host-only", IPv4Network("10.1.0.0/24"), IPv4Address("10.1.0.9"),
                Dhcp(IPv4Address("10.1.0.20"), IPv4Address("10.1.0.30"), 90061), False, 9000),
        Network("back", "private", dhcp=Dhcp()),
        Network("off", "private"),
    )  # fmt: skip
    topology = Topology("shop", networks, guests, run_as="alice")
    assert differences(topology, load.parse(written(topology), "/lab/qlan.yaml")) == {}


def test_what_our_reader_refuses_becomes_a_comment_that_says_why() -> None:
    nics = (
        Nic("lan", address=IPv4Address("10.9.9.9"), mac="52:54:00:00:00:01"),
        Nic("nowhere"),
        Nic("lan", mac="52:54:00:00:00:01", mtu_bytes=3),
    )
    guests = (Guest("web", (Disk(Path("/d")),), nics=nics), Guest("Web", nics=()), Guest("nothing", nics=()))
    text = written(Topology("shop", (Network("lan", "host-only", IPv4Network("10.1.0.0/24")),), guests))
    topology = load.parse(text, "/lab/qlan.yaml")
    assert list(check_written(topology)) == []
    assert [nic.address for nic in topology.guest("web").nics] == [None, None]
    for words in ("10.9.9.9 is outside of 10.1.0.0/24", "no network `nowhere`", "have one MAC", "nothing to boot from"):
        assert words in text
    assert "#   address: 10.9.9.9" in text


def test_a_great_many_faults_are_mended_at_once() -> None:
    nic = Nic(user=UserNetwork(), mac="52:54:00:00:00:01", mtu_bytes=9000)
    guests = tuple(Guest(f"g{index}", (Disk(Path(f"/d{index}")),), nics=(nic,)) for index in range(400))
    start = time.monotonic()
    topology = load.parse(written(Topology("shop", guests=guests)), "/lab/qlan.yaml")
    assert time.monotonic() - start < 10
    assert [guest.nics[0].mac for guest in topology.guests] == ["52:54:00:00:00:01", *[None] * 399]


def test_notes_stand_at_their_places_and_stay_comments() -> None:
    notes = Notes()
    notes.add(HEAD, "of the file")
    notes.add(("guests", "web", 0), "first\nguests: {evil: {}}")
    guest = Guest("web", (Disk(Path("/d")),), nics=(Nic(user=UserNetwork()),))
    lines = written(Topology("shop", guests=(guest,)), notes).splitlines()
    assert "# of the file" in lines[:4]
    assert lines[lines.index("      - user: true") - 1] == r"      # first\x0aguests: {evil: {}}"


@given(st.text(max_size=50), st.lists(st.sampled_from(["web", "a-b", "guest"])), st.sampled_from(["guest", "lab"]))
def test_any_text_becomes_a_name_that_nobody_has(text: str, taken: list[str], sort: str) -> None:
    name = our_name(sort, text, taken)
    assert name_fault(sort, name) is None
    assert name not in taken

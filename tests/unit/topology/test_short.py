"""The command line's NICs."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from qlan.problems import Mark, TopologyError
from qlan.topology.load import parse
from qlan.topology.model import Nic, UserNetwork
from qlan.topology.short import parse_nics

HERE = Path("/lab")


def one(spec: str) -> Nic:
    (nic,) = parse_nics([spec], [], HERE)
    return nic


def test_nothing_said_is_user_mode() -> None:
    assert parse_nics([], [], HERE) == (Nic(user=UserNetwork()),)


def test_none_is_none() -> None:
    assert parse_nics(["none"], [], HERE) == ()


def test_a_network_by_name() -> None:
    nic = one("lan,model=e1000,address=10.0.0.5,link=down,boot=network,mtu=1400,mac=52-54-00-00-00-0A")
    assert (nic.network, nic.user, nic.model, nic.address) == ("lan", None, "e1000", IPv4Address("10.0.0.5"))
    assert (nic.link_up, nic.boot, nic.mtu_bytes, nic.mac) == (False, True, 1400, "52:54:00:00:00:0a")


def test_user_with_its_options() -> None:
    nic = one(
        "user,subnet=192.168.5.0/24,hostname=box,restrict=on,search=a.example,search=b.example,tftp=boot,model=e1000"
    )
    assert nic.user == UserNetwork(
        subnet=IPv4Network("192.168.5.0/24"), hostname="box", restrict=True, search=("a.example", "b.example"),
        tftp=HERE / "boot",
    )  # fmt: skip
    assert nic.model == "e1000"


def test_a_doubled_comma_is_one_of_the_value() -> None:
    nic = one("user,tftp=a,,b,guestfwd=tcp:10.0.2.100:80-cmd:echo x,,y")
    assert nic.user
    assert nic.user.tftp == HERE / "a,b"
    assert nic.user.guestfwd == ("tcp:10.0.2.100:80-cmd:echo x,y",)


def test_forwards_go_to_the_first_user_nic() -> None:
    nics = parse_nics(["lan", "user,forward=1:1", "user"], ["2222:22", "udp:53:53"], HERE)
    assert [[forward.host_port for forward in nic.forwards] for nic in nics] == [[], [1, 2222, 53], []]


def test_forwards_need_a_user_nic() -> None:
    with pytest.raises(TopologyError) as caught:
        parse_nics(["lan"], ["2222:22"], HERE)
    assert str(caught.value) == ("-p:1:1: no NIC has user-mode networking to forward into\n  hint: add `--nic user`")


def test_all_problems_at_once_each_with_its_place() -> None:
    with pytest.raises(TopologyError) as caught:
        parse_nics(["user,modle=e1000", "lan,mac=banana"], ["2222"], HERE)
    marks = [problem.mark for problem in caught.value.problems]
    assert marks == [Mark("--nic", 1, 6), Mark("--nic", 2, 9), Mark("-p", 1, 1)]


@pytest.mark.parametrize("spec", ["", ",", "model=e1000", "user,", "user,=", "lan,user=true", "user,network=lan"])
def test_odd_words_are_refused(spec: str) -> None:
    with pytest.raises(TopologyError):
        parse_nics([spec], [], HERE)


@pytest.mark.parametrize("spec", ["lan", "user", "user,model=e1000,hostname=box", "lan,address=10.0.0.5,link=down"])
def test_the_file_takes_the_same_words(spec: str) -> None:
    text = f'networks: {{lan: {{kind: private, subnet: 10.0.0.0/24}}}}\nguests: {{a: {{disk: a, nics: ["{spec}"]}}}}'
    (written,) = parse(text, "/lab/qlan.yaml").guests[0].nics
    said = one(spec)
    assert (written.network, written.user, written.model, written.address, written.link_up) == (
        said.network, said.user, said.model, said.address, said.link_up,
    )  # fmt: skip


def test_a_place_inside_quotes() -> None:
    text = 'guests: {a: {disk: a, nics: ["user,modle=e1000"]}}'
    with pytest.raises(TopologyError) as caught:
        parse(text, "qlan.yaml")
    assert caught.value.problems[0].mark == Mark("qlan.yaml", 1, text.index("modle") + 1)

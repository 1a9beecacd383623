"""Whole command lines: what is said of wrong ones, and that right ones come back unchanged."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlan import cmdline

Q = "qemu-system-x86_64 "


def only(text: str, version: str = "10.0") -> cmdline.Fault:
    faults = cmdline.read(text, cmdline.rules(version)).faults
    assert len(faults) == 1, [fault.what for fault in faults]
    return faults[0]


@pytest.mark.parametrize(
    ("text", "at", "nearest"),
    [
        (Q + "-netdev usr,id=n0", "usr", "user"),
        (Q + "-netdev user,id=n0,hostfw=x", "hostfw=x", "hostfwd"),
        (Q + "-netdve user,id=n0", "-netdve", "-netdev"),
        (Q + "-netdev user,id=n0 -device e100,netdev=n0", "e100,", "e1000"),
        (Q + "-netdev user,id=net0 -device e1000,netdev=nte0", "nte0", "net0"),
        (Q + "-device virtio-net-pci,mac=52:54:00:12:34", "52:54", ""),
        (Q + "-nic 'user,hostfwd=tcp:2222::22'", ":22'", "tcp::2222-:22"),
        (Q + "-nic user,net=10.0.2.0/33", "10.0.2.0/33", ""),
        (Q + "-netdev stream,id=s,server=onn,addr.type=unix,addr.path=/x", "onn", ""),
        (Q + "-netdev stream,id=s,server=on,addr.type=unx,addr.path=/x", "unx", "unix"),
        (Q + "-netdev user,id=n0,ipv4=of", "of", ""),
        (Q + "-net nic,vlan=0 -net user", "vlan=0", ""),
        (Q + "-tftp /srv", "-tftp", ""),
        (Q + "-netdev", "-netdev", ""),
    ],
)
def test_says_where_and_what(text: str, at: str, nearest: str) -> None:
    faults = cmdline.read(text, cmdline.rules("10.0")).faults
    places = [(text[fault.offset :][: len(at)], fault.nearest) for fault in faults]
    assert (at, nearest) in places, places


def test_line_and_column_in_a_script() -> None:
    text = "#!/bin/sh\nqemu-system-x86_64 \\\n  -nic 'usr' \\\n  disk.img\n"
    assert only(text).shown(text, "run.sh").startswith("run.sh:3:9: -nic: 'usr' is no netdev type")


def test_parse_raises_all_at_once() -> None:
    with pytest.raises(cmdline.CommandLineError) as caught:
        cmdline.parse(Q + "-netdev usr,id=a -netdev user,id=b,net=x -nic user,mac=x")
    assert len(caught.value.faults) == 3
    assert caught.value.exit_code == 2
    assert str(caught.value).count("command line:1:") == 3


def test_what_is_not_ours_stays() -> None:
    text = (
        "FOO=1 sudo -E qemu-system-x86_64 -m 1G -drive file=a,,b.img,if=virtio -append 'console=ttyS0 ip=dhcp' "
        "-device virtio-rng-pci,rng=r0 -object rng-random,id=r0 -nic user,noipv6 $MORE disk.img > log 2>&1"
    )
    line = cmdline.parse(text)
    assert cmdline.render_text(line) == text
    assert cmdline.render(line)[-1] == "disk.img"
    assert [clause.kind for clause in line.clauses] == ["nic"]


def test_variables_are_not_judged() -> None:
    text = Q + '-nic "user,hostfwd=tcp::$PORT-:22" -netdev $NET -device "e1000,netdev=$ID,mac=${MAC}"'
    assert cmdline.read(text).faults == ()
    assert only(text.replace('"user,', "'user,").replace('-:22"', "-:22'")).code == "hostfwd"


def test_several_commands() -> None:
    readings = cmdline.read_script(
        "ip link add br0 type bridge\nqemu-system-i386 -nic none\nkvm -nic usr &\nqemu-img info x\n"
    )
    assert [len(reading.faults) for reading in readings] == [0, 1]


def test_versions_have_different_words() -> None:
    line = Q + "-netdev stream,id=s,server=off,addr.type=unix,addr.path=/x,reconnect-ms=5"
    assert cmdline.read(line, cmdline.rules("10.0")).accepted
    assert only(line, "8.2").nearest == "reconnect"
    assert not cmdline.read(line, cmdline.rules("5.2")).accepted
    assert cmdline.read(Q + "-netdev passt,id=p", cmdline.rules("11.1")).accepted
    assert not cmdline.read(Q + "-netdev passt,id=p", cmdline.rules("10.0")).accepted


def test_the_program_decides_over_the_data() -> None:
    schema = [
        {"name": "netdev_add", "meta-type": "command", "arg-type": "1"},
        {"name": "1", "meta-type": "object", "members": [], "variants": [{"case": "user", "type": "2"}]},
        {"name": "2", "meta-type": "object", "members": [{"name": "novel", "default": None, "type": "str"}]},
        {"name": "str", "meta-type": "builtin", "json-type": "string"},
    ]
    own = cmdline.rules("10.0").of_program(
        schema, "Available netdev backend types:\nuser\n", {"e1000": "  new=<bool>\n  netdev=<str>\n"}
    )
    assert cmdline.read(Q + "-netdev user,id=a,novel=1 -device e1000,netdev=a,new=on", own).accepted
    assert not cmdline.read(Q + "-netdev user,id=a,hostfwd=tcp::1-:2", own).accepted
    assert not cmdline.read(Q + "-netdev tap,id=a", own).accepted


@given(st.lists(st.text(alphabet=st.sampled_from("usertapnicdf-=,.:0129{}\"' id"), max_size=24), max_size=6))
def test_never_crashes_and_never_loses(words: list[str]) -> None:
    options = ["-netdev", "-nic", "-net", "-device", "-object", "-global"]
    argv = ["qemu-system-x86_64"] + [part for pair in zip(options, words, strict=False) for part in pair]
    reading = cmdline.read(argv)
    assert cmdline.render(reading.line) == argv
    cmdline.wire(reading.line, cmdline.rules())


@given(st.text(max_size=60))
def test_any_text_is_read(text: str) -> None:
    cmdline.read(text)


def test_long_lines_are_quick() -> None:
    text = Q + "-nic user," + ",".join(f"hostfwd=tcp::{number + 1}-:22" for number in range(5000))
    assert len(text) > 100_000
    before = time.perf_counter()
    assert cmdline.read(text).accepted
    assert time.perf_counter() - before < 1.0


def test_import_is_cheap() -> None:
    heavy = ("rich", "yaml", "socket", "asyncio", "subprocess")
    code = f"import sys; from qlan import cmdline; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

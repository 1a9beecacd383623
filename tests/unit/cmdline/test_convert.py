"""-nic and -netdev: what is said otherwise, what cannot be, what stays."""

from __future__ import annotations

import pytest

from qlan import cmdline

Q = "qemu-system-x86_64 "
RULES = cmdline.rules("10.0")

TO_NIC = [
    ("-netdev user,id=a,noipv6 -device e1000,netdev=a -m 1G", "-nic user,model=e1000,noipv6 -m 1G"),
    ("-net nic,model=virtio -net user,hostfwd=tcp::2-:3", "-nic user,model=virtio,hostfwd=tcp::2-:3"),
    ("-redir tcp:2222::22 -net nic -net user", "-nic user,hostfwd=tcp::2222-:22"),
    ("-redir tcp:2222::22 -tftp /a,b -m 1G", "-nic user,hostfwd=tcp::2222-:22,tftp=/a,,b -m 1G"),
    ("-net none", "-nic none"),
    ("-net nic,macaddr=$(cat m),model=virtio -net tap,fd=4", '-nic "tap,mac=$(cat m),model=virtio,fd=4"'),
    ('-netdev "tap,id=t,ifname=$IF" -device virtio-net-pci,netdev=t', "-nic tap,model=virtio,ifname=$IF"),
]
TO_NETDEV = [
    ("-nic user,id=x,mac=5 disk.img", "-netdev user,id=x -device e1000,netdev=x,mac=00:00:00:00:00:05 disk.img"),
    ("-M q35 -nic user", "-M q35 -netdev user,id=net0 -device e1000e,netdev=net0"),
    ("-nic tap,br=br0,model=virtio", "-netdev tap,id=net0,br=br0 -device virtio-net-pci,netdev=net0"),
    (
        "-nic user,id=n -object other,id=n -object filter-dump,id=f,netdev=n,file=x",
        "-netdev user,id=n -device e1000,netdev=n -object other,id=n -object filter-dump,id=f,netdev=n,file=x",
    ),
    ("-netdev user,id=net0 -nic user", "-netdev user,id=net0 -netdev user,id=net1 -device e1000,netdev=net1"),
]


@pytest.mark.parametrize(("before", "after"), TO_NIC)
def test_to_nic(before: str, after: str) -> None:
    converted = cmdline.to_nic(cmdline.read(Q + before, RULES).line, RULES)
    assert (cmdline.render_text(converted.line), converted.notes) == (Q + after, ())


@pytest.mark.parametrize(("before", "after"), TO_NETDEV)
def test_to_netdev(before: str, after: str) -> None:
    converted = cmdline.to_netdev(cmdline.parse(Q + before, RULES), RULES)
    assert cmdline.render_text(converted.line) == Q + after


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-netdev user,id=a -device e1000,netdev=a,addr=5,bootindex=1", "-nic cannot say addr, bootindex"),
        ("-netdev stream,id=b,addr.type=fd,addr.str=3 -device virtio-net,netdev=b", "-nic has no stream"),
        ("-netdev user,id=a", "no NIC is plugged into it"),
        ("-netdev user,id=a -device usb-net,netdev=a", "-nic has no model usb-net"),
        ("-net nic -net nic -net user", "is a hub"),
    ],
)
def test_what_nic_cannot_say_stays(text: str, said: str) -> None:
    converted = cmdline.to_nic(cmdline.parse(Q + text, RULES), RULES)
    assert cmdline.render_text(converted.line) == Q + text
    assert [note for note in converted.notes if said in note.what], converted.notes


def test_before_6_0_two_kinds_could_share_an_id() -> None:
    rules = cmdline.rules("5.2")
    for text in ("-netdev user,id=n -nic user,id=n", "-netdev user,id=n -net user,id=n"):
        converted = cmdline.to_netdev(cmdline.parse(Q + text, rules), rules)
        assert cmdline.read(cmdline.render(converted.line), rules).accepted


def test_a_model_that_device_would_take_for_json_stays() -> None:
    text = "qemu-system-riscv64 -nic user,model={x"
    converted = cmdline.to_netdev(cmdline.parse(text, RULES), RULES)
    assert cmdline.render_text(converted.line) == text
    assert converted.notes


def test_there_and_back() -> None:
    text = Q + "-nic user,id=x,model=virtio,mac=52:54:00:00:00:01,hostfwd=tcp::1-:2 -nic tap,id=y,model=e1000,ifname=t"
    line = cmdline.to_netdev(cmdline.parse(text, RULES), RULES).line
    back = cmdline.to_nic(line, RULES).line
    before, after = cmdline.wire(cmdline.parse(text, RULES), RULES), cmdline.wire(back, RULES)
    assert [(card.model, card.mac) for card in before.cards] == [(card.model, card.mac) for card in after.cards]
    assert [plug.type for plug in before.plugs] == [plug.type for plug in after.plugs]


def test_a_name_of_ours_is_nobody_elses() -> None:
    text = Q + "-netdev user,id=nic1 -nic user -device e1000,netdev=nic1"
    line = cmdline.parse(text, RULES)
    assert [plug.id for plug in cmdline.wire(line, RULES).plugs] == ["nic1", "#nic1"]
    mixed = cmdline.to_netdev(cmdline.parse(Q + "-net user -net nic,model=bad -nic user", RULES), RULES).line
    assert cmdline.read(cmdline.render(mixed), RULES).accepted


def test_a_global_that_only_nic_brings_to_light_keeps_the_long_form() -> None:
    text = Q + "-netdev user,id=n -device virtio-net-pci,netdev=n -global e1000.mac=x"
    old = cmdline.rules("7.2")
    converted = cmdline.to_nic(cmdline.parse(text, old), old)
    assert cmdline.render_text(converted.line) == text
    assert "refuse the -global" in converted.notes[0].what


def test_a_machine_of_another_processor_whose_nic_nobody_knows() -> None:
    """sparc's own machines have no slots for cards: -device has nothing to say there."""
    for words in ("-nic user", "-net nic -net user"):
        line = cmdline.parse(f"qemu-system-sparc {words}", cmdline.rules("7.2"))
        done = cmdline.to_netdev(line, cmdline.rules("7.2"))
        assert cmdline.render_text(done.line) == f"qemu-system-sparc {words}"
        assert [note.what for note in done.notes] == [
            "the machine's own NIC model is not known here, and qemu-system-sparc has no virtio-net-pci to stand in"
        ]
    line = cmdline.parse("qemu-system-riscv64 -nic user", cmdline.rules("7.2"))
    assert "-device virtio-net-pci,netdev=net0" in cmdline.render_text(
        cmdline.to_netdev(line, cmdline.rules("7.2")).line
    )

"""The data says of each QEMU what that QEMU says of itself, and asking the program gives the same rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from qlan import cmdline
from qlan.cmdline.schema import BackendType

if TYPE_CHECKING:
    from conftest import Program


@pytest.fixture(scope="module")
def own(program: Program) -> cmdline.Rules:
    """The rules as the program itself tells them."""
    schema: list[dict[str, Any]] = program.start([], "query-qmp-schema", machine="none").replies[2]["return"]  # type: ignore[assignment]
    helps = {name: program.ask("-device", f"{name},help") for name in program.rules.devices}
    return program.rules.of_program(schema, program.ask("-netdev", "help"), helps)


def shape(backend: BackendType) -> dict[str, tuple[str, bool]]:
    integers = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "size")
    return {
        name: ("int" if option.kind in integers else option.kind, option.required)
        for name, option in backend.options.items()
    }


def test_netdev_types_and_options_are_those_of_the_program(program: Program, own: cmdline.Rules) -> None:
    data = program.rules
    assert data.compiled >= own.compiled >= data.compiled - {"none"}
    for name in own.backends:
        if name in data.compiled:
            assert shape(data.backends[name]) == shape(own.backends[name]), name
    assert set(data.compiled) <= set(own.backends)


def test_device_properties_are_those_of_the_program(program: Program, own: cmdline.Rules) -> None:
    for name, device in program.rules.devices.items():
        assert set(device.options) == set(own.devices[name].options) - {"virtio-backend", "virtio-bus"}, name


def test_options_with_and_without_arguments(program: Program) -> None:
    """QEMU is asked for each option alone: it wants an argument, or not, or does not know it."""
    words = {
        name: takes for name, takes in program.rules.words.items() if name not in ("daemonize", "h", "help", "version")
    }
    said = {name: program.ask(f"-{name}") if takes else "" for name, takes in words.items()}
    wrong = [name for name, text in said.items() if words[name] and "requires an argument" not in text]
    foreign = [
        name for name in wrong if "not supported for this target" in said[name] or "invalid option" in said[name]
    ]
    assert sorted(set(wrong) - set(foreign)) == []


def test_asked_rules_judge_as_the_data_does(program: Program, own: cmdline.Rules) -> None:
    lines = [
        "-nic user,hostfwd=tcp::2222-:22,model=virtio",
        "-netdev user,id=a,bogus=1",
        "-netdev tap,id=a,sndbuf=x",
        "-device virtio-net-pci,mq=maybe",
        "-device e1000,bogus=1",
        "-netdev stream,id=a,server=on,addr.type=inet,addr.host=h,addr.port=1",
    ]
    for line in lines:
        text = f"qemu-system-x86_64 {line}"
        assert cmdline.read(text, own).accepted == cmdline.read(text, program.rules).accepted, line

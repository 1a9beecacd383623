"""A machine, its NICs and its forwards as the words of one QEMU command line (qemu-system-x86_64(1)).

Words, never a shell; a comma inside a value is doubled, as QEMU's option language wants it.  QEMU listens on sockets
that were made for it and gets its TAPs as descriptors, numbered from FIRST_FD: QMP, serial console, then the TAPs.
"""

from __future__ import annotations

import json

from qlan.render import user_netdev
from qlan.render.command import FIRST_FD, Boot, Command, QmpCall, Remove, Stop, Write
from qlan.render.option import Option, escape
from qlan.render.scene import Scene
from qlan.resources import codec
from qlan.resources.model import Drive, Machine, Nic, PortForward, Tap, TapBackend, UserBackend

_QMP_FD, _SERIAL_FD, _TAP_FD = FIRST_FD, FIRST_FD + 1, FIRST_FD + 2


def create(machine: Machine, scene: Scene) -> list[Command]:
    """Everything the machine starts with, in one command; what a NIC cannot be born with follows by QMP."""
    layout, guest = scene.layout, machine.guest
    nics = scene.nics(guest)
    taps = tuple(_tap(nic.backend, scene) for nic in nics if isinstance(nic.backend, TapBackend))
    unplugged = [nic for nic in nics if not nic.link_up]
    then = [QmpCall("set_link", (("name", device_id(nic)), ("up", False))) for nic in unplugged]
    if unplugged:
        then.append(QmpCall("cont"))
    seed: list[Command] = [Write(layout.guest(guest) / "seed" / name, text) for name, text in machine.seed]
    boot = Boot(
        guest,
        tuple(argv(machine, scene)),
        record=layout.guest(guest) / "process",
        log=layout.qemu_log(guest),
        own=layout.qemu_own(guest),
        sockets=(layout.qmp(guest), layout.serial(guest)),
        taps=tuple((tap.namespace, tap.name) for tap in taps),
        then=tuple(then),
        run_as=machine.run_as,
    )
    return [*seed, Write(layout.guest(guest) / "guest.json", _record(machine, scene)), boot]


def delete(machine: Machine, scene: Scene) -> list[Command]:
    """Asked by ACPI first; its files go when it is gone."""
    folder = scene.layout.guest(machine.guest)
    stop = Stop(folder / "process", machine.key, mark=scene.layout.machine_mark(machine.guest),
                ask=scene.layout.qmp(machine.guest))  # fmt: skip
    return [stop, Remove(folder)]


def argv(machine: Machine, scene: Scene) -> list[str]:
    """The whole command line."""
    nics = scene.nics(machine.guest)
    words = _base(machine, scene, paused=any(not nic.link_up for nic in nics))
    for drive in machine.drives:
        words += ["-drive", _drive(drive)]
    if machine.seed:
        words += ["-drive", _seed(scene.layout.guest(machine.guest) / "seed")]
    words += _kernel(machine)
    if any(nic.bus == "usb-bus" for nic in nics):
        words += ["-device", "qemu-xhci,id=xhci"]
    if not nics:
        words += ["-nic", "none"]
    fd = _TAP_FD
    for nic in nics:
        words += ["-netdev", _netdev(nic, fd, scene), "-device", device(nic)]
        fd += isinstance(nic.backend, TapBackend)
    return [*words, *machine.qemu_args]


def device(nic: Nic) -> str:
    """The guest's side of a NIC."""
    option = Option(nic.model, id=device_id(nic), netdev=netdev_id(nic), mac=nic.mac)
    if nic.boot:
        option.add(bootindex=nic.index)
    elif nic.bus == "PCI":
        option.add(romfile="")  # iPXE would look for a server before the disk
    if nic.mtu_bytes and nic.model.startswith("virtio-net"):
        option.add(host_mtu=nic.mtu_bytes)
    return str(option)


def netdev_id(nic: Nic) -> str:
    """The host side's name in QEMU."""
    return f"net{nic.index}"


def device_id(nic: Nic) -> str:
    """The guest side's name in QEMU (`set_link`, `device_del`)."""
    return f"nic{nic.index}"


def _netdev(nic: Nic, fd: int, scene: Scene) -> str:
    if isinstance(nic.backend, UserBackend):
        forwards: list[PortForward] = scene.forwards(nic.guest, nic.index)
        return user_netdev.render(netdev_id(nic), nic.backend, forwards)
    return str(Option("tap", id=netdev_id(nic), fd=fd))


def _tap(backend: TapBackend, scene: Scene) -> Tap:
    tap = scene.resources[backend.tap]
    assert isinstance(tap, Tap)
    return tap


def _base(machine: Machine, scene: Scene, *, paused: bool) -> list[str]:
    words = [
        machine.binary,
        "-name",
        str(Option(machine.guest, process=f"qemu:{machine.guest}")),
        "-nodefaults",
        "-no-user-config",
        "-machine",
        str(Option(machine.machine, accel=machine.accel)),
        "-smp",
        str(machine.cpus),
        "-m",
        f"size={machine.memory_bytes // 1024}K",
        "-chardev",
        str(Option("socket", id="qmp", fd=_QMP_FD, server="on", wait="off")),
        "-mon",
        "chardev=qmp,mode=control",
        "-chardev",
        str(
            Option(
                "socket",
                id="serial",
                fd=_SERIAL_FD,
                server="on",
                wait="off",
                logfile=scene.layout.serial_log(machine.guest),
                logappend="on",
            )
        ),
        "-serial",
        "chardev:serial",
        "-pidfile",
        str(scene.layout.qemu_own(machine.guest) / "pid"),
    ]
    if machine.accel == "kvm":
        words += ["-cpu", "host"]
    words += _display(machine, scene)
    return [*words, "-S"] if paused else words


def _display(machine: Machine, scene: Scene) -> list[str]:
    if machine.display == "none":
        return ["-display", "none"]
    video = ["-vga", "std"]
    if machine.display == "vnc":
        return [*video, "-vnc", "127.0.0.1:0,to=99"]
    if machine.display == "spice":
        path = scene.layout.qemu_own(machine.guest) / "spice"
        return [*video, "-spice", f"unix=on,addr={escape(str(path))},disable-ticketing=on"]
    return [*video, "-display", machine.display]


def _drive(drive: Drive) -> str:
    option = Option(**{"if": drive.interface, "format": drive.format, "file": drive.path})
    if drive.read_only:
        option.add(readonly="on")
    return str(option)


def _seed(folder: object) -> str:
    """A read-only FAT disk made by QEMU from a folder; cloud-init looks for its label (NoCloud data source)."""
    return str(Option(**{"if": "virtio", "driver": "vvfat", "dir": folder, "label": "CIDATA", "readonly": "on"}))


def _kernel(machine: Machine) -> list[str]:
    words = []
    if machine.kernel:
        words += ["-kernel", str(machine.kernel)]
    if machine.initrd:
        words += ["-initrd", str(machine.initrd)]
    if machine.kernel and machine.append:
        words += ["-append", machine.append]
    return words


def _record(machine: Machine, scene: Scene) -> str:
    """What the machine is started with, so that it can be read back."""
    nics = scene.nics(machine.guest)
    forwards = [forward for nic in nics for forward in scene.forwards(machine.guest, nic.index)]
    return json.dumps([codec.encode(one) for one in (machine, *nics, *forwards)])

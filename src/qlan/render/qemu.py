"""A machine, its NICs and its forwards as the words of one QEMU command line (qemu-system-x86_64(1)).

Words, never a shell; a comma inside a value is doubled, as QEMU's option language wants it.  QEMU listens on sockets
that were made for it and gets its TAPs as descriptors, numbered from FIRST_FD: QMP, serial console, QMP for
who only listens, then the TAPs, macvtaps, ends of wires, and what opens vhost-net for NICs.
"""

from __future__ import annotations

from collections.abc import Sequence

from qlan.render import passt, user_netdev
from qlan.render.command import FIRST_FD, SOCKETS, Boot, Command, QmpCall, Remove, Stop, Write
from qlan.render.option import Option, escape
from qlan.render.scene import Scene
from qlan.resources import codec
from qlan.resources.model import (
    Drive,
    HelperBackend,
    Machine,
    Macvtap,
    MacvtapBackend,
    Nic,
    PortForward,
    Tap,
    TapBackend,
    UserBackend,
    WireBackend,
)

PORT = "port"  # what the names of PCIe ports begin with
_QMP_FD, _SERIAL_FD, _EVENTS_FD, _TAP_FD = range(FIRST_FD, FIRST_FD + 4)


def create(machine: Machine, scene: Scene) -> list[Command]:
    """Everything the machine starts with, in one command; what a NIC cannot be born with follows by QMP."""
    layout, guest = scene.layout, machine.guest
    nics = scene.nics(guest)
    taps = tuple(tap_of(nic.backend, scene) for nic in nics if isinstance(nic.backend, TapBackend))
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
        sockets=tuple(layout.guest(guest) / name for name in SOCKETS),
        taps=tuple((tap.namespace, tap.name) for tap in taps),
        macvtaps=tuple(macvtap_of(one.backend, scene) for one in nics if isinstance(one.backend, MacvtapBackend)),
        ends=tuple((one.backend.namespace, one.backend.end) for one in nics if isinstance(one.backend, WireBackend)),
        vhosts=sum(nic.vhost for nic in nics),
        then=tuple(then),
        run_as=machine.run_as,
    )
    return [*seed, Write(layout.guest(guest) / "guest.json", _record(machine, scene)), boot]


def delete(machine: Machine, scene: Scene) -> list[Command]:
    """Asked by ACPI first; its files go when it is gone."""
    folder = scene.layout.guest(machine.guest)
    taps = tuple((tap.namespace, tap.name) for tap in scene.taps_before(machine.guest))
    stop = Stop(folder / "process", machine.key, mark=scene.layout.machine_mark(machine.guest),
                ask=scene.layout.qmp(machine.guest), taps=taps)  # fmt: skip
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
    if machine.usb:
        words += ["-device", "qemu-xhci,id=xhci"]
    words += _ports(machine, nics)
    if not nics:
        words += ["-nic", "none"]
    fds = _descriptors(nics)
    for nic in nics:
        port = _port(nic) if machine.ports and nic.bus == "PCI" else None
        words += ["-netdev", _netdev(nic, fds.get(nic.index, ()), scene), "-device", device(nic, port=port)]
    return [*words, *machine.qemu_args]


def device(nic: Nic, *, port: str | None = None) -> str:
    """The guest's side of a NIC.  port: the PCIe port it is in."""
    words = device_words(nic) | ({"bus": port} if port else {})
    return str(Option(str(words.pop("driver")), **words))


def device_words(nic: Nic) -> dict[str, object]:
    """The same for QMP's `device_add`."""
    words: dict[str, object] = {"driver": nic.model, "id": device_id(nic), "netdev": netdev_id(nic), "mac": nic.mac}
    if nic.boot:
        words["bootindex"] = nic.index
    elif nic.bus == "PCI":
        words["romfile"] = ""  # iPXE would look for a server before the disk
    if nic.mtu_bytes and nic.model.startswith("virtio-net"):
        words["host_mtu"] = nic.mtu_bytes
    return words


def netdev_id(nic: Nic) -> str:
    """The host side's name in QEMU."""
    return nic.netdev or netdev_name(nic.index)


def netdev_name(index: int) -> str:
    """The same by the NIC's number, where the lab gave the name."""
    return f"net{index}"


def device_id(nic: Nic) -> str:
    """The guest side's name in QEMU (`set_link`, `device_del`)."""
    return nic.device or f"nic{nic.index}"


def _descriptors(nics: list[Nic]) -> dict[int, list[int]]:
    """NIC to descriptors (of what it is plugged into, of vhost-net), in the order in which Boot hands them over."""
    passed = [
        one for kind in (TapBackend, MacvtapBackend, WireBackend) for one in nics if isinstance(one.backend, kind)
    ]
    found: dict[int, list[int]] = {}
    for place, nic in enumerate([*passed, *(one for one in nics if one.vhost)]):
        found.setdefault(nic.index, []).append(_TAP_FD + place)
    return found


def _port(nic: Nic) -> str:
    return f"{PORT}-{device_id(nic)}"


def _ports(machine: Machine, nics: list[Nic]) -> list[str]:
    """A PCIe port for each NIC, so that it can be pulled out, and some more that stay free (docs/pcie.txt in QEMU)."""
    if not machine.ports:
        return []
    names = [_port(nic) for nic in nics if nic.bus == "PCI"] + [f"{PORT}-{number}" for number in range(machine.ports)]
    words = []
    for slot, name in enumerate(names, start=1):
        words += ["-device", str(Option("pcie-root-port", id=name, bus="pcie.0", chassis=slot))]
    return words


def _netdev(nic: Nic, fds: Sequence[int], scene: Scene) -> str:
    if isinstance(nic.backend, UserBackend) and nic.backend.backend == "passt":
        return str(Option("stream", id=netdev_id(nic), **passt.netdev(nic, scene)))
    if isinstance(nic.backend, UserBackend):
        forwards: list[PortForward] = scene.forwards(nic.guest, nic.index)
        return user_netdev.render(netdev_id(nic), nic.backend, forwards)
    if isinstance(nic.backend, HelperBackend):
        return str(Option("bridge", id=netdev_id(nic), br=nic.backend.bridge, helper=nic.backend.helper))
    if isinstance(nic.backend, WireBackend):
        # not `socket,fd=`: that one sends to an address of its own, which a connected UDP socket refuses (net/socket.c)
        return str(Option("dgram", id=netdev_id(nic), **{"local.type": "fd", "local.str": fds[0]}))
    vhost = {"vhost": "on", "vhostfd": fds[1]} if nic.vhost else {}
    return str(Option("tap", id=netdev_id(nic), fd=fds[0], **vhost))


def macvtap_of(backend: MacvtapBackend, scene: Scene) -> str:
    """The link behind a NIC."""
    one = scene.resources[backend.macvtap]
    assert isinstance(one, Macvtap)
    return one.name


def tap_of(backend: TapBackend, scene: Scene) -> Tap:
    """The TAP behind a NIC."""
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
        str(Option("socket", id="events", fd=_EVENTS_FD, server="on", wait="off")),
        "-mon",
        "chardev=events,mode=control",
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
    append = " ".join([*([machine.append] if machine.append else []), *machine.addresses])
    if machine.kernel and append:
        words += ["-append", append]
    return words


def _record(machine: Machine, scene: Scene) -> str:
    """What the machine is started with, so that it can be read back."""
    nics = scene.nics(machine.guest)
    forwards = [forward for nic in nics for forward in scene.forwards(machine.guest, nic.index)]
    return codec.encode((machine, *nics, *forwards))

"""NICs of a machine that runs, as QMP commands: plugged in, pulled out, their cables pulled and put back.

guest.json tells what the machine has now.  It is written in such an order that at no moment it says more than is
known: a NIC that is on its way in or out is not `whole`, a cable that is being pulled is neither up nor down.  Whoever
reads it after a crash plans from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qlan.render import ip, passt, qemu, user_netdev
from qlan.render.command import Amend, Command, Qmp, QmpCall
from qlan.render.scene import Scene
from qlan.resources import codec
from qlan.resources.model import (
    Adopted,
    HelperBackend,
    Machine,
    MacvtapBackend,
    Nic,
    PortForward,
    Resource,
    Tap,
    TapBackend,
    UserBackend,
    WireBackend,
)
from qlan.values import replace

TAP, VHOST = "tap", "vhost"  # what descriptors are called in QEMU for the moment between `getfd` and `netdev_add`
_ANNOUNCED = {"initial": 50, "max": 550, "rounds": 5, "step": 100}  # five times within two seconds, times in ms
LINK_DOWN_S = 1.0  # a guest that looks only now and then must see it


def create_nic(nic: Nic, scene: Scene) -> list[Command]:
    """A card for a machine that runs."""
    machine = scene.resources[f"machine/{nic.guest}"]
    assert isinstance(machine, Machine | Adopted)
    ports = "" if isinstance(machine, Adopted) else f"{qemu.PORT}-"
    device = QmpCall("device_add", tuple(qemu.device_words(nic).items()))
    pulled = () if nic.link_up else (_set_link(nic, up=False),)
    forwards = scene.forwards(nic.guest, nic.index)
    return [
        amend(scene, nic.guest, replace(nic, whole=False)),
        _qmp(scene, nic, _netdev_add(nic, forwards, scene), **_descriptor(nic, scene), vhost=nic.vhost),
        _qmp(scene, nic, device, *pulled, ports=ports if nic.bus == "PCI" and machine.ports is not None else None),
        amend(scene, nic.guest, nic, *forwards),
    ]


def delete_nic(nic: Nic, scene: Scene) -> list[Command]:
    """Pulled out; a guest that runs decides itself when it lets a PCI card go."""
    name, backend = qemu.device_id(nic), qemu.netdev_id(nic)
    stays = amend(scene, nic.guest, replace(nic, whole=True)) if nic.whole else None
    return [
        amend(scene, nic.guest, replace(nic, whole=False)),
        _qmp(scene, nic, QmpCall("device_del", (("id", name),)), gone=name, gone_is_fine=True, stays=stays),
        _qmp(scene, nic, QmpCall("netdev_del", (("id", backend),)), gone_is_fine=True),
        amend(scene, nic.guest, drop=nic.key),
    ]


def change_nic(before: Nic, after: Nic, scene: Scene) -> list[Command]:
    """Its cable, and what holds from the next start."""
    changed = amend(scene, after.guest, after)
    if before.link_up != after.link_up:
        return [
            amend(scene, after.guest, replace(before, link_up=None)),
            _qmp(scene, after, _set_link(after, up=bool(after.link_up))),
            changed,
        ]
    moves = before.leased[:1] != after.leased[:1]  # its TAP's own step pulls the cable
    if (before.mtu_bytes, before.leased) != (after.mtu_bytes, after.leased) and after.link_up and not moves:
        return flap(after, scene, list)
    return [changed]


def create_forward(forward: PortForward, scene: Scene) -> list[Command]:
    """A port for a machine that runs; one that a command which was cut off opened is opened anew."""
    return [
        amend(scene, forward.guest, replace(forward, whole=False)),
        _monitor(scene, forward, _remove_words(forward, scene), _add_words(forward, scene)),
        amend(scene, forward.guest, forward),
    ]


def delete_forward(forward: PortForward, scene: Scene) -> list[Command]:
    """Closed; connections through it go on."""
    return [
        amend(scene, forward.guest, replace(forward, whole=False)),
        _monitor(scene, forward, _remove_words(forward, scene)),
        amend(scene, forward.guest, drop=forward.key),
    ]


def change_machine(before: Machine, after: Machine, scene: Scene) -> list[Command]:
    """Only what holds from its next start."""
    return [amend(scene, after.guest, after)]


def flap(nic: Nic, scene: Scene, meanwhile: Callable[[], list[Command]]) -> list[Command]:
    """Its cable pulled, something done, and the cable put back."""
    if not nic.link_up:
        return meanwhile()
    return [
        amend(scene, nic.guest, replace(nic, link_up=None)),
        _qmp(scene, nic, _set_link(nic, up=False), pause_s=LINK_DOWN_S),
        *meanwhile(),
        _qmp(scene, nic, _set_link(nic, up=True)),
        amend(scene, nic.guest, nic),
    ]


def change_tap(before: Tap, after: Tap, scene: Scene) -> list[Command]:
    """To another network, which the guest sees as its cable pulled and put back; or only put right."""
    nic = _nic_of(after, scene)
    if nic is None or not before.network or before.network == after.network:
        return ip.change_tap(before, after, scene)
    moved = flap(nic, scene, lambda: ip.change_tap(before, after, scene))
    return [*moved, _announce(nic, scene)] if nic.link_up else moved


def _announce(nic: Nic, scene: Scene) -> Qmp:
    """QEMU says for the guest where its MAC is now, and virtio has the guest say where its addresses are (since 4.0).

    One that has its address by DHCP asks for another by itself when its cable comes back; who has it written down, or
    looks at no cable, would not be found before it speaks next.
    """
    arguments = {**_ANNOUNCED, "interfaces": [qemu.device_id(nic)]}
    return _qmp(scene, nic, QmpCall("announce-self", tuple(arguments.items())))


def _nic_of(tap: Tap, scene: Scene) -> Nic | None:
    nic = scene.resources.get(f"nic/{tap.guest}/{tap.nic}")
    return nic if isinstance(nic, Nic) else None


def amend(scene: Scene, guest: str, *put: Resource, drop: str = "") -> Amend:
    """What guest.json is to say from now on."""
    text = tuple(codec.encode(one) for one in put)
    return Amend(scene.layout.guest(guest) / "guest.json", put=text, drop=drop)


def _add_words(forward: PortForward, scene: Scene) -> str:
    return f"hostfwd_add {_netdev_of(forward, scene)} {user_netdev.hostfwd(forward)}"


def _remove_words(forward: PortForward, scene: Scene) -> str:
    outer = user_netdev.hostfwd(forward).partition("-")[0]
    return f"hostfwd_remove {_netdev_of(forward, scene)} {outer}"


def _netdev_of(forward: PortForward, scene: Scene) -> str:
    """QEMU's name of what the forward is part of, which stays though the forward goes."""
    nics = (qemu.netdev_id(one) for one in scene.nics(forward.guest) if one.index == forward.nic)
    return next(nics, qemu.netdev_name(forward.nic))


def _monitor(scene: Scene, forward: PortForward, *lines: str) -> Qmp:
    """QMP has no command for it; the human monitor has, in all versions."""
    calls = tuple(QmpCall("human-monitor-command", (("command-line", line),)) for line in lines)
    return Qmp(forward.guest, scene.layout.qmp(forward.guest), calls)


def _set_link(nic: Nic, *, up: bool) -> QmpCall:
    return QmpCall("set_link", (("name", qemu.device_id(nic)), ("up", up)))


def _descriptor(nic: Nic, scene: Scene) -> dict[str, object]:
    """What QEMU gets with its netdev."""
    if isinstance(nic.backend, TapBackend):
        tap = qemu.tap_of(nic.backend, scene)
        return {"tap": (tap.namespace, tap.name)}
    if isinstance(nic.backend, MacvtapBackend):
        return {"macvtap": qemu.macvtap_of(nic.backend, scene)}
    return {"end": (nic.backend.namespace, nic.backend.end)} if isinstance(nic.backend, WireBackend) else {}


def _netdev_add(nic: Nic, forwards: list[PortForward], scene: Scene) -> QmpCall:
    vhost = {"vhost": True, "vhostfd": VHOST} if nic.vhost else {}
    words: dict[str, object] = {"type": "tap", "id": qemu.netdev_id(nic), "fd": TAP, **vhost}
    if isinstance(nic.backend, WireBackend):
        words = {"type": "dgram", "id": qemu.netdev_id(nic), "local": {"type": "fd", "str": TAP}}
    elif isinstance(nic.backend, HelperBackend):
        helper = {"br": nic.backend.bridge, "helper": nic.backend.helper}
        words = {"type": "bridge", "id": qemu.netdev_id(nic), **helper}
    elif isinstance(nic.backend, UserBackend) and nic.backend.backend == "passt":
        words = {"id": qemu.netdev_id(nic), **passt.netdev_words(nic, scene)}
    elif isinstance(nic.backend, UserBackend):
        words = {"type": "user", **user_netdev.words(qemu.netdev_id(nic), nic.backend, forwards)}
    return QmpCall("netdev_add", tuple(words.items()))


def _qmp(scene: Scene, nic: Nic, *calls: QmpCall, **more: Any) -> Qmp:
    return Qmp(nic.guest, scene.layout.qmp(nic.guest), calls, **more)

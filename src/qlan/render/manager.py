"""A NIC's profile for its bridge, in the words of the program that configures it, and what makes that program take it.

The files are in /run: they end with the machine's uptime, as the bridge does.  Both programs go on from the addresses
that are there, or ask for the same ones again as the NIC did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from uuid import UUID, uuid5

from qlan.facts.manager import NETWORKD, Manager
from qlan.resources.model import Bridge, Uplink

FIRST = "0-qlan-"  # systemd-networkd takes the first file that fits, by name
INSTEAD = "# in place of "  # NetworkManager's profile of the NIC, in our file

_NETWORKD = Path("/run/systemd/network")
_NETWORKMANAGER = Path("/run/NetworkManager/system-connections")
_ACTIVATION_S = 20
_TAPS = (f"Name=*-{'[0-9a-f]' * 5}", "Kind=tun")  # names.link_name
_RELOAD = ("networkctl", "reload")


def paths(program: str, nic: str, bridge: str) -> list[Path]:
    """Its files: of the NIC, the bridge and TAPs (systemd-networkd), of the bridge and of its port (NetworkManager)."""
    if program == NETWORKD:
        return [_NETWORKD / f"{FIRST}{name}.network" for name in (nic, bridge, f"{bridge}-taps")]
    return [_NETWORKMANAGER / f"qlan-{bridge}{end}.nmconnection" for end in ("", "-port")]


def kept_away(uplink: Uplink) -> list[tuple[Path, str]]:
    """The files that keep systemd-networkd from a bridge that is not yet (or no more) in the NIC's place, and from
    guests' TAPs: one of the machine's may fit them, by a MAC or a type.  NetworkManager leaves alone what others make.
    """
    if uplink.manager is None or uplink.manager.program != NETWORKD:
        return []
    _, bridge, taps = _paths(uplink.manager, uplink)
    return [(bridge, _unmanaged(f"Name={uplink.bridge}")), (taps, _unmanaged(*_TAPS))]


def reload() -> tuple[str, ...]:
    """What makes systemd-networkd read its files again."""
    return _RELOAD


def files(manager: Manager, uplink: Uplink, bridge: Bridge | None) -> Iterator[tuple[Path, str]]:
    """The files of the NIC and of the bridge."""
    if manager.program == NETWORKD:
        profile = _text([("Match", (f"Name={uplink.bridge}",)), *manager.profile])
        texts: Iterable[str] = (_unmanaged(f"Name={uplink.nic}"), profile, _unmanaged(*_TAPS))
    else:
        texts = _keyfiles(manager, uplink, bridge)
    yield from zip(_paths(manager, uplink), texts, strict=True)


def forth(manager: Manager, uplink: Uplink, options: str) -> list[tuple[str, ...]]:
    """What makes it take them.  options: the bridge's, as ip(8) sets them."""
    if manager.program == NETWORKD:
        return [_RELOAD]
    return [
        ("nmcli", "connection", "load", *map(str, _paths(manager, uplink))),
        _activate(_uuid(manager, uplink, "")),
        (
            "ip",
            "link",
            "set",
            "dev",
            uplink.bridge,
            "type",
            "bridge",
            *options.split(),
        ),  # it takes no forward delay of 0
        _activate(_uuid(manager, uplink, "port")),
    ]


def back(manager: Manager, uplink: Uplink) -> list[tuple[str, ...]]:
    """What makes it take the NIC again, when the files are gone."""
    if manager.program == NETWORKD:
        return [_RELOAD]
    ours = [_uuid(manager, uplink, end) for end in ("", "port")]
    return [_activate(manager.name), ("nmcli", "connection", "delete", *ours)]


def _paths(manager: Manager, uplink: Uplink) -> list[Path]:
    return paths(manager.program, uplink.nic, uplink.bridge)


def _activate(uuid: str) -> tuple[str, ...]:
    return ("nmcli", "--wait", str(_ACTIVATION_S), "connection", "up", uuid)


def _uuid(manager: Manager, uplink: Uplink, end: str) -> str:
    return str(uuid5(UUID(manager.name), f"{uplink.bridge}/{end}"))


def _unmanaged(*match: str) -> str:
    return _text([("Match", match), ("Link", ("Unmanaged=yes",))])


def _keyfiles(manager: Manager, uplink: Uplink, bridge: Bridge | None) -> Iterator[str]:
    """A bridge's profile with the NIC's addresses, and a port's (nm-settings-keyfile(5))."""
    kept = dict(manager.profile)
    what = ("type=bridge", f"interface-name={uplink.bridge}")
    connection = ("connection", (*_named(manager, uplink, ""), *what, *kept.pop("connection", ())))
    yield f"{INSTEAD}{manager.name}\n" + _text(
        [connection, ("bridge", tuple(_bridge(bridge)) if bridge else ()), *kept.items()]
    )
    port = (*_named(manager, uplink, "port"), "type=ethernet", f"interface-name={uplink.nic}")
    master = (f"master={_uuid(manager, uplink, '')}", "slave-type=bridge")
    own = dict(manager.port)
    mac = (f"cloned-mac-address={bridge.mac}",) if bridge else ()  # as it is, whatever the machine's defaults say
    own["ethernet"] = (*own.get("ethernet", ()), *mac)
    yield f"{INSTEAD}{manager.name}\n" + _text([("connection", (*port, *master)), *own.items()])


def _named(manager: Manager, uplink: Uplink, end: str) -> tuple[str, str]:
    return f"id=qlan-{uplink.bridge}{'-' if end else ''}{end}", f"uuid={_uuid(manager, uplink, end)}"


def _bridge(bridge: Bridge) -> Iterator[str]:
    """It sets them all: as they are."""
    yield f"mac-address={bridge.mac}"
    yield f"stp={str(bridge.stp).lower()}"
    yield f"multicast-snooping={str(bridge.multicast_snooping).lower()}"
    yield f"multicast-querier={str(bridge.multicast_querier).lower()}"


def _text(sections: Iterable[tuple[str, tuple[str, ...]]]) -> str:
    return "\n".join("".join(f"{line}\n" for line in (f"[{name}]", *lines)) for name, lines in sections)

"""passt, the network of a user-mode NIC, as commands; and its socket for QEMU.

It is started before its machine and outlives it: a QEMU that starts again connects again.  It leaves nothing to chance
that its versions do differently: the guest's address, the gateway (which stands for this machine's loopback, as slirp's
does) and the ports are said.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network

from qlan.render.command import Command, Folder, Remove, Run, Stop, Write
from qlan.render.scene import Scene
from qlan.resources import codec
from qlan.resources.model import HOST, Nic, Passt, PortForward

_SUBNET = IPv4Network("10.0.2.0/24")  # slirp's, so that a guest finds the same whoever it is
_NONE = ("-t", "none"), ("-u", "none")


def create(passt: Passt, scene: Scene) -> list[Command]:
    """It goes into the background when its socket is there."""
    folder = scene.layout.passt(passt.guest, passt.nic)
    return [
        Write(folder / "resource.json", codec.encode(passt)),
        Folder(folder / "own", passt.run_as),
        Run(HOST, ("passt", *_words(passt, scene)), run_as=passt.run_as),
    ]


def delete(passt: Passt, scene: Scene) -> list[Command]:
    """The process, then its files."""
    layout = scene.layout
    folder = layout.passt(passt.guest, passt.nic)
    stop = Stop(folder / "own" / "pid", passt.key, mark=layout.passt_mark(passt.guest, passt.nic))
    return [stop, Remove(folder)]


def netdev(nic: Nic, scene: Scene) -> dict[str, object]:
    """QEMU's `-netdev stream`, flat as on a command line, without type and id."""
    return {"server": "off", "addr.type": "unix", "addr.path": _socket(nic, scene)}


def netdev_words(nic: Nic, scene: Scene) -> dict[str, object]:
    """The same for QMP's `netdev_add`."""
    return {"type": "stream", "server": False, "addr": {"type": "unix", "path": _socket(nic, scene)}}


def ports(forwards: Iterable[PortForward]) -> tuple[str, ...]:
    """Forwards in passt's words, each behind its protocol: neighbours become a range."""
    runs: list[list[PortForward]] = []
    for one in sorted(forwards, key=lambda one: (one.protocol, one.host_address, one.host_port)):
        if runs and _follows(runs[-1][-1], one):
            runs[-1].append(one)
        else:
            runs.append([one])
    return tuple(
        f"{some[0].protocol}:{some[0].host_address}/{_span([one.host_port for one in some])}:"
        f"{_span([one.guest_port for one in some])}"
        for some in runs
    )


def _follows(one: PortForward, other: PortForward) -> bool:
    same = (one.protocol, one.host_address) == (other.protocol, other.host_address)
    return same and (one.host_port + 1, one.guest_port + 1) == (other.host_port, other.guest_port)


def _span(numbers: list[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"


def _socket(nic: Nic, scene: Scene) -> str:
    return str(scene.layout.passt(nic.guest, nic.index) / "own" / "socket")


def _words(passt: Passt, scene: Scene) -> list[str]:
    network, own = passt.network, scene.layout.passt(passt.guest, passt.nic) / "own"
    words = ["-s", str(own / "socket"), "-P", str(own / "pid"), "-l", str(own / "log")]
    if network.ipv4:
        subnet = network.subnet or _SUBNET
        address, gateway = network.dhcp_start or subnet[15], network.host or subnet[2]
        words += ["-a", str(address), "-n", str(subnet.netmask), "-g", str(gateway)]
        words += ["-4"] if network.ipv6 is False else []
    else:
        words.append("-6")
    if network.search:
        words += ["-S", " ".join(network.search)]
    if network.mtu_bytes:
        words += ["-m", str(network.mtu_bytes)]
    if passt.hostname and network.hostname:
        words += ["--hostname", network.hostname]
    for protocol, (option, none) in zip(("tcp", "udp"), _NONE, strict=True):
        specs = [one.partition(":")[2] for one in network.ports if one.startswith(f"{protocol}:")]
        words += [word for spec in specs for word in (option, spec)] or [option, none]
    return words

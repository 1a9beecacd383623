"""dnsmasq's configuration (dnsmasq(8)): bound to one interface, knowing only what it is told.

no-resolv and no-hosts: it needs no inotify then (the 129th dnsmasq of a user dies of that limit).  The files of
reservations and names are read again on SIGHUP.  Every value that gets here is an address, a MAC, or passed
`names.is_name`: dnsmasq has no quoting.
"""

from __future__ import annotations

import json

from qlan.render.command import Command, Reload, Remove, Run, Stop, Write
from qlan.render.namespace import enter
from qlan.render.scene import Scene
from qlan.resources import codec
from qlan.resources.model import Dnsmasq


def create(server: Dnsmasq, scene: Scene) -> list[Command]:
    """Its files, then the daemon itself: it goes into the background when its sockets are bound."""
    folder = scene.layout.dnsmasq(server.network)
    argv = ["dnsmasq", f"--conf-file={folder / 'conf'}"]
    if scene.rootless:
        argv += ["--user=root", "--group="]  # the realm's only user; a change of group is refused there
    return [*_files(server, scene), Run(server.namespace, (*enter(server.namespace, rootless=scene.rootless), *argv))]


def change(before: Dnsmasq, after: Dnsmasq, scene: Scene) -> list[Command]:
    """Reservations and names are read again without losing a lease."""
    folder = scene.layout.dnsmasq(after.network)
    mark = scene.layout.server_mark(after.network)
    return [*_files(after, scene), Reload(folder / "pid", after.key, mark, after.namespace)]


def delete(server: Dnsmasq, scene: Scene) -> list[Command]:
    """The daemon, then its files."""
    folder = scene.layout.dnsmasq(server.network)
    return [
        Stop(folder / "pid", server.key, mark=scene.layout.server_mark(server.network), inside=server.namespace),
        Remove(folder),
    ]


def conf(server: Dnsmasq, scene: Scene) -> str:
    """The text of its configuration file."""
    folder = scene.layout.dnsmasq(server.network)
    lines = [
        f"# {server.key} of lab {server.lab}, written by qlan",
        f"interface={server.interface}",
        "except-interface=lo",
        "bind-interfaces",
        "no-resolv",
        "no-hosts",
        f"pid-file={folder / 'pid'}",
        f"log-facility={folder / 'log'}",
    ]
    lines += _dns(server, scene) + _dhcp(server, scene)
    return "\n".join(lines) + "\n"


def _dns(server: Dnsmasq, scene: Scene) -> list[str]:
    if not server.dns:
        return ["port=0"]
    return [
        f"domain={server.lab}",
        f"local=/{server.lab}/",
        "expand-hosts",
        "domain-needed",
        "bogus-priv",
        f"addn-hosts={scene.layout.dnsmasq(server.network) / 'hosts'}",
    ]


def _dhcp(server: Dnsmasq, scene: Scene) -> list[str]:
    if server.first is None or server.last is None:
        return []
    lines = [
        f"dhcp-range={server.first},{server.last},{server.address.netmask},{server.lease_time_s}s",
        f"dhcp-leasefile={scene.layout.leases(server.network)}",
        f"dhcp-hostsfile={scene.layout.dnsmasq(server.network) / 'reservations'}",
        "dhcp-authoritative",
        f"dhcp-lease-max={max(1000, int(server.last) - int(server.first) + 1)}",  # its default ends at 1000 guests
        "no-ping",  # the network is ours alone and every fixed address on it is known: don't ask around for 3 s
        "log-dhcp",
        f"dhcp-option=option:router{f',{server.router}' if server.router else ''}",
    ]
    if not server.dns:
        lines.append("dhcp-option=option:dns-server")
    if server.mtu_bytes:
        lines.append(f"dhcp-option=option:mtu,{server.mtu_bytes}")
    return lines


def _files(server: Dnsmasq, scene: Scene) -> list[Command]:
    folder = scene.layout.dnsmasq(server.network)
    reservations = "".join(f"{one.mac},{one.address},{one.name}\n" for one in server.reservations)
    hosts = "".join(f"{address} {name}\n" for name, address in server.hosts)
    record = json.dumps(codec.encode(server))
    return [
        Write(folder / "conf", conf(server, scene)),
        Write(folder / "reservations", reservations),
        Write(folder / "hosts", hosts),
        Write(folder / "resource.json", record),
    ]

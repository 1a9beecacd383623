"""dnsmasq's configuration (dnsmasq(8)): bound to one interface, knowing only what it is told.

no-resolv and no-hosts: it needs no inotify then (the 129th dnsmasq of a user dies of that limit).  The files of
reservations and names are read again on SIGHUP.  Every value that gets here is an address, a MAC, passed
`names.is_name`, or is quoted.
"""

from __future__ import annotations

from pathlib import Path

from qlan.render.command import Command, Forget, Reload, Remove, Run, Stop, Write
from qlan.render.namespace import enter
from qlan.render.scene import Scene
from qlan.resources import codec
from qlan.resources.model import Dnsmasq, Reservation
from qlan.values import replace


def create(server: Dnsmasq, scene: Scene) -> list[Command]:
    """Its files, then the daemon itself: it goes into the background when its sockets are bound."""
    folder = scene.layout.dnsmasq(server.network)
    argv = ["dnsmasq", f"--conf-file={folder / 'conf'}"]
    if scene.rootless:
        argv += ["--user=root", "--group="]  # the realm's only user; a change of group is refused there
    return [*_files(server, scene), Run(server.namespace, (*enter(server.namespace, rootless=scene.rootless), *argv))]


def change(before: Dnsmasq, after: Dnsmasq, scene: Scene) -> list[Command]:
    """New reservations and names are read again on a signal; for the rest it is started anew, with the leases it gave.

    Those of a reservation that is gone are forgotten: dnsmasq would not give their addresses to whom they belong now.
    """
    gone = set(before.reservations) - set(after.reservations)
    if gone or replace(before, reservations=after.reservations, hosts=after.hosts) != after:
        words = sorted({str(word) for one in gone for word in (one.mac, one.address, one.address6) if word})
        forget = [Forget(scene.layout.leases(after.network), tuple(words))] if words else []
        return [_stop(before, scene), *forget, *create(after, scene)]
    folder = scene.layout.dnsmasq(after.network)
    mark = scene.layout.server_mark(after.network)
    return [*_files(after, scene), Reload(folder / "pid", after.key, mark, after.namespace)]


def delete(server: Dnsmasq, scene: Scene) -> list[Command]:
    """The daemon, then its files."""
    return [_stop(server, scene), Remove(scene.layout.dnsmasq(server.network))]


def _stop(server: Dnsmasq, scene: Scene) -> Stop:
    record, mark = scene.layout.dnsmasq(server.network) / "pid", scene.layout.server_mark(server.network)
    return Stop(record, server.key, mark=mark, inside=server.namespace)


def conf(server: Dnsmasq, scene: Scene) -> str:
    """The text of its configuration file."""
    folder = scene.layout.dnsmasq(server.network)
    lines = [
        f"# {server.key} of lab {server.lab}, written by qlan",
        f"interface={server.interface}",
        "except-interface=lo",
        "bind-interfaces",
        *_upstream(server),
        "no-hosts",
        f"pid-file={folder / 'pid'}",
        f"log-facility={folder / 'log'}",
    ]
    lines += _dns(server, scene) + _dhcp(server, scene) + _ipv6(server)
    if server.first or (server.ipv6 and server.ipv6.first):
        lines += _leases(server, scene)
    return "\n".join(lines) + "\n"


def _upstream(server: Dnsmasq) -> list[str]:
    if server.upstream == "host":
        return ["resolv-file=/etc/resolv.conf"]
    return ["no-resolv", *([f"server={server.upstream}"] if server.upstream else [])]


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
        # a network that is ours alone, with every fixed address known: nobody to ask for 3 s
        *([] if server.shared else ["no-ping"]),
        f"dhcp-option=option:router{f',{server.router}' if server.router else ''}",
        f"dhcp-option=option:mtu,{server.mtu_bytes}",
    ]
    if not server.dns:
        lines.append("dhcp-option=option:dns-server")
    ways = [f"{subnet},{gateway}" for subnet, gateway in server.routes]
    leads_out = any(subnet.prefixlen == 0 for subnet, _ in server.routes)
    if ways and server.router and not leads_out:  # RFC 3442: who reads this option does not read the router's
        ways.append(f"0.0.0.0/0,{server.router}")
    told = [("option:classless-static-route", ",".join(ways))] if ways else []
    return [*lines, *(f"dhcp-option={name},{value}" for name, value in (*told, *server.options)),
            *boot(server.interface, server.tftp, server.bootfile)]  # fmt: skip


def boot(interface: str, tftp: Path | None, bootfile: str | None) -> list[str]:
    """TFTP on the network's own link, and what a booting NIC is told to fetch (from this server unless it is a URL)."""
    lines = [f"enable-tftp={interface}", f"tftp-root={_quoted(str(tftp))}"] if tftp else []
    return lines + ([f"dhcp-boot={_quoted(bootfile)}"] if bootfile else [])


def _quoted(text: str) -> str:
    """In quotes commas and `#` are letters like others (read_file in dnsmasq's option.c)."""
    if not set(text) & set(',#"\\'):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _ipv6(server: Dnsmasq) -> list[str]:
    """Router advertisements, DHCPv6 or both.  ra-names: AAAA records of the addresses that guests make of their MACs.

    The router's lifetime 0 says that nothing leads outside here, whatever else it advertises.
    """
    ipv6 = server.ipv6
    if ipv6 is None or not (ipv6.slaac or ipv6.first):
        return []
    network = ipv6.address.network
    if ipv6.first:
        modes = [f"{ipv6.first}", f"{ipv6.last}", *(["slaac", "ra-names"] if ipv6.slaac else [])]
    else:
        modes = [f"{network.network_address}", "ra-stateless", "ra-names"]
    lifetime = "" if ipv6.router else ",0"
    return [
        "enable-ra",
        f"ra-param={server.interface},mtu:{server.mtu_bytes},0{lifetime}",
        f"dhcp-range={','.join(modes)},{network.prefixlen},{server.lease_time_s}s",
        f"dhcp-option=option6:dns-server{f',[{ipv6.address.ip}]' if server.dns else ''}",
    ]


def _leases(server: Dnsmasq, scene: Scene) -> list[str]:
    given = int(server.last) - int(server.first) + 1 if server.first and server.last else 0
    if server.ipv6 and server.ipv6.first and server.ipv6.last:
        given += int(server.ipv6.last) - int(server.ipv6.first) + 1
    return [
        f"dhcp-leasefile={scene.layout.leases(server.network)}",
        f"dhcp-hostsfile={scene.layout.dnsmasq(server.network) / 'reservations'}",
        *([] if server.shared else ["dhcp-authoritative"]),
        f"dhcp-lease-max={max(1000, given)}",  # its default ends at 1000 guests
        "log-dhcp",
    ]


def _files(server: Dnsmasq, scene: Scene) -> list[Command]:
    folder = scene.layout.dnsmasq(server.network)
    reservations = "".join(_reservation(one) for one in server.reservations)
    hosts = "".join(f"{address} {name}\n" for name, address in server.hosts)
    record = codec.encode(server)
    return [
        Write(folder / "conf", conf(server, scene)),
        Write(folder / "reservations", reservations),
        Write(folder / "hosts", hosts),
        Write(folder / "resource.json", record),
    ]


def _reservation(one: Reservation) -> str:
    addresses = [str(one.address)] if one.address else []
    addresses += [f"[{one.address6}]"] if one.address6 else []
    return ",".join([one.mac, *addresses, one.name]) + "\n"

"""Ask the machine once; the answer (`Facts`) is handed on as an argument."""

from __future__ import annotations

import os
import platform
import re
import stat
from collections.abc import Collection, Iterable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

from qlan.errors import CommandFailed
from qlan.facts.machine import Facts, HelperFacts, LinkFacts, PasstFacts, QemuFacts, UsedLink, UsedPort, UsedSubnet
from qlan.host import boot_files, bridge_access, dhcp_probe, disk, firewall, qemu, resolved, taken, uplink, user, vhost
from qlan.host.run import ahead, find_tool, run
from qlan.resources.model import PortForward, PublishedPort
from qlan.topology.model import OUTSIDE_KINDS, Guest, Realm, Topology, bridge_of
from qlan.values import replace

_OPTION = re.compile(r"(?m)^ +(?:-\w, )?(--[a-z0-9-]+)")


def probe(
    topology: Topology,
    *,
    own_forwards: Iterable[PortForward | PublishedPort] = (),
    other_subnets: Iterable[UsedSubnet] = (),
    run_as: int | None = None,
) -> Facts:
    """What this machine can do for the topology.

    own_forwards: that the lab itself has now.  other_subnets: what other labs picked.  run_as: the uid
    that will run QEMU, None: the caller's.
    """
    with ahead(taken.PROGRAMS):
        return _probe(topology, list(own_forwards), other_subnets, run_as)


def _probe(
    topology: Topology,
    own: list[PortForward | PublishedPort],
    other_subnets: Iterable[UsedSubnet],
    run_as: int | None,
) -> Facts:
    uid = os.geteuid() if run_as is None else run_as
    kernel = taken.Kernel()
    published = {one.host_address for one in own if isinstance(one, PublishedPort) and not one.host_address.is_loopback}
    published |= _published(topology)
    arch = platform.machine()
    wanted = {guest.arch or arch for guest in topology.guests}
    kvm = _kvm(topology, arch, run_as)
    found = {name: _qemu(name) for name in sorted(wanted) if qemu.is_installed(name)}
    return Facts(
        seed=user.seed(uid),
        uid=uid,
        arch=arch,
        kvm=kvm,
        free_port_floor=_port_floor(uid),
        used_subnets=(*taken.read_subnets(kernel, topology.lab), *other_subnets),
        used_ports=tuple(_ports(topology, {(one.protocol, one.host_port) for one in own})),
        used_links=_used_links(kernel, topology),
        named_links=_named_links(kernel, topology),
        bridge_helper=_bridge_helper(topology) if run_as is None else None,
        no_vlan_filtering=_no_vlan_filtering() if any(one.vlan_filtering for one in topology.networks) else "",
        **_uplinks(kernel, topology, published, on_host=_is_on_host(topology, uid, run_as)),
        forwards=_is_on_host(topology, uid, run_as) and taken.forwards(),
        links_of=taken.read_links_of(kernel) if any(map(int, published)) else {},
        qemu=found,
        disk_formats=_disk_formats(topology.guests),
        misplaced=find_misplaced(topology.guests),
        run_as=run_as,
        used_prefixes=tuple(taken.read_prefixes(kernel, topology.lab))
        if any(one.ipv6 for one in topology.networks)
        else (),
        no_ipv6=taken.why_no_ipv6(on_host=_is_on_host(topology, uid, run_as)),
        smbd=_smbd(topology.guests),
        resolved=_is_on_host(topology, uid, run_as) and resolved.is_running(),
        passt=_passt(topology.guests),
        no_vhost=_no_vhost(topology, kvm),
        tftp_faults=_tftp_faults(topology, on_host=_is_on_host(topology, uid, run_as)),
        **_nics(topology),
    )


def _is_on_host(topology: Topology, uid: int, run_as: int | None) -> bool:
    if topology.realm is None:
        return uid == 0 or run_as is not None
    return topology.realm is Realm.HOST


def _used_links(kernel: taken.Kernel, topology: Topology) -> tuple[UsedLink, ...]:
    """Asked only where the topology names its interfaces."""
    named = any(one.bridge_name for one in topology.networks)
    return tuple(taken.read_links(kernel, topology.lab)) if named else ()


def _named_links(kernel: taken.Kernel, topology: Topology) -> dict[str, LinkFacts]:
    """The interfaces of others that the topology names, as far as they are there."""
    wanted = {bridge_of(network) for network in topology.networks if network.kind == "bridge"}
    wanted |= {network.uplink for network in topology.networks if network.kind == "macvtap" and network.uplink}
    return taken.find_links(kernel, wanted) if wanted else {}


def _bridge_helper(topology: Topology) -> HelperFacts | None:
    """QEMU's helper and what it refuses; None: nobody needs it."""
    bridges = {bridge_of(network) for network in topology.networks if network.kind == "bridge"}
    if not bridges:
        return None
    helper = bridge_access.find_helper()
    refusals = {name: bridge_access.find_refusal(helper, name) for name in bridges}
    return HelperFacts(str(helper or ""), {name: (one.what, one.hint) for name, one in refusals.items() if one})


def _qemu(arch: str) -> QemuFacts:
    return qemu.probe(arch, user.cache_folder())


def _kvm(topology: Topology, arch: str, run_as: int | None) -> str:
    if all(guest.accel == "tcg" for guest in topology.guests):
        return "not asked"
    return qemu.why_no_kvm(arch, user.cache_folder(), run_as)


def _ports(topology: Topology, own: set[tuple[str, int]]) -> list[UsedPort]:
    """What is taken by others; who by, where the topology wants that port."""
    forwards = [one for guest in topology.guests for nic in guest.nics for one in nic.forwards]
    if not forwards:
        return []
    wanted = {(one.protocol, one.host_port) for one in forwards}
    found = [one for one in taken.read_ports() if (one.protocol, one.port) not in own]
    return [taken.name_owner(one) if (one.protocol, one.port) in wanted else one for one in found]


def _no_vlan_filtering() -> str:
    """Tried with a bridge in a namespace that lasts no longer."""
    apart = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    try:
        run([*apart, "ip", "link", "add", "name", "br0", "type", "bridge", "vlan_filtering", "1"])
    except CommandFailed as error:
        return error.what if "not supported" in error.what else ""  # anything else is told where it matters
    return ""


def _uplinks(
    kernel: taken.Kernel, topology: Topology, published: Collection[object], *, on_host: bool
) -> dict[str, Any]:
    """The machine's ways outside; nothing where no network leads there, and nobody is led in."""
    networks = [one for one in topology.networks if one.kind in OUTSIDE_KINDS]
    if not networks and not published:
        return {}
    found: dict[str, Any] = {"uplinks": taken.read_uplinks(kernel), "hooks": firewall.read_hooks() if on_host else ()}
    if any(one.ipv6 for one in networks):
        found["uplinks6"], found["ra_links"] = taken.read_uplinks6(kernel)
        found["force_forwarding"] = taken.has_force_forwarding()
    if on_host and networks:
        ways = {*found["uplinks"], *found.get("uplinks6", ()), *(one.uplink for one in networks if one.uplink)}
        found["way_mtus"] = {link.name: link.mtu_bytes for link in taken.find_links(kernel, ways).values()}
        found["ra_listeners"] = tuple(sorted(link for link in ways if taken.accepts_ra(link)))
    return found


def _published(topology: Topology) -> set[IPv4Address | IPv6Address]:
    """The addresses of this machine, but its own loopback's, from which forwards lead to bridged networks."""
    forwards = [one for guest in topology.guests for nic in guest.nics if nic.network for one in nic.forwards]
    return {one.host_address for one in forwards if not one.host_address.is_loopback}


def _port_floor(uid: int) -> int:
    if uid == 0:
        return 0
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 1024


def _nics(topology: Topology) -> dict[str, Any]:
    """The NICs that are to be uplinks, and the names of all; nothing where none is wanted."""
    wanted = {network.uplink for network in topology.networks if network.kind == "public" and network.uplink}
    if not any(network.uplink for network in topology.networks):
        return {}
    found = {name: uplink.probe(name, topology.lab) for name in sorted(wanted)}
    serving = {one.uplink: one.name for one in topology.networks if one.kind == "public" and one.dhcp and one.uplink}
    for name, network in serving.items():
        facts = found.get(name)
        if facts is not None and not facts.fault and not _is_served(topology.lab, network) and os.geteuid() == 0:
            found[name] = replace(
                facts, dhcp_server=dhcp_probe.find_server(name, facts.mac) if facts.carried.up else ""
            )
    return {
        "nics": {name: facts for name, facts in found.items() if facts},
        "nic_names": tuple(uplink.names()),
    }


def _is_served(lab: str, network: str) -> bool:
    """Whether the lab's own server runs there already: then it was asked before."""
    return (user.layout(lab).dnsmasq(network) / "pid").exists()


def _smbd(guests: Iterable[Guest]) -> bool | None:
    """Whether samba's server is there; None: nobody shares a folder."""
    wanted = any(nic.user and nic.user.smb for guest in guests for nic in guest.nics)
    return find_tool("smbd") is not None if wanted else None


def _passt(guests: Iterable[Guest]) -> PasstFacts | None:
    """What passt can do; None: it is not there, or nobody wants it."""
    wanted = any(nic.user and nic.user.backend != "slirp" for guest in guests for nic in guest.nics)
    path = find_tool("passt") if wanted else None
    if path is None:
        return None
    done = run([path, "--help"], ok=(0, 1))
    return PasstFacts(frozenset(_OPTION.findall(done.stdout + done.stderr)))


def _tftp_faults(topology: Topology, *, on_host: bool) -> dict[str, tuple[str, str]]:
    found = {
        network.name: boot_files.find_fault(network.tftp, network.bootfile, on_host=on_host)
        for network in topology.networks
        if network.tftp
    }
    return {name: fault for name, fault in found.items() if fault}


def find_misplaced(guests: Iterable[Guest]) -> frozenset[Path]:
    """The folders that they name where a file is due, and the files where a folder is."""
    files, folders = set[Path | None](), set[Path | None]()
    for guest in guests:
        files |= {guest.kernel, guest.initrd, *(disk.path for disk in guest.disks)}
        folders |= {path for nic in guest.nics if nic.user for path in (nic.user.tftp, nic.user.smb)}
    wrong = [(files, stat.S_ISDIR), (folders, stat.S_ISREG)]
    return frozenset(path for paths, is_wrong in wrong for path in paths if path and is_wrong(_mode(path)))


def _mode(path: Path) -> int:
    with suppress(OSError, ValueError):  # that it cannot be looked at is said otherwise
        return path.stat().st_mode
    return 0


def _disk_formats(guests: Iterable[Guest]) -> dict[str, str]:
    """Of the images that are there and whose format the file does not say; what is missing is `check`'s matter."""
    return {
        str(one.path): disk.read_format(one.path)
        for guest in guests
        for one in guest.disks
        if one.format is None and one.path.exists()  # a block device will do; a folder is refused
    }


def _no_vhost(topology: Topology, no_kvm: str) -> str | None:
    """Asked only where a NIC may get it: with KVM, or because the file says so."""
    nics = [nic for guest in topology.guests for nic in guest.nics if nic.network and nic.vhost is not False]
    wanted = any(nic.vhost or not no_kvm for nic in nics)
    return vhost.why_not() if wanted else None

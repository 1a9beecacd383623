"""A guest of the file becomes a machine, its TAPs, its NICs and its forwards."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Interface, IPv6Interface

from qlan.errors import HostError
from qlan.facts.machine import QemuFacts
from qlan.names import device_name, digest
from qlan.networks import bridge as bridge_kind
from qlan.networks import lan, macvtap, shaping, wire
from qlan.render import passt
from qlan.resources import codec
from qlan.resources.model import (
    Adopted,
    Backend,
    Bridge,
    Drive,
    Machine,
    MacvtapBackend,
    Nic,
    Passt,
    PortForward,
    PublishedPort,
    Resource,
    Tap,
    TapBackend,
    UserBackend,
)
from qlan.topology import addressing, backends
from qlan.topology import model as topology
from qlan.values import replace

_FEW_PORTS = 4


def expand(guest: topology.Guest, site: lan.Site, homes: Mapping[tuple[str, int], Bridge]) -> list[Resource]:
    """TAPs first, then the machine with its NICs and forwards.  homes: by guest and NIC."""
    taps: list[Resource] = []
    nics: list[Resource] = []
    forwards: list[Resource] = []
    machine = Adopted(guest.name, site.topology.lab, guest.found) if guest.found else _machine(guest, site)
    own = {one.key: one for one in machine.own} if isinstance(machine, Adopted) else {}
    for index, nic in enumerate(guest.nics):
        if nic.found:
            nics.append(_own(own, guest.name, index, nic.link_up))
            forwards += [one for one in own.values() if isinstance(one, PortForward) and one.nic == index]
            forwards += _forwards(guest, index, nic, site)
            continue
        bridge = homes.get((guest.name, index))
        tap = _tap(guest, index, bridge, site) if bridge else _foreign_tap(guest, index, site)
        taps += _macvtap(guest, index, site)
        if tap:
            taps += [tap, *shaping.expand(nic, tap, site)]
        card = _nic(guest, index, nic, tap, site)
        taps += _passt(card, site)
        nics.append(card)
        forwards += _published(guest, index, nic, site) if nic.network else _forwards(guest, index, nic, site)
    return [*taps, machine, *nics, *forwards]


def _own(own: Mapping[str, Nic | PortForward], guest: str, index: int, link_up: bool) -> Nic:
    """A NIC that an adopted guest had before."""
    nic = own[f"nic/{guest}/{index}"]
    assert isinstance(nic, Nic)
    return replace(nic, link_up=link_up)


def qemu_facts(guest: topology.Guest, site: lan.Site) -> QemuFacts:
    """The QEMU for the guest's architecture; HostError if there is none."""
    arch = guest.arch or site.facts.arch
    if arch not in site.facts.qemu:
        raise HostError(
            f"no qemu-system-{arch} on this machine",
            where=f"guest {guest.name}",
            hint="install it, or name another `arch:`",
        )
    return site.facts.qemu[arch]


def _tap(guest: topology.Guest, index: int, bridge: Bridge, site: lan.Site) -> Tap:
    name = site.link_name(f"{guest.name}.{index}", f"tap/{guest.name}/{index}")
    nic = guest.nics[index]
    isolated = bridge.isolates if nic.isolated is None else nic.isolated
    untagged = nic.vlan or (bridge.vlan if bridge.vlan_filtering and not nic.trunk else None)
    place = (bridge.network, bridge.name, bridge.namespace, bridge.mtu_bytes)
    return Tap(guest.name, index, name, *place, isolated=isolated, vlan=untagged, trunk=nic.trunk,
               branch=bridge.branch)  # fmt: skip


def _macvtap(guest: topology.Guest, index: int, site: lan.Site) -> list[Resource]:
    nic = guest.nics[index]
    network = site.topology.network(nic.network) if nic.network else None
    if network is None or network.kind != "macvtap":
        return []
    mac = nic.mac or addressing.nic_mac(site.topology, guest.name, index, site.facts.seed)
    return [macvtap.link(network, site, guest.name, index, mac)]


def _foreign_tap(guest: topology.Guest, index: int, site: lan.Site) -> Tap | None:
    name = guest.nics[index].network
    network = site.topology.network(name) if name else None
    if network is None or network.kind != "bridge":
        return None
    return bridge_kind.tap(network, site, guest.name, index)


def _nic(guest: topology.Guest, index: int, nic: topology.Nic, tap: Tap | None, site: lan.Site) -> Nic:
    mac = nic.mac or addressing.nic_mac(site.topology, guest.name, index, site.facts.seed)
    network = site.topology.network(nic.network) if nic.network else None
    least = lan.mtu_bytes(network, site) if network else None
    given = [str(one) for one in lan.leased(network, site, guest, index) if one] if network else []
    leased = (network.name, *given) if network and given else ()
    mtu = min((one for one in (nic.mtu_bytes, least) if one is not None), default=None)
    backend = TapBackend(tap.key) if tap else _backend(guest, index, nic, site)
    model = device_name(nic.model)
    bus = qemu_facts(guest, site).buses.get(model, "PCI")
    # its user may have a `net0` already
    device, netdev = (f"qlan-nic{index}", f"qlan-net{index}") if guest.found else ("", "")
    return Nic(
        guest.name, index, model, mac, backend, nic.boot, nic.link_up, mtu, bus,
        _static_address(guest, index, site), address6=_static_address6(guest, index, site),
        device=device, netdev=netdev, leased=leased, vhost=_has_vhost(guest, nic, model, backend, site),
    )  # fmt: skip


def _has_vhost(guest: topology.Guest, nic: topology.Nic, model: str, backend: Backend, site: lan.Site) -> bool:
    """Whether the kernel is to move its packets.  Under TCG only if asked: a guest that slow gains nothing by it."""
    if not model.startswith("virtio-net") or not isinstance(backend, TapBackend | MacvtapBackend):
        return False
    if nic.vhost is not None:
        return nic.vhost
    return site.facts.no_vhost == "" and not guest.found and _accel(guest, site) == "kvm"


def _backend(guest: topology.Guest, index: int, nic: topology.Nic, site: lan.Site) -> Backend:
    """What a NIC without a TAP is plugged into."""
    network = site.topology.network(nic.network) if nic.network else None
    if network is not None and network.kind == "wire":
        return wire.backend(network, site, guest.name, index)
    if network is not None and network.kind == "bridge":
        return bridge_kind.backend(network, site)
    if network is not None and network.kind == "macvtap":
        return macvtap.backend(network, guest.name, index)
    return _user_backend(guest, index, nic, site)


def _user_backend(guest: topology.Guest, index: int, nic: topology.Nic, site: lan.Site) -> UserBackend:
    backend = backends.chosen(nic, site.facts.passt, site.facts.qemu.get(guest.arch or site.facts.arch))
    user = nic.user or topology.UserNetwork()
    found = UserBackend.of(user, hostname=user.hostname or guest.name, backend=backend)
    if backend == "slirp":
        return found
    return replace(found, ports=passt.ports(_forwards(guest, index, nic, site)), mtu_bytes=nic.mtu_bytes)


def _passt(nic: Nic, site: lan.Site) -> list[Resource]:
    """The process, where the NIC's network is one."""
    if not isinstance(nic.backend, UserBackend) or nic.backend.backend != "passt":
        return []
    tells = site.facts.passt is not None and "--hostname" in site.facts.passt.options
    return [Passt(nic.guest, nic.index, nic.backend, tells, site.facts.run_as)]


def _forwards(guest: topology.Guest, index: int, nic: topology.Nic, site: lan.Site) -> list[PortForward]:
    found = []
    for forward in nic.forwards:
        port = addressing.host_port(forward, site.picks, guest.name, index)
        found.append(
            PortForward(
                guest.name,
                index,
                forward.protocol,
                forward.host_address,
                port,
                forward.guest_address,
                forward.guest_port,
            )
        )
    return found


def _published(guest: topology.Guest, index: int, nic: topology.Nic, site: lan.Site) -> list[PublishedPort]:
    """The ports of a NIC on a bridged network; they lead to its address there."""
    assert nic.network is not None
    found = []
    for forward in nic.forwards:
        given = addressing.nic_address(site.topology, site.picks, guest.name, index)
        own6 = site.address6(guest, index) if forward.host_address.version == 6 else None
        address = forward.guest_address or own6 or given  # a caller by IPv6 of a guest without: the relay's
        assert address is not None  # the kinds that take forwards have a subnet
        port = addressing.host_port(forward, site.picks, guest.name, index)
        found.append(
            PublishedPort(
                guest.name,
                index,
                nic.network,
                forward.protocol,
                forward.host_address,
                port,
                address,
                forward.guest_port,
            )
        )
    return found


def _machine(guest: topology.Guest, site: lan.Site) -> Machine:
    qemu = qemu_facts(guest, site)
    drives = tuple(
        Drive(disk.path, disk.format or site.facts.disk_formats[str(disk.path)], disk.interface, disk.read_only)
        for disk in guest.disks
    )
    machine = guest.machine or qemu.default_machine
    usb = any(qemu.buses.get(device_name(nic.model)) == "usb-bus" for nic in guest.nics)
    return Machine(
        guest=guest.name,
        lab=site.topology.lab,
        binary=qemu.binary,
        machine=machine,
        accel=_accel(guest, site),
        cpus=guest.cpus,
        memory_bytes=guest.memory_bytes,
        drives=drives,
        kernel=guest.kernel,
        initrd=guest.initrd,
        append=guest.append,
        display=guest.display,
        seed=_seed(guest, site) if guest.cloud_init else (),
        qemu_args=guest.qemu_args,
        run_as=site.facts.run_as,
        addresses=_addresses(guest, site),
        ports=_ports(machine, guest.hotplug),
        usb=usb or bool(guest.hotplug),
    )


def _ports(machine: str, asked: int | None) -> int | None:
    """PCIe root ports to keep free, where cards can be plugged into nothing else while the machine runs."""
    if "q35" not in machine and not machine.startswith("virt"):
        return None
    return _FEW_PORTS if asked is None else asked


def _accel(guest: topology.Guest, site: lan.Site) -> str:
    native = (guest.arch or site.facts.arch) == site.facts.arch
    if guest.accel == "auto":
        return "kvm" if native and not site.facts.kvm else "tcg"
    if guest.accel == "kvm" and (site.facts.kvm or not native):
        reason = site.facts.kvm or f"a guest for {guest.arch} cannot run on this processor"
        raise HostError(
            f"accel: kvm is not possible: {reason}",
            where=f"guest {guest.name}",
            hint="write `accel: tcg` (slow, works everywhere) or `accel: auto`",
        )
    return guest.accel


def _static_address(guest: topology.Guest, index: int, site: lan.Site) -> IPv4Interface | None:
    """The address that no DHCP server gives: the guest must be told, or be set by hand."""
    name = guest.nics[index].network
    network = site.topology.network(name) if name else None
    address = addressing.nic_address(site.topology, site.picks, guest.name, index)
    if network is None or network.dhcp or address is None:
        return None
    return IPv4Interface((int(address), addressing.subnet_of(network, site.picks).prefixlen))


def _static_address6(guest: topology.Guest, index: int, site: lan.Site) -> IPv6Interface | None:
    """Likewise.  One that is not written is only given by DHCPv6: without it the guest makes one itself."""
    nic = guest.nics[index]
    network = site.topology.network(nic.network) if nic.network else None
    own = lan.own_interface6(network, site) if network else None
    if own is None or nic.address6 is None or network is None or (network.ipv6 and network.ipv6.dhcp):
        return None
    return IPv6Interface((nic.address6, own.network.prefixlen))


def _addresses(guest: topology.Guest, site: lan.Site) -> tuple[str, ...]:
    """The kernel's `ip=` for each static address (Documentation/admin-guide/nfs/nfsroot.rst).

    The interface is named as the kernel names it at that moment: eth0, eth1, ... in the order of the NICs.
    """
    words = []
    if guest.kernel and "ip=" not in guest.append:
        for index in range(len(guest.nics)):
            if address := _static_address(guest, index, site):
                words.append(f"ip={address.ip}:::{address.netmask}:{guest.name}:eth{index}:off")
    return tuple(words)


def _seed(guest: topology.Guest, site: lan.Site) -> tuple[tuple[str, str], ...]:
    """The NoCloud files of cloud-init: who the guest is, and its interfaces by MAC (network-config version 2).

    JSON is YAML, so that no name needs quoting rules of ours.
    """
    ethernets: dict[str, object] = {}
    macs = []
    for index, nic in enumerate(guest.nics):
        mac = nic.mac or addressing.nic_mac(site.topology, guest.name, index, site.facts.seed)
        macs.append(mac)
        how: dict[str, object] = {"match": {"macaddress": mac}}
        static = [one for one in (_static_address(guest, index, site), _static_address6(guest, index, site)) if one]
        if static:
            how["addresses"] = [str(one) for one in static]
        how |= {"dhcp4": _has_dhcp(nic, site), "dhcp6": _has_dhcp6(nic, site), "optional": True}
        ethernets[f"nic{index}"] = how
    identity = digest(site.topology.lab, guest.name, *macs, size=8).hex()
    return (
        ("meta-data", codec.laid_out({"instance-id": f"qlan-{identity}", "local-hostname": guest.name})),
        ("user-data", "#cloud-config\n{}\n"),
        ("network-config", codec.laid_out({"version": 2, "ethernets": ethernets})),
    )


def _has_dhcp(nic: topology.Nic, site: lan.Site) -> bool:
    network = site.topology.network(nic.network) if nic.network else None
    return nic.user is not None or bool(network and (network.dhcp or network.kind == "public"))


def _has_dhcp6(nic: topology.Nic, site: lan.Site) -> bool:
    network = site.topology.network(nic.network) if nic.network else None
    return bool(network and network.ipv6 and network.ipv6.dhcp and lan.own_interface6(network, site))

"""A guest of the file becomes a machine, its TAPs, its NICs and its forwards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from ipaddress import IPv4Interface

from qlan.errors import HostError
from qlan.facts import QemuFacts
from qlan.names import MODEL_ALIASES
from qlan.networks import lan
from qlan.resources.model import (
    Bridge,
    Drive,
    Machine,
    Nic,
    PortForward,
    Resource,
    Tap,
    TapBackend,
    UserBackend,
    field_names,
)
from qlan.topology import addressing
from qlan.topology import model as topology


def expand(guest: topology.Guest, site: lan.Site, bridges: Mapping[str, Bridge]) -> list[Resource]:
    """TAPs first, then the machine with its NICs and forwards.  bridges: by network."""
    taps: list[Resource] = []
    nics: list[Resource] = []
    forwards: list[Resource] = []
    for index, nic in enumerate(guest.nics):
        tap = _tap(guest, index, bridges[nic.network], site) if nic.network else None
        if tap:
            taps.append(tap)
        nics.append(_nic(guest, index, nic, tap, site))
        forwards += _forwards(guest, index, nic, site)
    return [*taps, _machine(guest, site), *nics, *forwards]


def device_name(model: str) -> str:
    """QEMU's device for a model as users say it (`virtio` is `virtio-net-pci`)."""
    return MODEL_ALIASES.get(model, model)


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
    return Tap(guest.name, index, name, bridge.network, bridge.name, bridge.namespace, bridge.mtu_bytes)


def _nic(guest: topology.Guest, index: int, nic: topology.Nic, tap: Tap | None, site: lan.Site) -> Nic:
    mac = nic.mac or addressing.nic_mac(site.topology, guest.name, index, site.facts.seed)
    mtu = nic.mtu_bytes
    if nic.network and mtu is None:
        mtu = site.topology.network(nic.network).mtu_bytes
    backend = TapBackend(tap.key) if tap else _user_backend(guest, nic.user or topology.UserNetwork())
    model = device_name(nic.model)
    bus = qemu_facts(guest, site).buses.get(model, "PCI")
    return Nic(
        guest.name, index, model, mac, backend, nic.boot, nic.link_up, mtu, bus, _static_address(guest, index, site)
    )


def _user_backend(guest: topology.Guest, user: topology.UserNetwork) -> UserBackend:
    values = {name: getattr(user, name) for name in field_names(UserBackend)}
    values["hostname"] = user.hostname or guest.name
    return UserBackend(**values)


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


def _machine(guest: topology.Guest, site: lan.Site) -> Machine:
    qemu = qemu_facts(guest, site)
    drives = tuple(
        Drive(disk.path, disk.format or site.facts.disk_formats[str(disk.path)], disk.interface, disk.read_only)
        for disk in guest.disks
    )
    return Machine(
        guest=guest.name,
        lab=site.topology.lab,
        binary=qemu.binary,
        machine=guest.machine or qemu.default_machine,
        accel=_accel(guest, site),
        cpus=guest.cpus,
        memory_bytes=guest.memory_bytes,
        drives=drives,
        kernel=guest.kernel,
        initrd=guest.initrd,
        append=_append(guest, site),
        display=guest.display,
        seed=_seed(guest, site) if guest.cloud_init else (),
        qemu_args=guest.qemu_args,
        run_as=site.facts.run_as,
    )


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
    return IPv4Interface(f"{address}/{addressing.subnet_of(network, site.picks).prefixlen}")


def _append(guest: topology.Guest, site: lan.Site) -> str:
    """The kernel's words, with `ip=` for each static address (Documentation/admin-guide/nfs/nfsroot.rst).

    The interface is named as the kernel names it at that moment: eth0, eth1, ... in the order of the NICs.
    """
    words = [guest.append] if guest.append else []
    if guest.kernel and "ip=" not in guest.append:
        for index in range(len(guest.nics)):
            if address := _static_address(guest, index, site):
                words.append(f"ip={address.ip}:::{address.netmask}:{guest.name}:eth{index}:off")
    return " ".join(words)


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
        if static := _static_address(guest, index, site):
            how |= {"dhcp4": False, "addresses": [str(static)]}
        else:
            how |= {"dhcp4": _has_dhcp(nic, site), "optional": True}
        ethernets[f"nic{index}"] = how
    identity = hashlib.blake2s("\0".join([site.topology.lab, guest.name, *macs]).encode(), digest_size=8).hexdigest()
    return (
        ("meta-data", json.dumps({"instance-id": f"qlan-{identity}", "local-hostname": guest.name}) + "\n"),
        ("user-data", "#cloud-config\n{}\n"),
        ("network-config", json.dumps({"version": 2, "ethernets": ethernets}, indent=1) + "\n"),
    )


def _has_dhcp(nic: topology.Nic, site: lan.Site) -> bool:
    return nic.user is not None or bool(nic.network and site.topology.network(nic.network).dhcp)

"""A lab as QEMU command lines to paste, a guest a line, with what must be there first as comments of commands."""

from __future__ import annotations

import shlex

from qlan.interop import dnsmasq, host_words
from qlan.interop.settled import (
    File,
    Settled,
    bridge_name,
    server_interface,
    tap_name,
    wire_ports,
)
from qlan.names import device_name
from qlan.render import qemu, user_netdev
from qlan.render.option import Option
from qlan.resources import model as resources
from qlan.topology.model import OUTSIDE_KINDS, Disk, Guest, Network, Nic, UserNetwork, bridge_of

_MACVTAP_FD = 30  # as what the shell opens /dev/tapN


def export_lab(lab: Settled) -> tuple[File, ...]:
    """One text."""
    lines = [f"# Lab {lab.topology.lab} as QEMU command lines, made by `qlan export`."]
    if lab.bridged:
        lines.append("# These networks must be there first, made once by root:")
    for network in lab.bridged:
        lines += [f"#   {line}".rstrip() for line in _network(network, lab)]
    for guest in lab.topology.guests:
        lines += ["", f"# guest {guest.name}", *_words_of_guest(guest, lab)]
        lines.append(" ".join(shlex.quote(word) for word in command_line(guest, lab)))
    return (File(f"{lab.topology.lab}.sh", "\n".join(lines) + "\n"),)


def command_line(guest: Guest, lab: Settled) -> list[str]:
    """The words of one guest's QEMU."""
    words = [lab.binary(guest), "-name", str(Option(guest.name)), "-nodefaults"]
    words += ["-machine", str(Option(guest.machine or "", accel=guest.accel))]
    if guest.accel == "kvm":
        words += ["-cpu", "host"]
    words += ["-smp", str(guest.cpus), "-m", f"size={guest.memory_bytes // 1024}K", *_display(guest)]
    for disk in guest.disks:
        words += ["-drive", _drive(disk)]
    words += _kernel(guest, lab)
    nics = [_resource(guest, index, nic, lab) for index, nic in enumerate(guest.nics)]
    if any(nic.bus == "usb-bus" for nic in nics):
        words += ["-device", "qemu-xhci,id=xhci"]
    if not nics:
        words += ["-nic", "none"]
    for nic, said in zip(nics, guest.nics, strict=True):
        words += ["-netdev", _netdev(nic, said, guest, lab), "-device", qemu.device(nic)]
    return [*words, *guest.qemu_args]


def _network(network: Network, lab: Settled) -> list[str]:
    bridge = bridge_name(network)
    mtu = f" mtu {network.mtu_bytes}" if network.mtu_bytes else ""
    lines = [f"# {line}" for line in host_words.crowded(network, lab)]
    lines += [f"ip link add name {bridge}{mtu} type bridge {host_words.bridge_options(network)}"]
    interface = lab.host_interface(network)
    if interface:
        lines.append(f"ip address add {interface} dev {bridge}")
    interface6 = lab.host_interface6(network)
    if interface6:
        lines.append(f"sysctl -q net.ipv6.conf.{bridge}.accept_ra=0")
        lines.append(f"ip address add {interface6} dev {bridge} nodad")
    lines += [f"ip link set dev {bridge} up", *host_words.own_vlan(network)]
    if network.kind == "public":
        lines += [f"ip link set dev {network.uplink} master {bridge} up",
                  f"# then give {bridge} the addresses that {network.uplink} had, or `dhclient {bridge}`"]  # fmt: skip
    if network.kind in OUTSIDE_KINDS:
        lines.append("sysctl -q net.ipv4.ip_forward=1")
    if network.kind == "nat":
        out = f" -o {network.uplink}" if network.uplink else ""
        lines.append(f"iptables -t nat -A POSTROUTING -s {network.subnet} ! -d {network.subnet}{out} -j MASQUERADE")
    if host_words.wants_server(network):
        lines.append(_server(network, lab, bridge))
    elif network.dhcp:
        lines += _server_apart(network, lab, mtu)
    for guest, index, _ in lab.members(network):
        tap = tap_name(guest, index)
        lines.append(f"ip tuntap add dev {tap} mode tap user {lab.owner}")
        lines.append(f"ip link set dev {tap}{mtu} master {bridge} up")
        lines += host_words.port_commands(network, guest, index)
    return lines


def _server_apart(network: Network, lab: Settled, mtu: str) -> list[str]:
    """DHCP from a namespace that holds nothing else: this machine stays off the network."""
    space = f"{lab.topology.lab}-{network.name}-dhcp"
    veth = bridge_name(network).replace("br-", "dh-", 1)
    return [
        f"ip netns add {space}",
        f"ip link add name {veth}{mtu} type veth peer name dhcp netns {space}",
        f"ip link set dev {veth} master {bridge_name(network)} up",
        f"ip -n {space} address add {server_interface(network)} dev dhcp",
        f"ip -n {space} link set dev dhcp up",
        f"ip netns exec {space} {_server(network, lab, 'dhcp')}",
    ]


def _server(network: Network, lab: Settled, interface: str) -> str:
    lines = dnsmasq.settings(network, lab, interface)
    return shlex.join(["dnsmasq", *(f"--{line}" for line in lines if not line.startswith("#"))])


def _words_of_guest(guest: Guest, lab: Settled) -> list[str]:
    """What its command line cannot say."""
    lines = [f"# {words}" for words in host_words.reverse_words(guest)]
    for index, nic in enumerate(guest.nics):
        network = lab.topology.network(nic.network) if nic.network else None
        if network and not network.dhcp and nic.address and network.subnet and not guest.kernel:
            lines.append(f"# NIC {index} has no DHCP: set {nic.address}/{network.subnet.prefixlen} in the guest")
        if network and network.kind == "macvtap":
            tap = tap_name(guest, index)
            words = f"type macvtap mode {network.mode or 'bridge'}"
            lines.append(f"#   ip link add link {network.uplink} name {tap} address {nic.mac} {words}")
            lines.append(f"#   ip link set dev {tap} up")
            lines.append(
                f"# NIC {index}: end the line with {_MACVTAP_FD + index}<>/dev/tap$(cat /sys/class/net/{tap}/ifindex)"
            )
        if nic.user and nic.user.backend == "passt":
            lines.append(f"# NIC {index}: backend: passt is not said: `passt -s /tmp/p`, and for the NIC "
                         f"-netdev stream,id=net{index},server=off,addr.type=unix,addr.path=/tmp/p")  # fmt: skip
        if nic.mtu_bytes and not device_name(nic.model).startswith("virtio-net"):
            lines.append(f"# mtu: {nic.mtu_bytes} is not said: {nic.model} has no host_mtu=; set it in the guest")
        if not nic.link_up:
            lines.append(f"# link: down is not said: in QEMU's monitor, `set_link nic{index} off`")
    if guest.cloud_init:
        lines.append("# cloud_init is not said: make a seed with cloud-localds and add it as a -drive")
    for disk in guest.disks:
        if disk.format is None:
            lines.append(f"# {disk.path} was not there to be looked at: add format= to its -drive")
    return lines


def _display(guest: Guest) -> list[str]:
    if guest.display == "none":
        return ["-nographic"]
    video = ["-vga", "std", "-serial", "mon:stdio"]
    if guest.display == "vnc":
        return [*video, "-vnc", "127.0.0.1:0,to=99"]
    if guest.display == "spice":
        return [*video, "-spice", f"unix=on,addr={guest.name}.spice,disable-ticketing=on"]
    return [*video, "-display", guest.display]


def _drive(disk: Disk) -> str:
    option = Option(**{"if": disk.interface, "format": disk.format, "file": disk.path})
    if disk.read_only:
        option.add(readonly="on")
    return str(option)


def _kernel(guest: Guest, lab: Settled) -> list[str]:
    words: list[str] = []
    if guest.kernel:
        words += ["-kernel", str(guest.kernel)]
    if guest.initrd:
        words += ["-initrd", str(guest.initrd)]
    append = " ".join(filter(None, [guest.append, *lab.static_words(guest)]))
    return [*words, "-append", append] if guest.kernel and append else words


def _resource(guest: Guest, index: int, nic: Nic, lab: Settled) -> resources.Nic:
    """The NIC as QEMU's side of qlan knows it, so that its words are the same."""
    model = device_name(nic.model)
    facts = lab.facts.qemu.get(guest.arch or "")
    bus = facts.buses.get(model, "PCI") if facts else "usb-bus" if model == "usb-net" else "PCI"
    mtu = nic.mtu_bytes
    if nic.network and mtu is None:
        mtu = lab.topology.network(nic.network).mtu_bytes
    backend: resources.Backend = resources.TapBackend(f"tap/{guest.name}/{index}")
    if nic.user:
        backend = _user(nic.user, guest)
    return resources.Nic(guest.name, index, model, nic.mac or "", backend, nic.boot, nic.link_up, mtu, bus)


def _user(user: UserNetwork, guest: Guest) -> resources.UserBackend:
    return resources.UserBackend.of(user, hostname=user.hostname or guest.name, backend="slirp")


def _vhost(said: Nic) -> dict[str, str]:
    return {} if said.vhost is None else {"vhost": "on" if said.vhost else "off"}


def _netdev(nic: resources.Nic, said: Nic, guest: Guest, lab: Settled) -> str:
    network = lab.topology.network(said.network) if said.network else None
    if network and network.kind == "wire":
        own, other = (f"127.0.0.1:{port}" for port in wire_ports(network, guest, nic.index, lab))
        return str(Option("socket", id=qemu.netdev_id(nic), udp=other, localaddr=own))
    if network and network.kind == "macvtap":
        return str(Option("tap", id=qemu.netdev_id(nic), fd=_MACVTAP_FD + nic.index, **_vhost(said)))
    if network and network.kind == "bridge":
        return str(Option("bridge", id=qemu.netdev_id(nic), br=bridge_of(network)))
    if not isinstance(nic.backend, resources.UserBackend):
        name = tap_name(guest, nic.index)
        return str(Option("tap", id=qemu.netdev_id(nic), ifname=name, script="no", downscript="no", **_vhost(said)))
    forwards = [
        resources.PortForward(
            guest.name, nic.index, one.protocol, one.host_address, one.host_port or 0, one.guest_address, one.guest_port
        )
        for one in said.forwards
    ]
    return user_netdev.render(qemu.netdev_id(nic), nic.backend, forwards)

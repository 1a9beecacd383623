"""A lab as libvirt's XML (https://libvirt.org/formatnetwork.html, formatdomain.html): a file a network, a file a guest.

Networks without <forward> are what libvirt calls isolated: with <ip> they are our host-only, without it our private;
<forward> of mode nat and route is our nat and routed.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import count
from xml.etree import ElementTree

from qlan.interop import host_words
from qlan.interop.markup import comment, element, escape_text
from qlan.interop.settled import (
    File,
    Settled,
    bridge_name,
    ends_of,
    is_isolated,
    reservations,
    reservations6,
    tap_name,
    vlans_of,
    wire_ports,
)
from qlan.interop.told import dhcp_options
from qlan.names import device_name
from qlan.resources.link import STP_TIMERS_S
from qlan.topology.model import OUTSIDE_KINDS, Disk, Forward, Guest, Network, Nic, Rate, UserNetwork, bridge_of
from qlan.topology.prefixes import dhcp_range6

_DNSMASQ = "http://libvirt.org/schemas/network/dnsmasq/1.0"
_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
_BUSES = {"virtio": ("vd", "virtio"), "ide": ("hd", "ide"), "scsi": ("sd", "scsi")}
_SOURCES = {
    "wire": "udp",
    "bridge": "bridge",
    "public": "bridge",
    "macvtap": "direct",
}  # <interface type=...> of networks that are no <network>
_GRAPHICS = {
    "vnc": element("graphics", type_="vnc", autoport="yes", listen="127.0.0.1"),
    "spice": element("graphics", type_="spice", autoport="yes"),
    "sdl": element("graphics", type_="sdl"),
}


def export_lab(lab: Settled) -> tuple[File, ...]:
    """networks/NAME.xml for `virsh net-define`, domains/NAME.xml for `virsh define`."""
    made = [one for one in lab.bridged if one.kind != "public"]
    networks = [File(f"networks/{one.name}.xml", _text(_network(one, lab))) for one in made]
    domains = [File(f"domains/{one.name}.xml", _text(_domain(one, lab))) for one in lab.topology.guests]
    return (*networks, *domains)


def _text(xml: str) -> str:
    """Indented; parsing it again is a check that it is well-formed."""
    builder = ElementTree.TreeBuilder(insert_comments=True)
    parser = ElementTree.XMLParser(target=builder)
    ElementTree.register_namespace("qemu", _QEMU)
    ElementTree.register_namespace("dnsmasq", _DNSMASQ)
    root = ElementTree.fromstring(xml, parser=parser)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _network(network: Network, lab: Settled) -> str:
    parts = [element("name", network.name)]
    if network.kind in OUTSIDE_KINDS:
        parts.append(element("forward", mode="nat" if network.kind == "nat" else "route", dev=network.uplink))
    parts += [comment(f"reach: {name} is not said: a libvirt network reaches no other") for name in network.reach]
    parts += [comment(line) for line in host_words.crowded(network, lab)]
    if network.proxy_arp:
        parts.append(comment("proxy_arp is not said"))
    delay_s, _, _ = STP_TIMERS_S
    stp, delay = ("on", delay_s) if network.stp else ("off", 0)
    parts.append(element("bridge", name=bridge_name(network), stp=stp, delay=str(delay)))
    if network.vlan_filtering:
        parts.append(comment(f"vlan_filtering is not said: libvirt leaves VLANs of a Linux bridge to you: `ip link set "
                             f"dev {bridge_name(network)} type bridge vlan_filtering 1 vlan_default_pvid 0`, and "
                             f"{'; '.join(host_words.own_vlan(network))}"))  # fmt: skip
    if network.multicast_snooping:
        parts.append(comment("multicast_snooping is not said: libvirt leaves it as the kernel has it, with no querier"))
    if network.mtu_bytes:
        parts.append(element("mtu", size=network.mtu_bytes))
    parts.append(element("domain", name=lab.topology.lab, localOnly="yes"))
    parts.append(_dns(network))
    interface = lab.host_interface(network)
    if interface is None:
        parts += _unsaid_of_private(network)
    else:
        dhcp = _dhcp(network, lab)
        tftp = element("tftp", root=network.tftp) if network.tftp else ""
        parts.append(element("ip", tftp + dhcp, address=interface.ip, netmask=interface.netmask))
        parts.append(_ipv6(network, lab))
    told = dhcp_options(network)
    if told and interface:
        words = [element("dnsmasq:option", value=f"dhcp-option={value}") for value in told]
        return element("network", "".join([*parts, element("dnsmasq:options", "".join(words))]),
                       **{"xmlns:dnsmasq": _DNSMASQ})  # fmt: skip
    return element("network", "".join(parts))


def _dns(network: Network) -> str:
    """Further names; libvirt serves those of guests by their reservations."""
    if not network.dns:
        return element("dns", enable="no")
    by_address: dict[str, list[str]] = {}
    for name, address in network.records:
        by_address.setdefault(str(address), []).append(name)
    hosts = [
        element("host", "".join(element("hostname", name) for name in some), ip=ip) for ip, some in by_address.items()
    ]
    return element("dns", "".join(hosts)) if hosts else ""


def _unsaid_of_private(network: Network) -> list[str]:
    found = []
    if network.dhcp:
        text = (
            f"DHCP is not said: libvirt serves it from an address of the host, and on a private network the host has "
            f"none. qlan serves {network.subnet} from a namespace, {_ends(network)}"
        )
        found.append(comment(text))
    elif network.subnet:
        found.append(comment(f"the guests set their addresses of {network.subnet} themselves"))
    return found


def _ipv6(network: Network, lab: Settled) -> str:
    interface = lab.host_interface6(network)
    if interface is None or network.ipv6 is None:
        return ""
    hosts = [element("host", name=name, ip=address) for _, address, name in reservations6(network, lab)]
    dhcp = ""
    if network.ipv6.dhcp:
        first, last = dhcp_range6(interface.network)
        dhcp = element("dhcp", element("range", start=first, end=last) + "".join(hosts))
    words = ""
    if network.ipv6.slaac == network.ipv6.dhcp:  # libvirt: with <dhcp> DHCPv6 alone, without it SLAAC alone
        unsaid = "slaac is" if network.ipv6.slaac else "slaac: false is"
        words = comment(f"{unsaid} not said: libvirt has either DHCPv6 or SLAAC")
    return words + element("ip", dhcp, family="ipv6", address=interface.ip, prefix=interface.network.prefixlen)


def _ends(network: Network) -> str:
    assert network.dhcp is not None
    first, last = ends_of(network.dhcp)
    return f"{first} to {last}"


def _dhcp(network: Network, lab: Settled) -> str:
    if network.dhcp is None:
        return ""
    if network.dhcp.relay:
        return comment(f"DHCP by a relay to {network.dhcp.relay} is not said: libvirt has no words for it")
    first, last = ends_of(network.dhcp)
    lease = element("lease", expiry=network.dhcp.lease_time_s, unit="seconds")
    hosts = [element("host", mac=mac, name=name, ip=address) for mac, address, name in reservations(network, lab)]
    boot = element("bootp", file=network.bootfile) if network.bootfile else ""
    return element("dhcp", element("range", lease, start=first, end=last) + "".join(hosts) + boot)


def _domain(guest: Guest, lab: Settled) -> str:
    parts = [
        element("name", guest.name),
        element("memory", str(guest.memory_bytes >> 10), unit="KiB"),
        element("vcpu", str(guest.cpus)),
        _os(guest, lab),
        element("features", element("acpi")) if guest.arch in ("x86_64", "i386") else "",
        element("cpu", mode="host-passthrough") if guest.accel == "kvm" else "",
        _devices(guest, lab),
    ]
    attributes: dict[str, object] = {"type": "kvm" if guest.accel == "kvm" else "qemu"}
    if guest.qemu_args:
        words = "".join(element("qemu:arg", value=word) for word in guest.qemu_args)
        parts.append(element("qemu:commandline", words))
        attributes["xmlns:qemu"] = _QEMU
    return element("domain", "".join(parts), **attributes)


def _os(guest: Guest, lab: Settled) -> str:
    parts = [element("type", "hvm", arch="i686" if guest.arch == "i386" else guest.arch, machine=guest.machine)]
    if guest.kernel:
        parts.append(element("kernel", escape_text(str(guest.kernel))))
    if guest.initrd:
        parts.append(element("initrd", escape_text(str(guest.initrd))))
    words = " ".join(filter(None, [guest.append, *lab.static_words(guest)]))
    if guest.kernel and words:
        parts.append(element("cmdline", escape_text(words)))
    return element("os", "".join(parts))


def _devices(guest: Guest, lab: Settled) -> str:
    parts: list[str] = []
    letters = {"vd": count(), "hd": count(), "sd": count()}
    for disk in guest.disks:
        prefix, bus = _BUSES.get(disk.interface, _BUSES["virtio"])
        parts.append(_disk(disk, f"{prefix}{_letters(next(letters[prefix]))}", bus))
    for index, nic in enumerate(guest.nics):
        parts.append(_interface(nic, guest, index, lab))
    parts += [comment(words) for words in host_words.reverse_words(guest)]
    if guest.cloud_init:
        parts.append(comment("cloud_init is not said: attach a NoCloud seed (cloud-localds makes one) as a cdrom"))
    parts += [element("serial", type_="pty"), element("console", type_="pty")]
    if guest.display in _GRAPHICS:
        parts += [_GRAPHICS[guest.display], element("video", element("model", type_="vga"))]
    elif guest.display != "none":
        parts.append(comment(f"display {guest.display} is not said: libvirt has vnc, spice and sdl"))
    return element("devices", "".join(parts))


def _letters(number: int) -> str:
    """a, ..., z, aa, ab, ...: how libvirt counts disks."""
    head, last = divmod(number, 26)
    return (_letters(head - 1) if head else "") + chr(ord("a") + last)


def _disk(disk: Disk, target: str, bus: str) -> str:
    driver = element("driver", name="qemu", type_=disk.format)
    unknown = comment("type= is not said: the image was not there to be looked at") if disk.format is None else ""
    parts = [driver, unknown, element("source", file=disk.path), element("target", dev=target, bus=bus)]
    if disk.interface == "none":
        parts.append(comment("interface: none is not said: libvirt attaches every disk"))
    if disk.read_only:
        parts.append(element("readonly"))
    return element("disk", "".join(parts), type_="file", device="disk")


def _interface(nic: Nic, guest: Guest, index: int, lab: Settled) -> str:
    network = lab.topology.network(nic.network) if nic.network else None
    kind = _SOURCES.get(network.kind, "network") if network else "user"
    parts = [element("mac", address=nic.mac)]
    if network:
        parts += _source(network, guest, index, lab)
    if nic.user:
        parts += _user(nic.user, nic)
    parts.append(element("model", type_=_model(nic.model)))
    if nic.network and nic.vhost is not None:
        parts.append(element("driver", name="vhost" if nic.vhost else "qemu"))
    if nic.boot:
        parts.append(element("boot", order=index + 1))
    if not nic.link_up:
        parts.append(element("link", state="down"))
    if nic.mtu_bytes:
        parts.append(element("mtu", size=nic.mtu_bytes))
    if nic.network:
        parts += _port(nic, lab.topology.network(nic.network))
    return element("interface", "".join(parts), type_=kind)


def _source(network: Network, guest: Guest, index: int, lab: Settled) -> list[str]:
    """What the NIC is plugged into."""
    if network.kind == "wire":
        own, other = wire_ports(network, guest, index, lab)
        local = element("local", address="127.0.0.1", port=own)
        return [element("source", local, address="127.0.0.1", port=other)]
    if network.kind == "macvtap":
        mode = "passthrough" if network.mode == "passthru" else network.mode or "bridge"
        return [element("source", dev=network.uplink, mode=mode)]
    if network.kind == "public":
        words = f"a bridge with {network.uplink} in it: libvirt leaves that to you; `qlan export --to netplan` has it"
        return [element("source", bridge=bridge_name(network)), comment(words)]
    if network.kind == "bridge":
        return [element("source", bridge=bridge_of(network))]
    return [element("source", network=network.name), element("target", dev=tap_name(guest, index))]


def _port(nic: Nic, network: Network) -> list[str]:
    """What the NIC asks of its port on the bridge."""
    parts = [_bandwidth(nic.rate)] if nic.rate else []
    untagged, tagged = vlans_of(nic, network)
    if untagged or tagged:
        parts.append(
            comment(f"its VLANs are not said: untagged {untagged or 'none'}, tagged {', '.join(tagged) or 'none'}")
        )
    return [*parts, element("port", isolated="yes")] if is_isolated(nic, network) else parts


def _bandwidth(rate: Rate) -> str:
    """In whole kilobytes a second (tc's kbps: 1000 bytes), as the guest sees it."""
    parts, unsaid = "", []
    for name, bps in (("inbound", rate.in_bps), ("outbound", rate.out_bps)):
        if bps:
            parts += element(name, average=max(1, bps // 8000))
            if bps % 8000:
                unsaid.append(f"{name}: {bps}bit")
    words = comment(f"libvirt counts kilobytes; said was {', '.join(unsaid)}") if unsaid else ""
    return words + element("bandwidth", parts)


def _model(model: str) -> str:
    """libvirt says `virtio` as we do, and QEMU's own name for all others."""
    return "virtio" if model in ("virtio", "virtio-net-pci") else device_name(model)


def _user(user: UserNetwork, nic: Nic) -> list[str]:
    """Forwards need passt as the backend (libvirt 9.0); what -netdev user can and <interface> can't is a comment."""
    parts = []
    passt = user.backend == "passt"
    if passt or nic.forwards:
        parts.append(element("backend", type_="passt"))
        parts += [_forward(forward) for forward in nic.forwards]
    if nic.forwards and not passt:
        parts.append(comment("by passt: the guest gets an address of this machine's, not one of 10.0.2.0/24"))
    subnet = user.subnet or (IPv4Network("10.0.2.0/24") if passt else None)
    said = {"backend"} if passt else set()
    if subnet and user.ipv4 and (passt or not nic.forwards):
        parts.append(element("ip", family="ipv4", address=user.dhcp_start or subnet[15], prefix=subnet.prefixlen))
        said |= {"subnet", "dhcp_start"} if passt else {"subnet"}
    unsaid = [f"{key}: {value}" for key, value in _said(user).items() if key not in said]
    if unsaid:
        parts.append(comment(f"not said, libvirt has no words for it: {'; '.join(unsaid)}"))
    return parts


def _said(user: UserNetwork) -> dict[str, object]:
    """The options that differ from QEMU's defaults."""
    default = UserNetwork()
    found = {name: getattr(user, name) for name in UserNetwork.__struct_fields__}
    return {key: _shown(value) for key, value in found.items() if value != getattr(default, key)}


def _shown(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value


def _forward(forward: Forward) -> str:
    ports = element("range", start=forward.host_port, to=forward.guest_port)
    if forward.guest_address:
        ports += comment(f"guest address {forward.guest_address} is not said: passt has one guest")
    address = None if int(forward.host_address) == 0 else forward.host_address
    return element("portForward", ports, proto=forward.protocol, address=address)

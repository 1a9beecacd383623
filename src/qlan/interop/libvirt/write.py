"""A lab as libvirt's XML (https://libvirt.org/formatnetwork.html, formatdomain.html): a file a network, a file a guest.

Networks without <forward> are what libvirt calls isolated: with <ip> they are our host-only, without it our private.
"""

from __future__ import annotations

from itertools import count
from xml.etree import ElementTree

from qlan.interop.markup import comment, element, escape_text
from qlan.interop.settled import File, Settled, bridge_name, ends_of, reservations, tap_name
from qlan.names import MODEL_ALIASES
from qlan.topology.model import Disk, Forward, Guest, Network, Nic, UserNetwork

_QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
_BUSES = {"virtio": ("vd", "virtio"), "ide": ("hd", "ide"), "scsi": ("sd", "scsi")}
_GRAPHICS = {
    "vnc": element("graphics", type_="vnc", autoport="yes", listen="127.0.0.1"),
    "spice": element("graphics", type_="spice", autoport="yes"),
    "sdl": element("graphics", type_="sdl"),
}


def export_lab(lab: Settled) -> tuple[File, ...]:
    """networks/NAME.xml for `virsh net-define`, domains/NAME.xml for `virsh define`."""
    networks = [File(f"networks/{one.name}.xml", _text(_network(one, lab))) for one in lab.topology.networks]
    domains = [File(f"domains/{one.name}.xml", _text(_domain(one, lab))) for one in lab.topology.guests]
    return (*networks, *domains)


def _text(xml: str) -> str:
    """Indented; parsing it again is a check that it is well-formed."""
    builder = ElementTree.TreeBuilder(insert_comments=True)
    parser = ElementTree.XMLParser(target=builder)
    ElementTree.register_namespace("qemu", _QEMU)
    root = ElementTree.fromstring(xml, parser=parser)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _network(network: Network, lab: Settled) -> str:
    parts = [element("name", network.name)]
    parts.append(element("bridge", name=bridge_name(network), stp="off", delay="0"))
    if network.mtu_bytes:
        parts.append(element("mtu", size=network.mtu_bytes))
    parts.append(element("domain", name=lab.topology.lab, localOnly="yes"))
    if not network.dns:
        parts.append(element("dns", enable="no"))
    interface = lab.host_interface(network)
    if interface is None:
        parts += _unsaid_of_private(network)
    else:
        dhcp = _dhcp(network, lab)
        parts.append(element("ip", dhcp, address=interface.ip, netmask=interface.netmask))
    return element("network", "".join(parts))


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


def _ends(network: Network) -> str:
    assert network.dhcp is not None
    first, last = ends_of(network.dhcp)
    return f"{first} to {last}"


def _dhcp(network: Network, lab: Settled) -> str:
    if network.dhcp is None:
        return ""
    first, last = ends_of(network.dhcp)
    lease = element("lease", expiry=network.dhcp.lease_time_s, unit="seconds")
    hosts = [element("host", mac=mac, name=name, ip=address) for mac, address, name in reservations(network, lab)]
    return element("dhcp", element("range", lease, start=first, end=last) + "".join(hosts))


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
        parts.append(_interface(nic, guest, index))
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


def _interface(nic: Nic, guest: Guest, index: int) -> str:
    kind = "user" if nic.user else "network"
    parts = [element("mac", address=nic.mac)]
    if nic.network:
        parts += [element("source", network=nic.network), element("target", dev=tap_name(guest, index))]
    if nic.user:
        parts += _user(nic.user, nic)
    parts.append(element("model", type_=_model(nic.model)))
    if nic.boot:
        parts.append(element("boot", order=index + 1))
    if not nic.link_up:
        parts.append(element("link", state="down"))
    if nic.mtu_bytes:
        parts.append(element("mtu", size=nic.mtu_bytes))
    return element("interface", "".join(parts), type_=kind)


def _model(model: str) -> str:
    """libvirt says `virtio` as we do, and QEMU's own name for all others."""
    return "virtio" if model in ("virtio", "virtio-net-pci") else MODEL_ALIASES.get(model, model)


def _user(user: UserNetwork, nic: Nic) -> list[str]:
    """Forwards need passt as the backend (libvirt 9.0); what -netdev user can and <interface> can't is a comment."""
    parts = []
    if nic.forwards:
        parts.append(element("backend", type_="passt"))
        parts += [_forward(forward) for forward in nic.forwards]
        parts.append(comment("by passt: the guest gets an address of this machine's, not one of 10.0.2.0/24"))
    if user.subnet and user.ipv4 and not nic.forwards:
        start = user.dhcp_start or user.subnet.network_address + 15
        parts.append(element("ip", family="ipv4", address=start, prefix=user.subnet.prefixlen))
    said = {"subnet"} if user.subnet and not nic.forwards else set()
    unsaid = [f"{key}: {value}" for key, value in _said(user).items() if key not in said]
    if unsaid:
        parts.append(comment(f"not said, libvirt has no words for it: {'; '.join(unsaid)}"))
    return parts


def _said(user: UserNetwork) -> dict[str, object]:
    """The options that differ from QEMU's defaults."""
    default = UserNetwork()
    found = {name: getattr(user, name) for name in UserNetwork.__dataclass_fields__}
    return {key: _shown(value) for key, value in found.items() if value != getattr(default, key)}


def _shown(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value


def _forward(forward: Forward) -> str:
    ports = element("range", start=forward.host_port, to=forward.guest_port)
    if forward.guest_address:
        ports += comment(f"guest address {forward.guest_address} is not said: passt has one guest")
    address = None if int(forward.host_address) == 0 else forward.host_address
    return element("portForward", ports, proto=forward.protocol, address=address)

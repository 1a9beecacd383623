"""<interface> of every type: a NIC on a network of the lab, or with user-mode networking."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from qlan.interop.imported import Notes, Place
from qlan.interop.libvirt.port import Groups, read_port
from qlan.interop.markup import Tag
from qlan.interop.shared import Shared
from qlan.names import MODEL_ALIASES
from qlan.topology.forwards import ANY, parse_port
from qlan.topology.model import Forward, Nic, Protocol, UserNetwork
from qlan.topology.scalars import MTU_MAX, MTU_MIN, parse_address, parse_integer, parse_mac, parse_word
from qlan.values import replace

_ALIASES = {name: alias for alias, name in MODEL_ALIASES.items()}
_MODELS = {"virtio-transitional": "virtio", "virtio-non-transitional": "virtio"}
_DEFAULT_MODEL = "rtl8139"  # libvirt's own on x86 (qemu_domain.c)
_FORWARDS_MAX = 200  # of one range of ports; more would hide the rest of the file


def read_interface(tag: Tag, place: Place, shared: Shared, groups: Groups, notes: Notes) -> Nic:
    """One NIC.  What it is plugged into decides by its type; everything else is the same for all."""
    kind = tag.attribute("type") or "user"
    model = tag.value("model", "type") or _DEFAULT_MODEL
    nic = Nic(
        model=notes.value(place, "model", _ALIASES.get(model, _MODELS.get(model, model)), parse_word) or "virtio",
        mac=notes.value(place, "mac", tag.value("mac", "address"), parse_mac),
        boot=tag.value("boot", "order") is not None,
        link_up=tag.value("link", "state") != "down",
        mtu_bytes=notes.value(
            place, "mtu", tag.value("mtu", "size"), lambda said: parse_integer(said, MTU_MIN, MTU_MAX)
        ),
    )
    if kind != "user":
        nic = replace(nic, vhost={"vhost": True, "qemu": False}.get(tag.value("driver", "name") or ""))
    if kind != "user" and tag.value("port", "isolated") == "yes":
        nic = replace(nic, isolated=True)
    if model in _MODELS:
        notes.add(place, f"its model was {model}")
    if kind == "user":
        nic = _user(nic, tag, place, notes)
    else:
        network = _network(kind, tag, place, shared)
        source = tag.find("source")
        group = (source.peek("portgroup") if source else None) or ""
        if source and (network, group) in groups.by_name:
            source.attribute("portgroup")
        port = read_port(tag, place, notes).or_else(groups.port(network, group))
        nic = replace(nic, network=network, rate=port.rate, vlan=port.vlan, trunk=port.trunk)
    tag.value("target", "dev")
    passed = tag.pass_over("alias", "address")
    if passed:
        notes.add(place, f"libvirt's own, without a meaning here: {', '.join(passed)}")
    for left in tag.leftovers():
        notes.add(place, f"not carried over: {left}")
    tag.take()  # said
    return nic


def _network(kind: str, tag: Tag, place: Place, shared: Shared) -> str:
    """The name of the lab's network that stands for what the NIC is plugged into."""
    source = tag.find("source")

    def said(key: str) -> str:
        return (source.attribute(key) if source else None) or ""

    if kind == "network":
        return _defined("network", said("network"), "its <network> is not among the files", shared)
    if kind == "bridge":
        return shared.existing(said("bridge") or "br0")
    if kind == "direct" and said("dev"):
        return shared.macvtap(said("dev"), said("mode") or "vepa")  # formatdomain.html: libvirt's default
    if kind in ("mcast", "udp", "server", "client"):
        return _socket(kind, source, shared)
    if kind == "internal":
        return shared.nearest("internal", said("name"), f"libvirt's internal network {said('name')}", said("name"))
    if kind == "null":
        return shared.nearest("null", "", "NICs that were plugged into nothing", "unplugged")
    what = {
        "ethernet": "a TAP that a script or somebody else plugs in",
        "hostdev": "a device of the host's",
        "vhostuser": f"vhost-user at {said('path')}",
        "vdpa": f"vDPA device {said('dev')}",
        "vds": "a port of VMware's switch",
    }.get(kind, f"an interface of type {kind}")
    own = said("dev") or said("path") or tag.value("target", "dev") or f"{place[1]}/{place[2]}"
    return shared.nearest(kind, own, f"{what} is not carried over: guests reach each other alone", f"{kind}-{own}")


def _defined(sort: str, name: str, why: str, shared: Shared) -> str:
    if (sort, name) in shared.by_key:
        return shared.by_key[sort, name].name
    return shared.nearest(sort, name, f"{sort} {name}: {why}: guests reach each other alone", name)


def _socket(kind: str, source: Tag | None, shared: Shared) -> str:
    """Ends of one socket are matched by their ports."""
    port = (source.attribute("port") if source else None) or "?"
    address = (source.attribute("address") if source else None) or ""
    if kind == "mcast":
        group = f"{address}:{port}"
        return shared.nearest("multicast", group, f"a multicast group, {group}", "multicast")
    if kind == "udp" and source is not None:
        local = source.value("local", "port") or "?"
        source.value("local", "address")
        port = "-".join(sorted((port, local)))
    return shared.nearest("socket", port, f"a socket between two QEMUs, port {port}", "cable")


def _user(nic: Nic, tag: Tag, place: Place, notes: Notes) -> Nic:
    """User mode: QEMU's own, or passt, whose forwards become ours."""
    backend = tag.value("backend", "type")
    user = UserNetwork(backend="passt" if backend == "passt" else "slirp")
    for ip in tag.children("ip"):
        if ip.peek("family") != "ipv6" and user.subnet is None:
            own = ip.peek("address") if backend == "passt" else None  # there it is the guest's own
            user = _addressed(user, ip, place, notes)
            usual = [str(user.subnet[0]), str(user.subnet[15])] if user.subnet else []
            user = replace(user, dhcp_start=IPv4Address(own)) if own and usual and own not in usual else user
    if backend == "passt" and not tag.has("ip"):
        notes.add(place, "passt gave it an address of this machine; here it gets 10.0.2.15, or one of `subnet:`")
    forwards = [one for port in tag.children("portForward") for one in _forwards(port, place, notes)]
    return replace(nic, user=user, forwards=tuple(forwards))


def _addressed(user: UserNetwork, ip: Tag, place: Place, notes: Notes) -> UserNetwork:
    """libvirt says the guest's subnet by any address in it (`net=ADDRESS/PREFIX`); the guest's own is .15 still."""
    text = f"{ip.attribute('address')}/{ip.attribute('prefix') or 24}"
    ip.attribute("family")
    try:
        subnet = IPv4Network(text, strict=False)
    except ValueError:
        notes.add(place, f"<ip> {text} is no subnet")
        return user
    return user if subnet == IPv4Network("10.0.2.0/24") else replace(user, subnet=subnet)


def _forwards(tag: Tag, place: Place, notes: Notes) -> list[Forward]:
    """One forward a port of each <range>."""
    protocol: Protocol = "udp" if tag.attribute("proto") == "udp" else "tcp"
    said = tag.peek("address")
    address: IPv4Address | None = ANY
    if said is not None:
        address = notes.value(place, "portForward address", tag.attribute("address"), parse_address)
    found: list[Forward] = []
    for one in tag.children("range"):
        if one.peek("exclude") == "yes":
            continue
        ports = _ports(one, place, notes)
        to = notes.value(place, "range", one.attribute("to"), parse_port) or (ports.start if ports else 1)
        if len(ports) > _FORWARDS_MAX:
            notes.add(place, f"ports {ports[0]} to {ports[-1]}: only the first {_FORWARDS_MAX} are written")
        if address is not None:
            found += [Forward(protocol, address, port, None, port - ports.start + to) for port in ports[:_FORWARDS_MAX]]
    for one in tag.children("range"):
        if one.peek("exclude") == "yes":
            barred = _ports(one, place, notes)
            found = [forward for forward in found if forward.host_port not in barred]
    if not tag.has("range"):
        notes.add(place, f"a portForward of all {protocol} ports is not in this version")
    return found


def _ports(tag: Tag, place: Place, notes: Notes) -> range:
    """The ports of a <range>; none if it is nonsense."""
    tag.attribute("exclude")
    first = notes.value(place, "range", tag.attribute("start"), parse_port)
    last = notes.value(place, "range", tag.attribute("end"), parse_port) or first
    if first is None or last is None or last < first:
        return range(0)
    return range(first, last + 1)

"""Who reaches whom on a netdev of each type, in words.  The facts are those of QEMU's manual."""

from __future__ import annotations

from collections.abc import Callable

from qlan.cmdline.usermode import UserMode
from qlan.cmdline.wiring import Plug
from qlan.values import Value


class Reach(Value):
    """what: the netdev in a few words.  guests, host, outside, inbound: which other guests, the host, the outside the
    guest reaches, and who reaches the guest.  far: the picture's other end."""

    what: str
    guests: str
    host: str
    outside: str
    inbound: str
    far: str


_BRIDGED = ("those on the same bridge", "if the bridge has an address", "as the bridge is connected", "as outwards")
_TUNNEL = ("those at the other end", "no", "only through the other end", "those at the other end")
_HUB = ("those on the same hub", "no", "as what else is on the hub", "as what else is on the hub")


def reach_of(plug: Plug, mode: UserMode | None) -> Reach:
    """The reach of a netdev."""
    said = _reader(plug)
    match plug.type:
        case "user":
            return _user(mode)
        case "passt":
            return Reach(
                "user-mode network by passt", "no", "by the gateway's address", "as this user's programs do",
                "by passt's ports only", "passt",
            )  # fmt: skip
        case "tap":
            if said("helper"):
                bridge = said("br") or "br0"
                return Reach(f"TAP on bridge {bridge}, made by {said('helper')}", *_BRIDGED, bridge)
            name = f"TAP {said('ifname')}" if said("ifname") else "new TAP"
            name = "TAP behind an open descriptor" if said("fd") or said("fds") else name
            return Reach(name, *_BRIDGED, said("ifname") or "TAP")
        case "bridge":
            bridge = said("br") or "br0"
            return Reach(f"TAP on bridge {bridge}, made by the bridge helper", *_BRIDGED, bridge)
        case "socket" | "dgram" | "stream" | "l2tpv3":
            return _tunnel(plug)
        case "hubport":
            return Reach(f"port of hub {said('hubid')}", *_HUB, f"hub {said('hubid')}")
    return _rare(plug)


def _reader(plug: Plug) -> Callable[[str], str | None]:
    """Reads the netdev's own words."""
    clause = plug.clause
    return clause.value if clause else lambda key: None


def _user(mode: UserMode | None) -> Reach:
    if mode is None:
        return Reach("user-mode network", "no", "yes", "yes", "by forwards only", "outside")
    nets = " and ".join(str(net) for on, net in ((mode.ipv4, mode.network), (mode.ipv6, mode.network6)) if on)
    inbound = "by forwards only" if mode.forwards else "nobody"
    if mode.restrict:
        return Reach(f"closed user-mode network {nets}", "no", "no", "no", inbound, "nothing")
    host = str(mode.host) if mode.ipv4 else str(mode.host6)
    return Reach(f"user-mode network {nets}", "no", f"as {host}", "yes, as this machine", inbound, "outside")


def _tunnel(plug: Plug) -> Reach:
    said = _reader(plug)
    if plug.type == "socket":
        way = next((key for key in ("listen", "connect", "mcast", "udp", "fd") if said(key)), "?")
        what = f"socket, {way} {said(way)}"
        if way == "mcast":
            group = ("all on the same multicast group", "no", "no", "all on the same multicast group")
            return Reach(what, *group, f"group {said(way)}")
        return Reach(what, *_TUNNEL, f"{way} {said(way)}")
    if plug.type == "l2tpv3":
        return Reach(f"L2TPv3 tunnel to {said('dst')}", *_TUNNEL, str(said("dst")))
    key = "addr" if plug.type == "stream" else "remote"
    place = said(f"{key}.path") or ":".join(filter(None, (said(f"{key}.host"), said(f"{key}.port")))) or "a descriptor"
    return Reach(f"{plug.type} socket, {place}", *_TUNNEL, place)


def _rare(plug: Plug) -> Reach:
    said = _reader(plug)
    switch = ("those on the same switch", "as the switch is connected", "as the switch is connected", "as outwards")
    known = {
        "vde": Reach(f"VDE switch {said('sock') or ''}".rstrip(), *switch, "VDE switch"),
        "vhost-user": Reach(f"vhost-user by {said('chardev')}", *switch, "vhost-user"),
        "vhost-vdpa": Reach(f"vDPA device {said('vhostdev') or ''}".rstrip(), *switch, "vDPA"),
        "netmap": Reach(f"netmap {said('ifname')}", *switch, "netmap"),
        "af-xdp": Reach(f"the NIC {said('ifname')} by AF_XDP", *switch, str(said("ifname"))),
        "vmnet-host": Reach("macOS vmnet, host only", "those on vmnet", "yes", "no", "the host", "macOS"),
        "vmnet-shared": Reach("macOS vmnet, shared", "those on vmnet", "yes", "yes", "the host", "macOS"),
        "vmnet-bridged": Reach(f"macOS vmnet on {said('ifname')}", *_BRIDGED, "macOS"),
    }
    return known.get(plug.type, Reach(plug.type, "?", "?", "?", "?", "?"))

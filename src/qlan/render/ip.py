"""Links and addresses as lines for `ip -batch` (ip-link(8), ip-address(8)).

A link's mark is its alias `qlan:<lab>:<key>`, set in the line after the one that makes it: `ip link add ... alias` is
taken and silently ignored.  Every link carries the lab's group, so that all can be removed by one `link del group`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qlan import names
from qlan.render.command import HERE, Command, Ip, OpenTap, Sysctl
from qlan.render.scene import Scene
from qlan.resources.model import Address, Bridge, Macvlan, Macvtap, Tap, Trunk
from qlan.values import replace

MARK = names.MARK

_Ranges = Mapping[tuple[int, int], str]  # of VLANs, with the flags that `bridge` knows


def alias(lab: str, key: str) -> str:
    """The owner's mark on a link."""
    return f"{MARK}:{lab}:{key}"


def group(scene: Scene) -> int:
    """The lab's link group."""
    return names.link_group(scene.lab)


def create_bridge(bridge: Bridge, scene: Scene) -> list[Command]:
    """Made down, its own IPv6 off or deaf, set up and marked.

    An MTU that it is made with would not last: without a port it is 1500 again (br_mtu_auto_adjust in Linux).
    """
    words = f"address {bridge.mac} group {group(scene)} type bridge {_created(bridge)}"
    return [
        Ip(bridge.namespace, f"link add name {bridge.name} {words}"),
        *_ipv6(bridge, scene),
        Ip(
            bridge.namespace,
            f"link set dev {bridge.name} mtu {bridge.mtu_bytes} alias {alias(scene.lab, bridge.key)} up",
        ),
        *_own_vlan(None, bridge),
    ]


def change_bridge(before: Bridge, after: Bridge, scene: Scene) -> list[Command]:
    """Whatever differs, in place.  Without STP first: the kernel refuses a short forward delay as long as it is on."""
    quiet = before.stp and not after.stp
    return [
        *([Ip(after.namespace, f"link set dev {after.name} type bridge stp_state 0")] if quiet else []),
        *_ipv6(after, scene),
        Ip(
            after.namespace,
            f"link set dev {after.name} address {after.mac} mtu {after.mtu_bytes} {_marked(after, scene)}",
        ),
        Ip(after.namespace, f"link set dev {after.name} type bridge {bridge_options(after)}"),
        *_filtering(before, after),
        *_own_vlan(before, after),
    ]


def delete_bridge(bridge: Bridge, scene: Scene) -> list[Command]:
    """The kernel frees its ports and its addresses."""
    return [_delete(bridge.namespace, bridge.name)]


def create_trunk(trunk: Trunk, scene: Scene) -> list[Command]:
    """Both ends in their bridges before either is up: none is heard through a port that is not isolated yet."""
    words = f"mtu {trunk.mtu_bytes} group {group(scene)}"
    made = f"link add name {trunk.near} {words} type veth peer name {trunk.far} {words}"
    return [Ip(trunk.namespace, made), *_trunk(trunk, scene), *_trunk_vlans((), trunk)]


def change_trunk(before: Trunk, after: Trunk, scene: Scene) -> list[Command]:
    """Whatever differs, in place; the trunk is cut while its end becomes another port."""
    moved = (before.bridge, before.branch_bridge, before.isolated) != (
        after.bridge, after.branch_bridge, after.isolated,
    )  # fmt: skip
    down = [Ip(after.namespace, f"link set dev {after.near} down")] if moved else []
    return [*down, *_trunk(after, scene), *_trunk_vlans(() if moved else before.vlans, after)]


def delete_trunk(trunk: Trunk, scene: Scene) -> list[Command]:
    """One end takes the other along."""
    return [_delete(trunk.namespace, trunk.near), _delete(trunk.namespace, trunk.far)]


def _trunk(trunk: Trunk, scene: Scene) -> list[Command]:
    """The near end last: it is what the trunk waits for.  Neither end has an address, not even a link-local one."""
    far = f"master {trunk.branch_bridge} mtu {trunk.mtu_bytes} addrgenmode none"
    near = f"master {trunk.bridge} mtu {trunk.mtu_bytes} addrgenmode none"
    port = f"type bridge_slave isolated {'on' if trunk.isolated else 'off'}"
    state = "up" if trunk.up else "down"
    mark = alias(scene.lab, trunk.key)
    return [
        Ip(trunk.namespace, f"link set dev {trunk.far} {far}"),
        Ip(trunk.namespace, f"link set dev {trunk.far} alias {mark}/far {state}"),
        Ip(trunk.namespace, f"link set dev {trunk.near} {near}"),
        Ip(trunk.namespace, f"link set dev {trunk.near} alias {mark} {state} {port}"),
    ]


def _trunk_vlans(before: Sequence[tuple[int, int]], after: Trunk) -> list[Command]:
    """What passes it with tags.  before: what both ends have."""
    had, wanted = dict.fromkeys(before, ""), dict.fromkeys(after.vlans, "")
    return [line for name in (after.near, after.far) for line in _vlan_lines(after.namespace, name, had, wanted)]


def create_tap(tap: Tap, scene: Scene) -> list[Command]:
    """Opened by us, then into its bridge, marked and up in one netlink message.

    An isolated one takes two: what a port is can be said only when it is one, and it is not up before.
    """
    own = f"address {_high_mac(tap, scene)} " if tap.foreign else ""
    place = f"link set dev {tap.name} {own}master {tap.bridge} mtu {tap.mtu_bytes} group {group(scene)}"
    mark = f"alias {alias(scene.lab, tap.key)} up"
    vlans = _port_vlans(None, tap)
    if not tap.isolated:
        return [OpenTap(tap.namespace, tap.name), Ip(tap.namespace, f"{place} {mark}"), *vlans]
    port = Ip(tap.namespace, f"link set dev {tap.name} {mark} {_port(tap)}")
    return [OpenTap(tap.namespace, tap.name), Ip(tap.namespace, place), port, *vlans]


def _high_mac(tap: Tap, scene: Scene) -> str:
    """A bridge takes the lowest MAC of its ports for its own: somebody else's bridge must not change its by ours."""
    return "fe" + names.derived_mac("port", scene.lab, tap.key)[2:]


def change_tap(before: Tap, after: Tap, scene: Scene) -> list[Command]:
    """Another bridge, in another namespace too, or back into its own.  QEMU's descriptor moves with it."""
    if before.namespace != after.namespace:
        there = after.namespace or HERE
        gone = Ip(before.namespace, f"link set dev {before.name} nomaster netns @{there}@")
        return [gone, *change_tap(replace(before, namespace=after.namespace, bridge=""), after, scene)]
    own = f"address {_high_mac(after, scene)} " if after.foreign else ""
    place = f"link set dev {after.name} {own}{_master(after.bridge)} mtu {after.mtu_bytes} {_marked(after, scene)}"
    moves = before.bridge != after.bridge
    vlans = _port_vlans(None if moves else before, after) if after.bridge else []
    if before.isolated == after.isolated and not (moves and after.isolated):
        return [Ip(after.namespace, place), *vlans]
    # A port is born in its bridge as one that is not isolated: its cable stays pulled for that moment.
    down = [Ip(after.namespace, f"link set dev {after.name} {own}{_master(after.bridge)} down")] if moves else []
    port = [Ip(after.namespace, f"link set dev {after.name} {_port(after)}")] if after.bridge else []
    return [*down, *port, Ip(after.namespace, place), *vlans]


def delete_tap(tap: Tap, scene: Scene) -> list[Command]:
    """It may have gone with its QEMU already."""
    return [_delete(tap.namespace, tap.name)]


def create_macvtap(one: Macvtap, scene: Scene) -> list[Command]:
    """With the guest's own MAC; QEMU opens it."""
    return _create_above(one, f"type macvtap mode {one.mode}", scene)


def create_macvlan(one: Macvlan, scene: Scene) -> list[Command]:
    """The host's own; IPv6 off, so that a router of the LAN moves no route of this machine to it."""
    made, up = _create_above(one, "type macvlan mode bridge", scene)
    return [made, Sysctl(one.namespace, f"net/ipv6/conf/{one.name}/disable_ipv6", "1"), up]


def _create_above(one: Macvtap | Macvlan, kind: str, scene: Scene) -> list[Command]:
    words = f"address {one.mac} mtu {one.mtu_bytes} group {group(scene)} {kind}"
    mark = f"alias {alias(scene.lab, one.key)} up"
    if isinstance(one, Macvtap) and one.mode == "passthru":
        mark = f"address {one.mac} {mark}"  # made, it has the MAC of the NIC below; told so, that has its
    return [
        Ip(one.namespace, f"link add link {one.uplink} name {one.name} {words}"),
        Ip(one.namespace, f"link set dev {one.name} {mark}"),
    ]


def change_above(before: Macvtap | Macvlan, after: Macvtap | Macvlan, scene: Scene) -> list[Command]:
    """MTU, mark and state."""
    return [Ip(after.namespace, f"link set dev {after.name} mtu {after.mtu_bytes} {_marked(after, scene)}")]


def delete_above(one: Macvtap | Macvlan, scene: Scene) -> list[Command]:
    """It may have gone with its NIC."""
    return [_delete(one.namespace, one.name)]


def create_address(address: Address, scene: Scene) -> list[Command]:
    """An address on one of our links.  nodad: nobody else is there yet, and a server must be able to bind to it."""
    words = " nodad" if address.interface.version == 6 else ""
    return [Ip(address.namespace, f"addr add {_local(address)} dev {address.link}{words}")]


def delete_address(address: Address, scene: Scene) -> list[Command]:
    """And off again."""
    return [Ip(address.namespace, f"addr del {_local(address)} dev {address.link}", gone_is_fine=True)]


def _local(address: Address) -> str:
    return f"{address.interface.ip} peer {address.peer}" if address.peer else str(address.interface)


def _ipv6(bridge: Bridge, scene: Scene) -> list[Sysctl]:
    """The host's own IPv6 on the bridge; the guests' passes through it either way.

    On, it must not listen: by a router advertisement any guest could give the host an address and a default route, by a
    redirect lead its packets elsewhere.  accept_dad: its link-local address is made of a MAC of our own, and a server
    must not have to wait a second for it.  A bridge with an uplink listens as its NIC did.
    """
    deaf = dict.fromkeys(("accept_ra", "autoconf", "accept_redirects", "accept_dad"), "0")
    if not bridge.ipv6 or f"uplink/{bridge.network}" in scene.resources:
        deaf = {}
    settings = {**deaf, "disable_ipv6": str(int(not bridge.ipv6))}
    return [Sysctl(bridge.namespace, f"net/ipv6/conf/{bridge.name}/{name}", value) for name, value in settings.items()]


def _created(bridge: Bridge) -> str:
    """The options of a new bridge; what is the kernel's own default is left out."""
    words = (
        f"stp_state {int(bridge.stp)} forward_delay {bridge.forward_delay_cs} "
        f"mcast_snooping {int(bridge.multicast_snooping)}"
    )
    if bridge.stp:
        words += f" hello_time {bridge.hello_time_cs} max_age {bridge.max_age_cs}"
    words += " mcast_querier 1" if bridge.multicast_querier else ""
    return words + (" vlan_filtering 1 vlan_default_pvid 0" if bridge.vlan_filtering else "")


def bridge_options(bridge: Bridge) -> str:
    """Those that a bridge which is there may get at any time."""
    return (
        f"forward_delay {bridge.forward_delay_cs} hello_time {bridge.hello_time_cs} max_age {bridge.max_age_cs} "
        f"stp_state {int(bridge.stp)} mcast_snooping {int(bridge.multicast_snooping)} "
        f"mcast_querier {int(bridge.multicast_querier)}"
    )


def _filtering(before: Bridge, after: Bridge) -> list[Command]:
    """Said only where it changes: a kernel without VLAN filtering refuses the word itself."""
    if before.vlan_filtering == after.vlan_filtering:
        return []
    words = "vlan_filtering 1 vlan_default_pvid 0" if after.vlan_filtering else "vlan_filtering 0"
    return [Ip(after.namespace, f"link set dev {after.name} type bridge {words}")]


def _own_vlan(before: Bridge | None, after: Bridge) -> list[Command]:
    """The VLAN in which the host is."""
    if not after.vlan_filtering or (before and before.vlan_filtering and before.vlan == after.vlan):
        return []
    found: list[Command] = []
    if before and before.vlan_filtering and before.vlan:
        found.append(_vlan(after.namespace, f"del dev {after.name} vid {before.vlan} self"))
    return [*found, _vlan(after.namespace, f"add dev {after.name} vid {after.vlan} pvid untagged self")]


def _port_vlans(before: Tap | None, after: Tap) -> list[Command]:
    """A port's VLANs.  before: what it has; None: it was just put into its bridge, and is in none."""
    had = _ranges(before) if before else {}
    return _vlan_lines(after.namespace, after.name, had, _ranges(after))


def _vlan_lines(namespace: str, name: str, had: _Ranges, wanted: _Ranges) -> list[Command]:
    gone = [f"del dev {name} vid {_vid(ends)}" for ends in had if ends not in wanted]
    new = [f"add dev {name} vid {_vid(ends)}{flags}" for ends, flags in wanted.items() if had.get(ends) != flags]
    return [_vlan(namespace, line) for line in (*gone, *new)]


def _ranges(tap: Tap) -> _Ranges:
    """Ranges of VLANs with the flags that `bridge` knows."""
    found = dict.fromkeys(tap.trunk, "")
    return {(tap.vlan, tap.vlan): " pvid untagged", **found} if tap.vlan else found


def _vid(ends: tuple[int, int]) -> str:
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]}-{ends[1]}"


def _vlan(namespace: str, line: str) -> Ip:
    return Ip(namespace, f"vlan {line}", program="bridge")


def _port(tap: Tap) -> str:
    return f"type bridge_slave isolated {'on' if tap.isolated else 'off'}"


def _marked(link: Bridge | Tap | Macvlan | Macvtap, scene: Scene) -> str:
    """Mark and state: a link that was left half made is up only after this, and known as ours."""
    return f"alias {alias(scene.lab, link.key)} {'up' if link.up else 'down'}"


def _master(bridge: str) -> str:
    return f"master {bridge}" if bridge else "nomaster"


def _delete(namespace: str, name: str) -> Ip:
    return Ip(namespace, f"link del dev {name}", gone_is_fine=True)

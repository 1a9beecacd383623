"""The `nics:` of a guest: a list of short forms (`lan`, `user,model=e1000`) and mappings."""

from __future__ import annotations

from functools import partial
from typing import Literal, cast

from qlan.problems import Mark
from qlan.topology.document import Mapping, Node, Scalar, Sequence
from qlan.topology.forwards import parse_forwards, read_forward
from qlan.topology.model import Forward, Nic, Rate, Reverse, UserNetwork, joined_vlans
from qlan.topology.reader import ITEM, Fields, Reader
from qlan.topology.reverse import parse_reverses
from qlan.topology.scalars import (
    MTU_MAX,
    MTU_MIN,
    parse_address,
    parse_address6,
    parse_bootfile,
    parse_domain,
    parse_flag,
    parse_guestfwd,
    parse_hostname,
    parse_integer,
    parse_ipv6_prefix,
    parse_mac,
    parse_rate,
    parse_subnet,
    parse_text,
    parse_vlan,
    parse_vlans,
    parse_word,
)
from qlan.topology.spec import parse_spec
from qlan.topology.vocabulary import NIC, RATE, SORTS, USER

_NICS_HINT = f"write `nics: [{ITEM}]`, or `nics: none`"
_NIC_HINT = "write a network's name, `user`, or `{network: NAME}`"
_IN_USER = dict.fromkeys(USER.keys() - NIC.keys(), "inside `user:`")
_BESIDE_USER = dict.fromkeys(NIC.keys() - USER.keys(), "beside `user:`, not inside")


def read_nics(node: Node | None, owner: str, reader: Reader) -> tuple[Nic, ...]:
    """A guest's NICs.  Without the key a guest has one `user` NIC, as with QEMU itself; `none` and `[]` are none."""
    if node is None:
        return (Nic(user=UserNetwork()),)
    if _is_none(node):
        return ()
    items = reader.items(node, f"`nics` of {owner}", _NICS_HINT)
    if len(items) == 1 and _is_none(items[0]):
        return ()
    found = []
    for index, item in enumerate(items):
        if _is_none(item):
            reader.problem(item.mark, f"`none` beside other NICs of {owner}", "leave it out, or write `nics: none`")
            continue
        found.append(read_nic(item, f"NIC {index} of {owner}", reader))
    return tuple(found)


def read_nic(node: Node, title: str, reader: Reader) -> Nic:
    """One NIC, in whichever form."""
    before = len(reader.problems)
    if isinstance(node, Scalar) and not node.is_null:
        node = parse_spec(node, reader)
    nic = _read_fields(reader.fields(node, title, NIC, hint=_NIC_HINT, elsewhere=_IN_USER), node)
    if len(reader.problems) > before:
        reader.damaged.add(node.mark)
    return nic


def _is_none(node: Node) -> bool:
    return isinstance(node, Scalar) and node.text == "none"


def _read_fields(fields: Fields, node: Node) -> Nic:
    user, user_marks = _read_user(fields)
    if fields.has("network") == fields.has("user") and (isinstance(node, Mapping) or node.size == 1):
        both = fields.has("network")
        what = (
            f"{fields.title} has `network` and `user`" if both else f"{fields.title} says neither `network` nor `user`"
        )
        hint = "make it two NICs" if both else "write `network: NAME`, or `user: true`"
        fields.reader.problem(node.mark, what, hint)
    return Nic(
        network=fields.value("network", parse_text),
        user=user,
        model=fields.value("model", parse_word) or "virtio",
        mac=fields.value("mac", parse_mac),
        address=fields.value("address", parse_address),
        address6=fields.value("address6", parse_address6),
        forwards=_read_forwards(fields),
        reverse=_read_reverse(fields),
        boot=fields.choice("boot") is not None,
        link_up=fields.choice("link") != "down",
        mtu_bytes=fields.value("mtu", lambda text: parse_integer(text, MTU_MIN, MTU_MAX)),
        isolated=fields.value("isolated", parse_flag),
        rate=_read_rate(fields),
        vlan=fields.value("vlan", parse_vlan),
        trunk=joined_vlans(fields.several("trunk", parse_vlans)),
        vhost=fields.value("vhost", parse_flag),
        mark=node.mark,
        marks=fields.marks | user_marks,
    )


def _read_forwards(fields: Fields) -> tuple[Forward, ...]:
    node = fields.node("forwards")
    if node is None:
        return ()
    title = fields.called("forwards")
    found: list[Forward] = []
    for item in fields.reader.items(node, title, f'write `forwards: ["{ITEM}"]`'):
        if isinstance(item, Scalar):
            found += fields.reader.scalar(item, title, "a forward", partial(parse_forwards, mark=item.mark)) or ()
        elif isinstance(item, Sequence):
            fields.reader.problem(item.mark, f"{title}: a forward is one text, not a list", 'write it like "2222:22"')
        elif forward := read_forward(item, title, fields.reader):
            found.append(forward)
    return tuple(found)


def _read_reverse(fields: Fields) -> tuple[Reverse, ...]:
    node = fields.node("reverse")
    if node is None:
        return ()
    title = fields.called("reverse")
    found: list[Reverse] = []
    for item in fields.reader.items(node, title, 'write `reverse: ["5432:5432"]`'):
        if isinstance(item, Scalar):
            what = "a reverse forward"
            found += fields.reader.scalar(item, title, what, partial(parse_reverses, mark=item.mark)) or ()
        else:
            fields.reader.problem(item.mark, f"{title}: a reverse forward is one text", 'write it like "5432:5432"')
    return tuple(found)


def _read_rate(fields: Fields) -> Rate | None:
    """One rate for both directions, or each by itself."""
    node = fields.node("rate")
    if node is None:
        return None
    if isinstance(node, Scalar) and not node.is_null:
        speed = fields.reader.scalar(node, fields.called("rate"), SORTS["rate"], parse_rate)
        return Rate(speed, speed)
    inner = fields.reader.fields(node, f"`rate` of {fields.title}", RATE)
    found = Rate(inner.value("in", parse_rate), inner.value("out", parse_rate))
    if not inner.has("in") and not inner.has("out"):
        fields.reader.problem(node.mark, f"{fields.called('rate')} says neither `in` nor `out`", "write `rate: 10mbit`")
    return found


def _read_user(fields: Fields) -> tuple[UserNetwork | None, dict[str, Mark]]:
    node = fields.node("user")
    if node is None:
        return None, {}
    if isinstance(node, Scalar) and not node.is_null:
        wanted = fields.reader.scalar(node, fields.called("user"), SORTS["user"], parse_flag)
        if wanted is False:
            fields.reader.problem(
                node.mark, f"{fields.called('user')} is false", "leave the NIC out, or name a network"
            )
        return UserNetwork(), {}
    inner = fields.reader.fields(node, f"`user` of {fields.title}", USER, elsewhere=_BESIDE_USER)
    network = UserNetwork(
        subnet=inner.value("subnet", parse_subnet),
        host=inner.value("host", parse_address),
        dhcp_start=inner.value("dhcp_start", parse_address),
        dns=inner.value("dns", parse_address),
        domain=inner.value("domain", parse_domain),
        search=inner.several("search", parse_domain),
        hostname=inner.value("hostname", parse_hostname),
        ipv4=inner.flag("ipv4", True),
        ipv6=inner.value("ipv6", parse_flag),
        ipv6_prefix=inner.value("ipv6_prefix", parse_ipv6_prefix),
        restrict=inner.flag("restrict", False),
        tftp=inner.path("tftp"),
        bootfile=inner.value("bootfile", parse_bootfile),
        smb=inner.path("smb"),
        guestfwd=inner.several("guestfwd", parse_guestfwd),
        backend=cast("Literal['slirp', 'passt', 'auto']", inner.choice("backend") or "slirp"),
    )
    return network, {f"user.{key}": mark for key, mark in inner.marks.items()}
